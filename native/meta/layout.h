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
  Area bitmap_states;  // for each slot, whole pages
  Area bitmap;         // for each slot, whole pages

  uint64_t extent_count() const;
  uint64_t log_page_count() const;
  uint64_t bitmap_page_count() const;  // for one slot
  uint64_t state_page_count() const;   // for one slot

  // Where a page lies on the metadata's disk.
  uint64_t log_page_offset(uint64_t page) const;
  uint64_t state_page_offset(uint32_t slot, uint64_t page) const;
  uint64_t bitmap_page_offset(uint32_t slot, uint64_t page) const;
};

// `data_bytes`: size of the data disk; `metadata_bytes`: of the metadata's disk (the same disk
// when internal); `slots`: 1 to 31; `block`: 512 or 4096. ENOSPC when the disk is too small,
// EFBIG when it is larger than kMaxDeviceBytes.
Result<Layout> compute_layout(bool internal, uint64_t data_bytes, uint64_t metadata_bytes,
                              uint32_t slots, uint32_t block);

// Whether a layout read from a disk is one that may be used: sizes and slots in range, areas
// aligned, large enough, apart from each other and from the data, within metadata_bytes.
bool layout_valid(const Layout& layout, uint32_t block);

// Where a superblock is looked for: the first slot's offset for a disk of that size.
uint64_t superblock_offset(bool internal, uint64_t disk_bytes);

}  // namespace blkmirror::meta
