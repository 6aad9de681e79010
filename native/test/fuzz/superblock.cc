// Both slots hold what the fuzzer says, with a right magic and CRC where it asks for that.
#include <cstring>

#include "base/crc32c.h"
#include "fuzz/attach_stage.h"
#include "fuzz/targets.h"
#include "meta/page_codec.h"
#include "meta/superblock.h"

namespace blkmirror::fuzz {

namespace {

constexpr size_t kCrcAt = 12;
constexpr size_t kIdAt = 16;

void fix_crc(std::span<std::byte, 4096> bytes) {
  const uint32_t seed = meta::crc_seed(load_be64(&bytes[kIdAt]));
  const uint32_t head = crc32c(seed, bytes.data(), kCrcAt);
  store_be32(&bytes[kCrcAt], crc32c(head, &bytes[kIdAt], 4096 - kIdAt));
}

// The formatted superblock with pieces of it replaced.
void compose(Input& input, std::span<std::byte, 4096> bytes) {
  while (!input.empty()) {
    const size_t at = input.u16() % 4096;
    const auto piece = input.take(std::min<size_t>(input.u8(), 4096 - at));
    std::memcpy(&bytes[at], piece.data(), piece.size());
  }
}

}  // namespace

void superblock(std::span<const std::byte> data) {
  Input input(data);
  const uint8_t how = input.u8();
  AttachStage stage;
  const uint64_t offset = stage.layout().superblocks.offset;
  auto there = stage.copy().world.read_back(stage.copy().disk, offset, 4096);
  const std::span<std::byte, 4096> bytes(there.data(), 4096);
  compose(input, bytes);
  if (how % 4 != 0) fix_crc(bytes);
  const auto decoded = meta::decode(bytes, offset);
  if (decoded.ok()) {
    std::array<std::byte, 4096> again{};
    meta::encode(decoded.value(), again);
    BM_ASSERT(std::memcmp(again.data(), bytes.data(), again.size()) == 0);
  }
  if (how & 4) stage.overwrite(offset, bytes);
  stage.overwrite(offset + 4096, bytes);
  stage.use();
}

}  // namespace blkmirror::fuzz
