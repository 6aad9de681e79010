// Pages of the bitmap and of its page states hold what the fuzzer says; a damaged page state counts
// as all out of sync.
#include <cstring>

#include "fuzz/attach_stage.h"
#include "fuzz/targets.h"
#include "meta/page_codec.h"

namespace blkmirror::fuzz {

namespace {

void change(AttachStage& stage, Input& input, const meta::PageName& name, uint64_t offset,
            bool sealed, bool* damaged) {
  auto page = stage.copy().world.read_back(stage.copy().disk, offset, 4096);
  const std::span<std::byte, 4096> bytes(page.data(), 4096);
  for (uint8_t pieces = input.u8() % 16; pieces > 0 && !input.empty(); --pieces) {
    const size_t at = input.u16() % 4096;
    const auto piece = input.take(std::min<size_t>(input.u8(), 4096 - at));
    std::memcpy(&bytes[at], piece.data(), piece.size());
  }
  if (sealed) meta::seal_page(name, input.u64(), AttachStage::kMetadataId, bytes);
  *damaged = !meta::open_page(name, AttachStage::kMetadataId, bytes).has_value();
  stage.overwrite(offset, bytes);
}

}  // namespace

void bitmap(std::span<const std::byte> data) {
  Input input(data);
  const uint8_t how = input.u8();
  AttachStage stage;
  if (how & 1) stage.crash_in_use();
  const uint32_t slot = how & 2 ? 1 : 0;
  const meta::Layout layout = stage.layout();
  bool damaged = false;
  change(stage, input, {meta::PageKind::kBitmap, slot, 0}, layout.bitmap_page(slot, 0).first,
         how & 4, &damaged);
  change(stage, input, {meta::PageKind::kStates, slot, 0}, layout.state_page(slot, 0).first,
         how & 8, &damaged);
  const int error = stage.use();
  if (slot == 0 && damaged && error == 0) BM_ASSERT(stage.dirty());
}

}  // namespace blkmirror::fuzz
