// Where the metadata areas lie.
//
//   internal: device … | log | states | bitmap | 2 superblocks, up to the disk's last whole
//             4096 bytes (so the superblocks are found without knowing anything else)
//   external: 2 superblocks | log | states | bitmap
//
// Log, states and bitmap consist of two halves with the same content.
#include "meta/layout.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace blkmirror::meta {

namespace {

constexpr uint64_t kPage = limits::kPageBytes;
constexpr uint64_t kSuperblocksBytes = 2 * kPage;

uint64_t divide_up(uint64_t value, uint64_t by) {
  BM_ASSERT(by > 0);
  return value / by + (value % by != 0 ? 1 : 0);
}

uint64_t round_down(uint64_t value, uint64_t to) {
  BM_ASSERT(to > 0);
  return value - value % to;
}

// Lengths of log, states and bitmap for layout.device_size_bytes and layout.slots.
void size_areas(Layout& layout) {
  BM_ASSERT(layout.slots >= 1);
  BM_ASSERT(layout.device_size_bytes <= kMaxDeviceBytes);
  layout.activity_log.length = kCopies * layout.log_page_count() * kPage;
  layout.bitmap_states.length = kCopies * layout.slots * layout.state_page_count() * kPage;
  layout.bitmap.length = kCopies * layout.slots * layout.bitmap_page_count() * kPage;
}

uint64_t areas_bytes(const Layout& layout) {
  return layout.activity_log.length + layout.bitmap_states.length + layout.bitmap.length;
}

void place_areas(Layout& layout, uint64_t start) {
  BM_ASSERT(start % kPage == 0);
  BM_ASSERT(layout.activity_log.length > 0);
  layout.activity_log.offset = start;
  layout.bitmap_states.offset = start + layout.activity_log.length;
  layout.bitmap.offset = layout.bitmap_states.offset + layout.bitmap_states.length;
}

Result<Layout> internal_layout(Layout layout, uint64_t disk_bytes, uint32_t block) {
  const Error too_small{ENOSPC, "the disk is too small for its metadata"};
  const uint64_t end = superblock_offset(true, disk_bytes);
  if (end == 0) return too_small;
  // What metadata for the whole disk would need is at least what is needed for less.
  layout.device_size_bytes = end;
  size_areas(layout);
  if (areas_bytes(layout) >= end) return too_small;
  layout.device_size_bytes = round_down(end - areas_bytes(layout), block);
  if (layout.device_size_bytes == 0) return too_small;
  size_areas(layout);
  layout.superblocks = {end, kSuperblocksBytes};
  place_areas(layout, end - areas_bytes(layout));
  BM_ASSERT(layout.activity_log.offset >= layout.device_size_bytes);
  return layout;
}

Result<Layout> external_layout(Layout layout, uint64_t data_bytes, uint32_t block) {
  layout.device_size_bytes = round_down(data_bytes, block);
  if (layout.device_size_bytes == 0) return Error{ENOSPC, "the data disk is empty"};
  size_areas(layout);
  layout.superblocks = {0, kSuperblocksBytes};
  place_areas(layout, kSuperblocksBytes);
  if (kSuperblocksBytes + areas_bytes(layout) > layout.metadata_bytes) {
    return Error{ENOSPC, "the metadata disk is too small for the data disk"};
  }
  return layout;
}

// The size that is wanted, of what there is room for.
Result<uint64_t> choose_size(const Layout& old, uint64_t most_bytes, uint32_t block,
                             uint64_t device_bytes) {
  if (device_bytes > most_bytes) return Error{ENOSPC, "the disk has no room for that size"};
  const uint64_t size = device_bytes == 0 ? most_bytes : device_bytes;
  if (size % block != 0) return Error{EINVAL, "the size is no whole number of blocks"};
  if (size <= old.device_size_bytes) return Error{EINVAL, "the size is not larger than before"};
  return size;
}

// External metadata: before the areas of the old, or behind them.
Result<Layout> place_beside(const Layout& old, Layout layout) {
  BM_ASSERT(!layout.internal);
  const uint64_t before =
      std::min({old.activity_log.offset, old.bitmap_states.offset, old.bitmap.offset});
  const bool fits_before = kSuperblocksBytes + areas_bytes(layout) <= before;
  place_areas(layout, fits_before ? kSuperblocksBytes : round_down(old.end() + kPage - 1, kPage));
  if (layout.end() <= layout.metadata_bytes) return layout;
  return Error{ENOSPC, "the metadata disk has no room for the new metadata beside the old"};
}

bool area_valid(const Area& area, uint64_t needed, uint64_t metadata_bytes) {
  if (area.offset % kPage != 0 || area.length % kPage != 0) return false;
  if (area.length < needed || area.length > metadata_bytes) return false;
  return area.offset <= metadata_bytes - area.length;
}

PlacePair places_in(const Area& area, uint64_t offset) {
  const uint64_t half = area.length / kCopies;
  BM_ASSERT(offset + kPage <= half);
  return {area.offset + offset, area.offset + half + offset};
}

bool overlap(const Area& a, const Area& b) {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}

// No area of the new internal metadata touches the old; the superblocks may be the same.
bool beside(const Layout& layout, const Layout& old) {
  for (const Area* area :
       {&layout.superblocks, &layout.activity_log, &layout.bitmap_states, &layout.bitmap}) {
    for (const Area* was : {&old.superblocks, &old.activity_log, &old.bitmap_states, &old.bitmap}) {
      const bool same =
          area == &layout.superblocks && was == &old.superblocks && area->offset == was->offset;
      if (!same && overlap(*area, *was)) return false;
    }
  }
  return true;
}

bool areas_apart(const Layout& layout) {
  const Area* areas[] = {&layout.superblocks, &layout.activity_log, &layout.bitmap_states,
                         &layout.bitmap};
  for (int i = 0; i < 4; ++i) {
    if (layout.internal && areas[i]->offset < layout.device_size_bytes) return false;
    for (int j = 0; j < i; ++j) {
      if (overlap(*areas[i], *areas[j])) return false;
    }
  }
  return true;
}

}  // namespace

uint64_t Layout::extent_count() const { return divide_up(device_size_bytes, limits::kExtentBytes); }

uint64_t Layout::log_page_count() const { return divide_up(extent_count(), kExtentsPerLogPage); }

uint64_t Layout::bitmap_page_count() const {
  return divide_up(device_size_bytes, kBitmapPageCoverBytes);
}

uint64_t Layout::state_page_count() const {
  return divide_up(bitmap_page_count(), kStatesPerStatePage);
}

PlacePair Layout::log_page(uint64_t page) const {
  BM_ASSERT(page < log_page_count());
  return places_in(activity_log, page * kPage);
}

PlacePair Layout::state_page(uint32_t slot, uint64_t page) const {
  BM_ASSERT(slot < slots);
  BM_ASSERT(page < state_page_count());
  const uint64_t share = bitmap_states.length / kCopies / slots;
  return places_in(bitmap_states, slot * share + page * kPage);
}

PlacePair Layout::bitmap_page(uint32_t slot, uint64_t page) const {
  BM_ASSERT(slot < slots);
  BM_ASSERT(page < bitmap_page_count());
  const uint64_t share = bitmap.length / kCopies / slots;
  return places_in(bitmap, slot * share + page * kPage);
}

uint64_t Layout::end() const {
  uint64_t last = 0;
  for (const Area* area : {&superblocks, &activity_log, &bitmap_states, &bitmap}) {
    last = std::max(last, area->offset + area->length);
  }
  BM_ASSERT(last > 0);
  return last;
}

Result<Layout> compute_layout(bool internal, uint64_t data_bytes, uint64_t metadata_bytes,
                              uint32_t slots, uint32_t block) {
  BM_ASSERT(block == 512 || block == 4096);
  BM_ASSERT(slots >= 1);
  BM_ASSERT(slots <= limits::kMaxPeers);
  if (data_bytes > kMaxDeviceBytes) return Error{EFBIG, "the disk is larger than 1 PiB"};
  Layout layout;
  layout.internal = internal;
  layout.slots = slots;
  layout.metadata_bytes = metadata_bytes;
  return internal ? internal_layout(layout, data_bytes, block)
                  : external_layout(layout, data_bytes, block);
}

Result<Layout> grown_layout(const Layout& old, uint64_t data_bytes, uint64_t metadata_bytes,
                            uint32_t block, uint64_t device_bytes) {
  BM_ASSERT(layout_valid(old, block));
  Layout most = old;
  if (old.internal) {
    const auto whole = compute_layout(true, data_bytes, metadata_bytes, old.slots, block);
    if (!whole.ok()) return whole;
    most = whole.value();
  } else {
    if (data_bytes > kMaxDeviceBytes) return Error{EFBIG, "the disk is larger than 1 PiB"};
    most.device_size_bytes = round_down(data_bytes, block);
    most.metadata_bytes = metadata_bytes;
  }
  const auto size = choose_size(old, most.device_size_bytes, block, device_bytes);
  if (!size.ok()) return size.error();
  Layout layout = most;
  layout.device_size_bytes = size.value();
  size_areas(layout);
  if (!layout.internal) return place_beside(old, layout);
  place_areas(layout, layout.superblocks.offset - areas_bytes(layout));
  if (!beside(layout, old)) {
    return Error{ENOSPC, "the disk has not grown enough for the new metadata beside the old"};
  }
  return layout;
}

bool layout_valid(const Layout& layout, uint32_t block) {
  if (block != 512 && block != 4096) return false;
  if (layout.slots < 1 || layout.slots > limits::kMaxPeers) return false;
  if (layout.device_size_bytes == 0 || layout.device_size_bytes > kMaxDeviceBytes) return false;
  if (layout.device_size_bytes % block != 0) return false;
  // No area can then be so large that its end overflows.
  if (layout.metadata_bytes > 4 * kMaxDeviceBytes) return false;
  Layout needed = layout;
  size_areas(needed);
  const uint64_t total = layout.metadata_bytes;
  if (layout.superblocks.length != kSuperblocksBytes) return false;
  if (!area_valid(layout.superblocks, kSuperblocksBytes, total)) return false;
  if (!area_valid(layout.activity_log, needed.activity_log.length, total)) return false;
  if (!area_valid(layout.bitmap_states, needed.bitmap_states.length, total)) return false;
  if (!area_valid(layout.bitmap, needed.bitmap.length, total)) return false;
  // Both halves are equally long, and in each every slot has the same share, in whole pages.
  if (layout.activity_log.length % (kCopies * kPage) != 0) return false;
  if (layout.bitmap_states.length % (kCopies * layout.slots * kPage) != 0) return false;
  if (layout.bitmap.length % (kCopies * layout.slots * kPage) != 0) return false;
  return areas_apart(layout);
}

uint64_t superblock_offset(bool internal, uint64_t disk_bytes) {
  if (!internal) return 0;
  const uint64_t end = round_down(disk_bytes, kPage);
  return end < kSuperblocksBytes ? 0 : end - kSuperblocksBytes;
}

}  // namespace blkmirror::meta
