// After a crash the log's page, in one place or in both, holds what the fuzzer says. A page that
// is not wholly right counts as all hot: what was hot is out of sync in any case.
#include "fuzz/attach_stage.h"
#include "fuzz/targets.h"
#include "meta/page_codec.h"

namespace blkmirror::fuzz {

void activity_log(std::span<const std::byte> data) {
  Input input(data);
  const uint8_t how = input.u8();
  AttachStage stage(AttachStage::crashed_in_use());
  const meta::PlacePair places = AttachStage::layout().log_page(0);
  const uint64_t offset = how & 2 ? places.second : places.first;
  auto page = stage.page(offset);
  const std::span<std::byte, 4096> bytes(page.data(), 4096);
  const uint64_t sequence = how & 1 ? input.u64() : 0;
  compose(input, UINT32_MAX, bytes);
  const meta::PageName name{meta::PageKind::kLog, 0, 0};
  if (how & 1) meta::seal_page(name, sequence, AttachStage::kMetadataId, bytes);
  const bool damaged = !meta::open_page(name, AttachStage::kMetadataId, bytes).has_value();
  stage.overwrite(offset, bytes);
  if (how & 4) stage.overwrite(how & 2 ? places.first : places.second, bytes);
  const int error = stage.use();
  BM_ASSERT(error == 0);
  // The crash left a bit, and the twin of a damaged page what was hot.
  if (damaged || (how & 4) == 0) BM_ASSERT(stage.dirty());
}

}  // namespace blkmirror::fuzz
