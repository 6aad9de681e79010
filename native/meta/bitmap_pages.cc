// The bitmap in memory.
#include "meta/bitmap_pages.h"

#include <algorithm>
#include <numeric>

#include "base/assert.h"
#include "meta/page_codec.h"

namespace blkmirror::meta {

namespace {

// A record: the state, the disk's state, and whether the disk must hear of the page.
constexpr uint8_t kStateMask = 3;
constexpr uint8_t kDiskShift = 2;
constexpr uint8_t kDirtyBit = 1u << 4;

constexpr PageState kUnknown{3};  // of the disk alone: differs from every state

constexpr uint32_t kClearReserve = 64;
static_assert(limits::kBitmapPoolPages < UINT16_MAX);
static_assert(kClearReserve < limits::kBitmapPoolPages);
static_assert(kBlocksPerPage <= UINT16_MAX);
static_assert(kBlocksPerPage == uint64_t{kExtentsPerBitmapPage} * kBlocksPerExtent);

uint8_t number(PageState state) { return static_cast<uint8_t>(state); }

}  // namespace

void BitmapPages::prepare(const Layout& layout) {
  slots_ = layout.slots;
  pages_ = layout.bitmap_page_count();
  chunks_ = layout.state_page_count();
  BM_ASSERT(slots_ > 0);
  BM_ASSERT(pages_ > 0);
  device_blocks_ = (layout.device_size_bytes + limits::kBlockBytes - 1) / limits::kBlockBytes;
  const uint64_t records = slots_ * pages_;
  const uint64_t pool = std::min<uint64_t>(records, limits::kBitmapPoolPages);
  reserve_ = pool < records ? kClearReserve : 0;
  records_.assign(records, 0);
  pool_index_.assign(records, kNoPoolPage);
  chunk_used_.assign(slots_ * chunks_, 0);
  chunk_dirty_.assign(slots_ * chunks_, 0);
  pool_.assign(pool * kWords, 0);
  pool_blocks_.assign(pool, 0);
  free_.resize(pool);
  std::iota(free_.rbegin(), free_.rend(), 0);  // low numbers are taken first
  blocks_.assign(slots_, 0);
}

void BitmapPages::set(uint32_t slot, uint64_t page, uint64_t from, uint64_t to) {
  const uint64_t record = record_of(slot, page);
  BM_ASSERT(from < to);
  BM_ASSERT(to <= page_blocks(page));
  const PageState old = state(slot, page);
  if (old == PageState::kAll) return;
  if (old == PageState::kNone) {
    if (to - from == page_blocks(page) || !take_pool_page(record, reserve_)) {
      make(slot, page, PageState::kAll);
      return;
    }
    std::fill_n(words_of(record), kWords, 0);
    pool_blocks_[pool_index_[record]] = 0;
    change_state(slot, page, PageState::kPartial);
  }
  const uint64_t changed = set_bits(words_of(record), from, to);
  if (changed == 0) return;
  pool_blocks_[pool_index_[record]] += static_cast<uint16_t>(changed);
  blocks_[slot] += changed;
  settle(slot, page);
}

void BitmapPages::clear(uint32_t slot, uint64_t page, uint64_t from, uint64_t to) {
  const uint64_t record = record_of(slot, page);
  BM_ASSERT(from < to);
  BM_ASSERT(to <= page_blocks(page));
  const PageState old = state(slot, page);
  if (old == PageState::kNone) return;
  if (to - from == page_blocks(page)) {
    make(slot, page, PageState::kNone);
    return;
  }
  if (old == PageState::kAll) {
    if (!take_pool_page(record, 0)) return;
    std::fill_n(words_of(record), kWords, 0);
    set_bits(words_of(record), 0, page_blocks(page));
    pool_blocks_[pool_index_[record]] = static_cast<uint16_t>(page_blocks(page));
    change_state(slot, page, PageState::kPartial);
  }
  const uint64_t changed = clear_bits(words_of(record), from, to);
  if (changed == 0) return;
  pool_blocks_[pool_index_[record]] -= static_cast<uint16_t>(changed);
  blocks_[slot] -= changed;
  settle(slot, page);
}

bool BitmapPages::any(uint32_t slot, uint64_t page, uint64_t from, uint64_t to) const {
  return find(slot, page, from, to, true) < to;
}

uint64_t BitmapPages::find(uint32_t slot, uint64_t page, uint64_t from, uint64_t to,
                           bool value) const {
  BM_ASSERT(from <= to);
  BM_ASSERT(to <= page_blocks(page));
  const PageState now = state(slot, page);
  if (now == PageState::kPartial) {
    return find_bit(words_of(record_of(slot, page)), from, to, value);
  }
  return (now == PageState::kAll) == value ? from : to;
}

void BitmapPages::merge(uint32_t slot, uint64_t page, std::span<const std::byte> bits) {
  BM_ASSERT(bits.size() == kBitmapPageBitBytes);
  for (uint64_t word = 0; word < kWords && state(slot, page) != PageState::kAll; ++word) {
    uint64_t content;
    std::memcpy(&content, &bits[word * 8], 8);
    const uint64_t start = word * 64;
    const uint64_t size = page_blocks(page);
    // A peer's bits beyond the device's end mean nothing.
    const uint64_t end = std::min<uint64_t>(64, size > start ? size - start : 0);
    for (uint64_t at = find_bit(&content, 0, end, true); at < end;) {
      const uint64_t run_end = find_bit(&content, at, end, false);
      set(slot, page, start + at, start + run_end);
      at = find_bit(&content, run_end, end, true);
    }
  }
}

void BitmapPages::make(uint32_t slot, uint64_t page, PageState whole) {
  BM_ASSERT(whole != PageState::kPartial);
  const uint64_t record = record_of(slot, page);
  const PageState old = state(slot, page);
  if (old == whole) return;
  uint64_t before = 0;
  if (old == PageState::kAll) before = page_blocks(page);
  if (old == PageState::kPartial) before = pool_blocks_[pool_index_[record]];
  blocks_[slot] -= before;
  if (whole == PageState::kAll) blocks_[slot] += page_blocks(page);
  change_state(slot, page, whole);
  mark_dirty(slot, page);
}

uint64_t BitmapPages::next_page(uint32_t slot, uint64_t page) const {
  BM_ASSERT(slot < slots_);
  while (page < pages_) {
    const uint64_t chunk = page / kStatesPerStatePage;
    const uint64_t end = std::min(pages_, (chunk + 1) * kStatesPerStatePage);
    if (chunk_used_[slot * chunks_ + chunk] == 0) page = end;
    for (; page < end; ++page) {
      if (state(slot, page) != PageState::kNone) return page;
    }
  }
  return pages_;
}

void BitmapPages::restore(uint32_t slot, uint64_t page, PageState state) {
  BM_ASSERT(this->state(slot, page) == PageState::kNone);
  BM_ASSERT(!dirty(slot, page));
  set_disk_state(slot, page, state);
  change_state(slot, page, state);
  if (state == PageState::kAll) blocks_[slot] += page_blocks(page);
}

void BitmapPages::distrust(uint32_t slot, uint64_t page) {
  BM_ASSERT(state(slot, page) == PageState::kNone);
  make(slot, page, PageState::kAll);
  set_disk_state(slot, page, kUnknown);
}

void BitmapPages::rewrite(uint32_t slot, uint64_t page) {
  set_disk_state(slot, page, kUnknown);
  mark_dirty(slot, page);
}

void BitmapPages::fill(uint32_t slot, uint64_t page, std::span<const std::byte> bits) {
  const uint64_t record = record_of(slot, page);
  BM_ASSERT(state(slot, page) == PageState::kPartial);
  BM_ASSERT(bits.size() == kBitmapPageBitBytes);
  if (!take_pool_page(record, reserve_)) {
    fill_all(slot, page);
    return;
  }
  uint64_t* words = words_of(record);
  std::memcpy(words, bits.data(), bits.size());
  const uint64_t set = count_bits(words, 0, page_blocks(page));
  const bool foreign = count_bits(words, page_blocks(page), kBlocksPerPage) != 0;
  pool_blocks_[pool_index_[record]] = static_cast<uint16_t>(set);
  blocks_[slot] += set;
  if (foreign) {
    make(slot, page, PageState::kAll);
  } else if (set == 0 || set == page_blocks(page)) {
    settle(slot, page);
  }
}

void BitmapPages::fill_all(uint32_t slot, uint64_t page) {
  BM_ASSERT(state(slot, page) == PageState::kPartial);
  BM_ASSERT(pool_index_[record_of(slot, page)] == kNoPoolPage);
  change_state(slot, page, PageState::kAll);
  blocks_[slot] += page_blocks(page);
  mark_dirty(slot, page);
}

PageState BitmapPages::state(uint32_t slot, uint64_t page) const {
  return static_cast<PageState>(records_[record_of(slot, page)] & kStateMask);
}

std::span<const std::byte> BitmapPages::bits(uint32_t slot, uint64_t page) const {
  BM_ASSERT(state(slot, page) == PageState::kPartial);
  return std::as_bytes(std::span(words_of(record_of(slot, page)), kWords));
}

bool BitmapPages::last_block_set(uint32_t slot) const {
  const uint64_t size = page_blocks(pages_ - 1);
  return any(slot, pages_ - 1, size - 1, size);
}

uint64_t BitmapPages::page_blocks(uint64_t page) const {
  BM_ASSERT(page < pages_);
  return std::min(kBlocksPerPage, device_blocks_ - page * kBlocksPerPage);
}

bool BitmapPages::dirty(uint32_t slot, uint64_t page) const {
  return (records_[record_of(slot, page)] & kDirtyBit) != 0;
}

void BitmapPages::clean(uint32_t slot, uint64_t page) {
  records_[record_of(slot, page)] &= static_cast<uint8_t>(~kDirtyBit);
}

PageState BitmapPages::disk_state(uint32_t slot, uint64_t page) const {
  return static_cast<PageState>(records_[record_of(slot, page)] >> kDiskShift & kStateMask);
}

void BitmapPages::set_disk_state(uint32_t slot, uint64_t page, PageState state) {
  uint8_t& record = records_[record_of(slot, page)];
  const auto others = static_cast<uint8_t>(record & ~(kStateMask << kDiskShift));
  record = static_cast<uint8_t>(others | number(state) << kDiskShift);
}

uint64_t BitmapPages::record_of(uint32_t slot, uint64_t page) const {
  BM_ASSERT(slot < slots_);
  BM_ASSERT(page < pages_);
  return slot * pages_ + page;
}

uint64_t* BitmapPages::words_of(uint64_t record) {
  BM_ASSERT(pool_index_[record] != kNoPoolPage);
  return &pool_[pool_index_[record] * kWords];
}

const uint64_t* BitmapPages::words_of(uint64_t record) const {
  BM_ASSERT(pool_index_[record] != kNoPoolPage);
  return &pool_[pool_index_[record] * kWords];
}

// Leaves `keep` pool pages to others.
bool BitmapPages::take_pool_page(uint64_t record, uint32_t keep) {
  BM_ASSERT(pool_index_[record] == kNoPoolPage);
  if (free_.size() <= keep) return false;
  pool_index_[record] = free_.back();
  free_.pop_back();
  return true;
}

// Sets the state alone, and returns the pool page that a whole state does not need.
void BitmapPages::change_state(uint32_t slot, uint64_t page, PageState state) {
  const uint64_t record = record_of(slot, page);
  const PageState old = this->state(slot, page);
  uint16_t& used = chunk_used_[slot * chunks_ + page / kStatesPerStatePage];
  if (old == PageState::kNone && state != PageState::kNone) ++used;
  if (old != PageState::kNone && state == PageState::kNone) {
    BM_ASSERT(used > 0);
    --used;
  }
  records_[record] = static_cast<uint8_t>((records_[record] & ~kStateMask) | number(state));
  if (state == PageState::kPartial || pool_index_[record] == kNoPoolPage) return;
  BM_ASSERT(free_.size() < free_.capacity());
  free_.push_back(pool_index_[record]);
  pool_index_[record] = kNoPoolPage;
}

// After a partial page's bits have changed: it may be whole now.
void BitmapPages::settle(uint32_t slot, uint64_t page) {
  const uint16_t set = pool_blocks_[pool_index_[record_of(slot, page)]];
  BM_ASSERT(set <= page_blocks(page));
  if (set == 0) change_state(slot, page, PageState::kNone);
  if (set == page_blocks(page)) change_state(slot, page, PageState::kAll);
  mark_dirty(slot, page);
}

void BitmapPages::mark_dirty(uint32_t slot, uint64_t page) {
  records_[record_of(slot, page)] |= kDirtyBit;
  chunk_dirty_[slot * chunks_ + page / kStatesPerStatePage] = 1;
}

}  // namespace blkmirror::meta
