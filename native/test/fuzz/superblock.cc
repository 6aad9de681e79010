// Both slots hold what the fuzzer says, with a right magic and CRC where it asks for that; some
// inputs are only decoded, which is a hundred times faster than to attach what holds them.
#include <cstring>

#include "base/crc32c.h"
#include "fuzz/attach_stage.h"
#include "fuzz/targets.h"
#include "meta/page_codec.h"
#include "meta/superblock.h"

namespace blkmirror::fuzz {

namespace {

constexpr size_t kVersionAt = 8;
constexpr size_t kCrcAt = 12;
constexpr size_t kIdAt = 16;

using Slot = std::array<std::byte, 4096>;

void fix_crc(Slot& bytes) {
  const uint32_t seed = meta::crc_seed(load_be64(&bytes[kIdAt]));
  const uint32_t head = crc32c(seed, bytes.data(), kCrcAt);
  store_be32(&bytes[kCrcAt], crc32c(head, &bytes[kIdAt], bytes.size() - kIdAt));
}

// As a copy has it that was formatted, or that crashed in use.
const Slot& original(bool crashed) {
  static const auto read = [](const DiskImage& image) {
    Slot slot;
    AttachStage stage(image);
    const auto bytes = stage.page(AttachStage::layout().superblocks.offset);
    std::copy(bytes.begin(), bytes.end(), slot.begin());
    return slot;
  };
  static const Slot formatted = read(AttachStage::formatted());
  static const Slot used = read(AttachStage::crashed_in_use());
  return crashed ? used : formatted;
}

// What is valid is the same when written again, in the newest version.
void check(const Slot& bytes, const Result<meta::Superblock>& decoded) {
  if (!decoded.ok()) return;
  BM_ASSERT(meta::superblock_valid(decoded.value()));
  Slot expected = bytes;
  store_be32(&expected[kVersionAt], meta::kMetadataVersion);
  fix_crc(expected);
  Slot again{};
  meta::encode(decoded.value(), again);
  BM_ASSERT(again == expected);
}

}  // namespace

void superblock(std::span<const std::byte> data) {
  Input input(data);
  const uint8_t how = input.u8();
  const bool crashed = how & 1;
  Slot first = original(crashed);
  Slot second = first;
  compose(input, how & 2 ? input.u8() : UINT32_MAX, first);
  if (how & 4) fix_crc(first);
  if (how & 2) {
    compose(input, UINT32_MAX, second);
  } else if (how & 8) {
    second = first;
  }
  if (how & 16) fix_crc(second);
  const uint64_t offset = AttachStage::layout().superblocks.offset;
  const meta::SlotPair slots = meta::decode_slots(first, second, offset);
  check(first, slots.first);
  check(second, slots.second);
  if (how & 32) return;
  AttachStage stage(crashed ? AttachStage::crashed_in_use() : AttachStage::formatted());
  stage.overwrite(offset, first);
  stage.overwrite(offset + sizeof first, second);
  const int error = stage.use();
  if (!slots.newest().ok()) BM_ASSERT(error != 0);
}

}  // namespace blkmirror::fuzz
