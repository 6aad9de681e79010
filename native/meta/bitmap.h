// The out-of-sync bitmap: one bit for each 4 KiB and peer slot.
//
// In memory by page (31 extents). Each page of each slot has a state: none, all, partial.
// Partial pages come from a pool that is allocated at load(); with none free the page becomes
// all. So set() and clear() never allocate and never fail, and a mirror in sync uses no page.
// On disk: the states (one byte each, in state pages with CRC) and the partial pages; load()
// reads the states and only the partial pages. Each lies twice: what either copy says is out of
// sync is, and a state or bitmap page of which one copy is torn or corrupt is all.
// write_back() makes the state as of its call durable, flush included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "io/io.h"
#include "meta/layout.h"
#include "meta/waiter.h"

namespace blkmirror::meta {

enum class PageState : uint8_t { kNone = 0, kPartial = 1, kAll = 2 };

struct Range {
  uint64_t offset = 0;  // bytes
  uint32_t length = 0;  // bytes
};

class Bitmap {
 public:
  Bitmap(io::Io& io, io::DiskId disk);
  ~Bitmap();

  void load(const Layout& layout, uint64_t metadata_id, Waiter& waiter);
  // Writes states of `state` for every page of every slot (a fresh bitmap), then flushes.
  // load() comes after it.
  void format(const Layout& layout, uint64_t metadata_id, PageState state, Waiter& waiter);

  // Marks every block that the range touches, for each slot in the mask (bit n: slot n).
  void set(uint32_t slot_mask, uint64_t offset, uint32_t length);
  // Clears the blocks that lie wholly in the range (the device's short last block counts as
  // whole when the range reaches the device's end). Only for blocks whose copy is on stable
  // storage: a write_back() already under way or waiting may make this durable. Where no pool
  // page is left, bits of a page that was all stay.
  void clear(uint32_t slot, uint64_t offset, uint32_t length);
  void set_all(uint32_t slot);
  void clear_all(uint32_t slot);
  bool any(uint32_t slot, uint64_t offset, uint32_t length) const;
  // The first run of out-of-sync blocks at or after `from`, at most `limit` bytes long and
  // within one extent; clipped to the device's end.
  std::optional<Range> next(uint32_t slot, uint64_t from, uint32_t limit) const;
  uint64_t out_of_sync_bytes(uint32_t slot) const;  // kept as a counter, cheap

  // Exchange with a peer: pages in order; bits only for kPartial (3968 bytes).
  uint64_t page_count() const;
  PageState page_state(uint32_t slot, uint64_t page) const;
  std::span<const std::byte> page_bits(uint32_t slot, uint64_t page) const;
  // Unites a peer's page with ours. `bits` is 3968 bytes for kPartial, else empty.
  void merge(uint32_t slot, uint64_t page, PageState state, std::span<const std::byte> bits);

  void write_back(Waiter& waiter);
  bool idle() const;
  uint64_t page_writes() const;
  // At load(): state and bitmap pages taken as all out of sync because a copy was torn or corrupt.
  uint64_t damaged_pages() const;

 private:
  struct Private;
  std::unique_ptr<Private> private_;
};

}  // namespace blkmirror::meta
