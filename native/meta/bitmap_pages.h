// The bitmap in memory: for each slot and page a state, and for partial pages their bits.
//
// - A page's record is one byte: its state, the state that the disk is to show, and whether
//   the disk must hear of it. Partial pages refer by a 16-bit index to a pool that is
//   allocated once; so a mirror in sync of any size costs three bytes a page and slot.
// - With the pool empty set() turns the page into "all"; a last part of the pool is kept for
//   clear(), which needs a page to take bits out of "all". With that gone too, clear() leaves
//   the page as it is: out of sync is always safe.
// - Counters: out-of-sync blocks by slot, and by chunk (the pages of one state page) those
//   that are not "none", so that searches skip clean stretches.
// Used by Bitmap alone, which moves the pages between here and the disk.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "meta/bitmap.h"
#include "meta/layout.h"

namespace blkmirror::meta {

inline constexpr uint64_t kBlocksPerPage = uint64_t{kBitmapPageBitBytes} * 8;
inline constexpr uint32_t kBlocksPerExtent = limits::kExtentBytes / limits::kBlockBytes;

class BitmapPages {
 public:
  // Everything none, nothing dirty.
  void prepare(const Layout& layout);

  // As in Bitmap, in blocks and within one page: [from, to) counted from the page's start.
  void set(uint32_t slot, uint64_t page, uint64_t from, uint64_t to);
  void clear(uint32_t slot, uint64_t page, uint64_t from, uint64_t to);
  bool any(uint32_t slot, uint64_t page, uint64_t from, uint64_t to) const;
  // The first block of that value in [from, to), or `to`.
  uint64_t find(uint32_t slot, uint64_t page, uint64_t from, uint64_t to, bool value) const;
  void merge(uint32_t slot, uint64_t page, std::span<const std::byte> bits);
  void make(uint32_t slot, uint64_t page, PageState whole);  // kNone or kAll
  // The first page at or after `page` that is not none, or page_count().
  uint64_t next_page(uint32_t slot, uint64_t page) const;

  // As read from the disk; a partial page's bits follow by fill(). Not dirty.
  void restore(uint32_t slot, uint64_t page, PageState state);
  // What the disk says of the page is unusable: all, and to be written in any case.
  void distrust(uint32_t slot, uint64_t page);
  // Both copies of the page, or of its state, differ on the disk: to be written in any case.
  void rewrite(uint32_t slot, uint64_t page);
  // Bits of a page restored as partial; kAll when they are not to be had, or do not fit.
  void fill(uint32_t slot, uint64_t page, std::span<const std::byte> bits);
  void fill_all(uint32_t slot, uint64_t page);

  PageState state(uint32_t slot, uint64_t page) const;
  std::span<const std::byte> bits(uint32_t slot, uint64_t page) const;
  uint64_t blocks(uint32_t slot) const { return blocks_[slot]; }
  bool last_block_set(uint32_t slot) const;
  uint64_t page_blocks(uint64_t page) const;  // fewer on the last page
  uint32_t slots() const { return slots_; }
  uint64_t page_count() const { return pages_; }
  uint64_t chunk_count() const { return chunks_; }

  // What the disk must hear of.
  bool dirty(uint32_t slot, uint64_t page) const;
  void clean(uint32_t slot, uint64_t page);
  bool chunk_dirty(uint32_t slot, uint64_t chunk) const {
    return chunk_dirty_[slot * chunks_ + chunk] != 0;
  }
  void clean_chunk(uint32_t slot, uint64_t chunk) { chunk_dirty_[slot * chunks_ + chunk] = 0; }
  // The state that the disk shows, or will by the write-back under way.
  PageState disk_state(uint32_t slot, uint64_t page) const;
  void set_disk_state(uint32_t slot, uint64_t page, PageState state);

 private:
  static constexpr uint64_t kWords = kBitmapPageBitBytes / 8;
  static constexpr uint16_t kNoPoolPage = UINT16_MAX;

  uint64_t record_of(uint32_t slot, uint64_t page) const;
  uint64_t* words_of(uint64_t record);
  const uint64_t* words_of(uint64_t record) const;
  bool take_pool_page(uint64_t record, uint32_t keep);
  void change_state(uint32_t slot, uint64_t page, PageState state);
  void settle(uint32_t slot, uint64_t page);
  void mark_dirty(uint32_t slot, uint64_t page);

  uint32_t slots_ = 0;
  uint64_t pages_ = 0;   // of one slot
  uint64_t chunks_ = 0;  // of one slot
  uint64_t device_blocks_ = 0;
  uint32_t reserve_ = 0;               // pool pages for clear() alone
  std::vector<uint8_t> records_;       // by slot and page
  std::vector<uint16_t> pool_index_;   // by slot and page; while partial
  std::vector<uint16_t> chunk_used_;   // by slot and chunk: pages that are not none
  std::vector<uint8_t> chunk_dirty_;   // by slot and chunk: some page is dirty
  std::vector<uint64_t> pool_;         // kWords for each pool page, in disk order
  std::vector<uint16_t> pool_blocks_;  // bits set in each pool page
  std::vector<uint16_t> free_;         // pool pages
  std::vector<uint64_t> blocks_;       // out of sync, by slot
};

}  // namespace blkmirror::meta
