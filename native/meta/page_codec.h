// The 4096-byte pages of the activity log and the bitmap: header, CRC, bits.
//
// All three kinds begin alike, big-endian:
//
//   0 magic 32 (BMal log, BMbs bitmap states, BMbp bitmap page), 4 CRC32C 32 over bytes 8 to
//   4095, seeded with the CRC32C of the metadata id (64, big-endian), 8 slot 32 (0 in the log),
//   12 reserved 32, 16 page index 64 (of that kind and slot), 24 sequence 64 (raised by every
//   page written, for whoever reads a dump)
//
// Log:     32 to 4095: one bit for each extent, 1 hot.
// States:  32 to 4095: one byte for each bitmap page: 0 none, 1 partial, 2 all.
// Bitmap:  32 to 127 reserved, 128 to 4095: one bit for each 4 KiB block, 1 out of sync.
//
// Bit n is in byte n / 8, value 1 << n % 8. Reserved bytes are zero. Pure functions, no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/endian.h"
#include "meta/layout.h"

namespace blkmirror::meta {

using PageBytes = std::span<std::byte, 4096>;
using ConstPageBytes = std::span<const std::byte, 4096>;

enum class PageKind : uint32_t {
  kLog = 0x424d616c,
  kStates = 0x424d6273,
  kBitmap = 0x424d6270,
};

inline constexpr uint32_t kPageHeaderBytes = 32;
static_assert(kPageHeaderBytes == kLogPageHeaderBytes);
static_assert(kPageHeaderBytes + kStatesPerStatePage == 4096);
static_assert(kBitmapPageHeaderBytes + kBitmapPageBitBytes == 4096);
static_assert(kBitmapPageBitBytes % 8 == 0);
static_assert(kExtentsPerLogPage % 64 == 0);

// What a page is and where it belongs.
struct PageName {
  PageKind kind = PageKind::kLog;
  uint32_t slot = 0;
  uint64_t index = 0;
};

// The seed of every page's and the superblock's CRC.
uint32_t crc_seed(uint64_t metadata_id);

// Completes a page whose body (from the end of its header) is filled in: writes the header,
// then the CRC.
void seal_page(const PageName& name, uint64_t sequence, uint64_t metadata_id, PageBytes bytes);

// The page's sequence, or nothing when it is damaged or not the page asked for.
std::optional<uint64_t> open_page(const PageName& name, uint64_t metadata_id, ConstPageBytes bytes);

// Bit arrays as they are on disk and on the wire, in 64-bit units kept in that order in memory.
// Ranges are [from, to) in bits; the array holds at least `to` of them.
bool test_bit(const uint64_t* words, uint64_t bit);
// How many bits changed.
uint64_t set_bits(uint64_t* words, uint64_t from, uint64_t to);
uint64_t clear_bits(uint64_t* words, uint64_t from, uint64_t to);
uint64_t count_bits(const uint64_t* words, uint64_t from, uint64_t to);
// The first bit of that value, or `to`.
uint64_t find_bit(const uint64_t* words, uint64_t from, uint64_t to, bool value);

}  // namespace blkmirror::meta
