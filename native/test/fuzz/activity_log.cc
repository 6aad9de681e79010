// After a crash the log's page holds what the fuzzer says. A page that is not wholly right counts
// as all hot: what was hot is out of sync in any case.
#include <cstring>

#include "fuzz/attach_stage.h"
#include "fuzz/targets.h"
#include "meta/page_codec.h"

namespace blkmirror::fuzz {

void activity_log(std::span<const std::byte> data) {
  Input input(data);
  const uint8_t how = input.u8();
  AttachStage stage;
  stage.crash_in_use();
  const uint64_t offset = stage.layout().log_page(0).first;
  auto page = stage.copy().world.read_back(stage.copy().disk, offset, 4096);
  const std::span<std::byte, 4096> bytes(page.data(), 4096);
  while (!input.empty()) {
    const size_t at = input.u16() % 4096;
    const auto piece = input.take(std::min<size_t>(input.u8(), 4096 - at));
    std::memcpy(&bytes[at], piece.data(), piece.size());
  }
  const meta::PageName name{meta::PageKind::kLog, 0, 0};
  if (how & 1) meta::seal_page(name, input.u64(), AttachStage::kMetadataId, bytes);
  const bool damaged = !meta::open_page(name, AttachStage::kMetadataId, bytes).has_value();
  stage.overwrite(offset, bytes);
  const int error = stage.use();
  if (damaged && error == 0) BM_ASSERT(stage.dirty());
}

}  // namespace blkmirror::fuzz
