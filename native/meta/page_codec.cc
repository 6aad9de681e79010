// Pages of the activity log and the bitmap, and arithmetic on their bits.
#include "meta/page_codec.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"
#include "base/crc32c.h"

namespace blkmirror::meta {

namespace {

constexpr size_t kCrcOffset = 4;
constexpr size_t kSlotOffset = 8;
constexpr size_t kReservedOffset = 12;
constexpr size_t kIndexOffset = 16;
constexpr size_t kSequenceOffset = 24;
static_assert(kSequenceOffset + 8 == kPageHeaderBytes);

uint32_t header_bytes(PageKind kind) {
  return kind == PageKind::kBitmap ? kBitmapPageHeaderBytes : kPageHeaderBytes;
}

uint32_t page_crc(uint64_t metadata_id, ConstPageBytes bytes) {
  return crc32c(crc_seed(metadata_id), &bytes[kSlotOffset], 4096 - kSlotOffset);
}

// Bits [from, to) of one word, 0 <= from < to <= 64.
uint64_t mask_of(uint64_t from, uint64_t to) {
  BM_ASSERT(from < to);
  BM_ASSERT(to <= 64);
  return (~uint64_t{0} >> (64 - (to - from))) << from;
}

// Calls visit(word index, mask) for each word that [from, to) touches.
template <class Visit>
void for_words(uint64_t from, uint64_t to, Visit visit) {
  BM_ASSERT(from <= to);
  while (from < to) {
    const uint64_t word = from / 64;
    const uint64_t end = std::min(to, (word + 1) * 64);
    visit(word, mask_of(from % 64, end - word * 64));
    from = end;
  }
}

}  // namespace

uint32_t crc_seed(uint64_t metadata_id) {
  std::byte id[8];
  store_be64(id, metadata_id);
  return crc32c(0, id, sizeof id);
}

void seal_page(const PageName& name, uint64_t sequence, uint64_t metadata_id, PageBytes bytes) {
  BM_ASSERT(name.slot < limits::kSlots);
  BM_ASSERT(name.kind != PageKind::kLog || name.slot == 0);
  store_be32(&bytes[0], static_cast<uint32_t>(name.kind));
  store_be32(&bytes[kSlotOffset], name.slot);
  store_be32(&bytes[kReservedOffset], 0);
  store_be64(&bytes[kIndexOffset], name.index);
  store_be64(&bytes[kSequenceOffset], sequence);
  std::fill(bytes.begin() + kPageHeaderBytes, bytes.begin() + header_bytes(name.kind),
            std::byte{0});
  store_be32(&bytes[kCrcOffset], page_crc(metadata_id, bytes));
}

std::optional<uint64_t> open_page(const PageName& name, uint64_t metadata_id,
                                  ConstPageBytes bytes) {
  BM_ASSERT(name.slot < limits::kSlots);
  if (load_be32(&bytes[0]) != static_cast<uint32_t>(name.kind)) return std::nullopt;
  if (load_be32(&bytes[kCrcOffset]) != page_crc(metadata_id, bytes)) return std::nullopt;
  if (load_be32(&bytes[kSlotOffset]) != name.slot) return std::nullopt;
  if (load_be32(&bytes[kReservedOffset]) != 0) return std::nullopt;
  if (load_be64(&bytes[kIndexOffset]) != name.index) return std::nullopt;
  const auto reserved = bytes.subspan(kPageHeaderBytes, header_bytes(name.kind) - kPageHeaderBytes);
  for (const std::byte byte : reserved) {
    if (byte != std::byte{0}) return std::nullopt;
  }
  return load_be64(&bytes[kSequenceOffset]);
}

bool test_bit(const uint64_t* words, uint64_t bit) {
  return (little_endian(words[bit / 64]) >> (bit % 64) & 1) != 0;
}

uint64_t set_bits(uint64_t* words, uint64_t from, uint64_t to) {
  uint64_t changed = 0;
  for_words(from, to, [&](uint64_t word, uint64_t mask) {
    const uint64_t old = little_endian(words[word]);
    changed += static_cast<uint64_t>(std::popcount(mask & ~old));
    words[word] = little_endian(old | mask);
  });
  return changed;
}

uint64_t clear_bits(uint64_t* words, uint64_t from, uint64_t to) {
  uint64_t changed = 0;
  for_words(from, to, [&](uint64_t word, uint64_t mask) {
    const uint64_t old = little_endian(words[word]);
    changed += static_cast<uint64_t>(std::popcount(mask & old));
    words[word] = little_endian(old & ~mask);
  });
  return changed;
}

uint64_t count_bits(const uint64_t* words, uint64_t from, uint64_t to) {
  uint64_t count = 0;
  for_words(from, to, [&](uint64_t word, uint64_t mask) {
    count += static_cast<uint64_t>(std::popcount(mask & little_endian(words[word])));
  });
  return count;
}

uint64_t find_bit(const uint64_t* words, uint64_t from, uint64_t to, bool value) {
  BM_ASSERT(from <= to);
  while (from < to) {
    const uint64_t word = from / 64;
    const uint64_t end = std::min(to, (word + 1) * 64);
    const uint64_t content = little_endian(words[word]);
    const uint64_t found = (value ? content : ~content) & mask_of(from % 64, end - word * 64);
    if (found != 0) return word * 64 + static_cast<uint64_t>(std::countr_zero(found));
    from = end;
  }
  return to;
}

}  // namespace blkmirror::meta
