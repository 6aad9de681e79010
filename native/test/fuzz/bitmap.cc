// Pages of the bitmap and of its page states hold what the fuzzer says, in one place or in both; a
// damaged page counts as all out of sync.
#include "fuzz/attach_stage.h"
#include "fuzz/targets.h"
#include "meta/page_codec.h"

namespace blkmirror::fuzz {

namespace {

enum How : uint8_t { kSealed = 1, kSecondPlace = 2, kBothPlaces = 4 };

// Whether the page is damaged afterwards, at least in one place.
bool change(AttachStage& stage, Input& input, const meta::PageName& name,
            const meta::PlacePair& places) {
  const uint8_t how = input.u8();
  const uint64_t offset = how & kSecondPlace ? places.second : places.first;
  auto page = stage.page(offset);
  const std::span<std::byte, 4096> bytes(page.data(), 4096);
  const uint64_t sequence = how & kSealed ? input.u64() : 0;
  compose(input, how >> 4, bytes);
  if (how & kSealed) meta::seal_page(name, sequence, AttachStage::kMetadataId, bytes);
  stage.overwrite(offset, bytes);
  if (how & kBothPlaces) stage.overwrite(how & kSecondPlace ? places.first : places.second, bytes);
  return !meta::open_page(name, AttachStage::kMetadataId, bytes).has_value();
}

}  // namespace

void bitmap(std::span<const std::byte> data) {
  Input input(data);
  const uint8_t how = input.u8();
  const bool crashed = how & 1;
  AttachStage stage(crashed ? AttachStage::crashed_in_use() : AttachStage::formatted());
  const uint32_t slot = how & 2 ? 1 : 0;
  const meta::Layout layout = AttachStage::layout();
  const bool states =
      change(stage, input, {meta::PageKind::kStates, slot, 0}, layout.state_page(slot, 0));
  change(stage, input, {meta::PageKind::kBitmap, slot, 0}, layout.bitmap_page(slot, 0));
  const int error = stage.use();
  BM_ASSERT(error == 0);
  if (slot == 0 && states) BM_ASSERT(stage.dirty());
}

}  // namespace blkmirror::fuzz
