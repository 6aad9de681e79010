// CRC32C by the SSE4.2 instruction where the processor has it (asked once), else eight bytes at
// a time from tables made at compile time ("slicing by 8", Kounavis and Berry, 2005).
#include "base/crc32c.h"

#include <array>

#include "base/assert.h"
#include "base/endian.h"

namespace blkmirror {

namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;
constexpr uint32_t kReflectedPolynomial = 0x82f63b78;

constexpr uint32_t shift_byte(uint32_t crc) {
  for (int bit = 0; bit < 8; ++bit) {
    crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReflectedPolynomial : 0);
  }
  return crc;
}

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) tables[0][i] = shift_byte(i);
  for (uint32_t i = 0; i < 256; ++i) {
    for (uint32_t t = 1; t < 8; ++t) {
      const uint32_t previous = tables[t - 1][i];
      tables[t][i] = (previous >> 8) ^ tables[0][previous & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();
static_assert(kTables[0][1] == 0xf26b8303);

uint32_t slice_by_8(uint32_t crc, uint64_t word) {
  word ^= crc;
  uint32_t result = 0;
  for (uint32_t i = 0; i < 8; ++i) {
    result ^= kTables[7 - i][(word >> (8 * i)) & 0xff];
  }
  return result;
}

}  // namespace

uint32_t crc32c_software(uint32_t seed, const void* data, size_t bytes) {
  BM_ASSERT(data != nullptr || bytes == 0);
  const auto* at = static_cast<const uint8_t*>(data);
  uint32_t crc = ~seed;
  for (; bytes >= 8; bytes -= 8, at += 8) crc = slice_by_8(crc, load_le64(at));
  for (; bytes > 0; --bytes, ++at) crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t seed, const void* data,
                                                                 size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(data);
  uint64_t crc = ~seed;
  for (; bytes >= 8; bytes -= 8, at += 8) crc = __builtin_ia32_crc32di(crc, load_le64(at));
  auto rest = static_cast<uint32_t>(crc);
  for (; bytes > 0; --bytes, ++at) rest = __builtin_ia32_crc32qi(rest, *at);
  return ~rest;
}

uint32_t crc32c_hardware(uint32_t seed, const void* data, size_t bytes) {
  BM_ASSERT(data != nullptr || bytes == 0);
  static const bool supported = __builtin_cpu_supports("sse4.2") != 0;
  return supported ? by_instruction(seed, data, bytes) : crc32c_software(seed, data, bytes);
}

#else

uint32_t crc32c_hardware(uint32_t seed, const void* data, size_t bytes) {
  return crc32c_software(seed, data, bytes);
}

#endif

uint32_t crc32c(uint32_t seed, const void* data, size_t bytes) {
  return crc32c_hardware(seed, data, bytes);
}

}  // namespace blkmirror
