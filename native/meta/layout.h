// Where the metadata areas lie: superblock slots, activity log, bitmap states, bitmap pages.
//
// Internal metadata lies at the end of the backing disk, external metadata at the start of a
// file or device of its own. All offsets are multiples of 4096. Pure computation.
#pragma once

#include <cstdint>

#include "base/limits.h"
#include "base/result.h"

namespace blkmirror::meta {

// A bitmap page covers 31 extents (124 MiB): 128 header bytes, then 3968 bytes of bits, so an
// extent never lies in two pages. An activity-log page holds 4064 bytes of bits (127 GiB).
inline constexpr uint32_t kExtentsPerBitmapPage = 31;
inline constexpr uint32_t kBitmapPageHeaderBytes = 128;
inline constexpr uint32_t kBitmapPageBitBytes = 3968;
inline constexpr uint64_t kBitmapPageCoverBytes =
    uint64_t{kExtentsPerBitmapPage} * limits::kExtentBytes;
inline constexpr uint32_t kLogPageHeaderBytes = 32;
inline constexpr uint32_t kExtentsPerLogPage = (4096 - kLogPageHeaderBytes) * 8;
inline constexpr uint32_t kStatesPerStatePage = 4096 - 32;  // one byte for each bitmap page

// Larger devices are refused, so no arithmetic on offsets overflows.
inline constexpr uint64_t kMaxDeviceBytes = uint64_t{1} << 50;

// Every page of log, states and bitmap lies twice, in the first and the second half of its area:
// the newest writes of both halves are the same, and at load what either says is out of sync is.
inline constexpr uint32_t kCopies = 2;

// Where both copies of a page lie, in bytes from the start of the metadata's disk.
struct PlacePair {
  uint64_t first = 0;
  uint64_t second = 0;
};

struct Area {
  uint64_t offset = 0;  // bytes from the start of the metadata's disk
  uint64_t length = 0;  // bytes
};

struct Layout {
  bool internal = true;
  uint32_t slots = 0;              // peers the bitmap has room for (1 to 31)
  uint64_t device_size_bytes = 0;  // what the mirror offers; a multiple of its block size
  uint64_t metadata_bytes = 0;
  Area superblocks;  // two slots of 4096
  Area activity_log;
  Area bitmap_states;  // in each half for each slot, whole pages
  Area bitmap;         // in each half for each slot, whole pages

  uint64_t extent_count() const;
  uint64_t log_page_count() const;
  uint64_t bitmap_page_count() const;  // for one slot
  uint64_t state_page_count() const;   // for one slot

  PlacePair log_page(uint64_t page) const;
  PlacePair state_page(uint32_t slot, uint64_t page) const;
  PlacePair bitmap_page(uint32_t slot, uint64_t page) const;
  // Where the last area ends: the metadata's disk must not be smaller.
  uint64_t end() const;
};

// `data_bytes`: size of the data disk; `metadata_bytes`: of the metadata's disk (the same disk
// when internal); `slots`: 1 to 31; `block`: 512 or 4096. ENOSPC when the disk is too small,
// EFBIG when it is larger than kMaxDeviceBytes.
Result<Layout> compute_layout(bool internal, uint64_t data_bytes, uint64_t metadata_bytes,
                              uint32_t slots, uint32_t block);

// The layout of `old` for a larger device, with every area where the old metadata has none, so that
// this stays whole until the new counts; only the superblocks may stay where they are.
// `device_bytes`: what the mirror is to offer, 0: all there is room for. EINVAL (not larger than
// before, or no whole blocks), ENOSPC (too little room, also beside the old metadata), EFBIG.
Result<Layout> grown_layout(const Layout& old, uint64_t data_bytes, uint64_t metadata_bytes,
                            uint32_t block, uint64_t device_bytes);

// Whether a layout read from a disk is one that may be used: sizes and slots in range, areas
// aligned, large enough, apart from each other and from the data, within metadata_bytes.
bool layout_valid(const Layout& layout, uint32_t block);

// Where a superblock is looked for: the first slot's offset for a disk of that size.
uint64_t superblock_offset(bool internal, uint64_t disk_bytes);

}  // namespace blkmirror::meta
