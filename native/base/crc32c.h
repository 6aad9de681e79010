// CRC32C (Castagnoli polynomial 0x1edc6f41, reflected; RFC 3720 appendix B.4).
//
// crc32c(0, "123456789", 9) is 0xe3069283, and a checksum continues where another ended:
// crc32c(crc32c(0, a), b) == crc32c(0, ab). So a non-zero seed makes a checksum that only who
// knows the seed can tell: metadata pages are seeded with the metadata id.
#pragma once

#include <cstddef>
#include <cstdint>

namespace blkmirror {

// By the processor's instruction where it has one, else by tables.
uint32_t crc32c(uint32_t seed, const void* data, size_t bytes);

// The two ways, for tests. Without the instruction both are by tables.
uint32_t crc32c_software(uint32_t seed, const void* data, size_t bytes);
uint32_t crc32c_hardware(uint32_t seed, const void* data, size_t bytes);

}  // namespace blkmirror
