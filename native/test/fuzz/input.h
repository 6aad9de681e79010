// Takes a fuzzer's bytes apart: what is not there reads as zero.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"

namespace blkmirror::fuzz {

class Input {
 public:
  explicit Input(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  size_t left() const { return bytes_.size(); }
  uint8_t u8() { return static_cast<uint8_t>(number(1)); }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  // At most `most` bytes.
  std::span<const std::byte> take(size_t most) {
    const size_t count = std::min(most, bytes_.size());
    const auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    BM_ASSERT(taken.size() <= most);
    return taken;
  }
  // Exactly `count` bytes, zeroes at the end where there are too few.
  std::vector<std::byte> padded(size_t count) {
    const auto there = take(count);
    std::vector<std::byte> bytes(there.begin(), there.end());
    bytes.resize(count);
    return bytes;
  }

 private:
  uint64_t number(uint32_t width) {
    BM_ASSERT(width <= 8);
    uint64_t value = 0;
    for (const std::byte byte : take(width)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }

  std::span<const std::byte> bytes_;
};

}  // namespace blkmirror::fuzz
