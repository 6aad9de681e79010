// Repairing metadata: one good superblock makes both, damaged log pages become hot, damaged
// bitmap pages out of sync. Where no superblock is good where it belongs, looks for one at
// plausible places of the disk: one that grew, or that holds metadata of the other kind.
//
// Blocks: call it from a worker thread. Claims the disks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bind/offline_disks.h"
#include "host/failure.h"
#include "meta/superblock.h"

namespace blkmirror::bind {

struct RepairSpec {
  std::string resource;
  std::string node;
  DiskPaths paths;
  uint64_t last_superblock = 0;  // where it was last seen; 0: not known
  bool scan = false;             // looks everywhere, however long that takes
};

// A superblock that is whole, at a place where attach does not look.
struct Stray {
  uint64_t offset = 0;
  meta::Superblock superblock;
};

struct RepairReport {
  bool repaired = false;        // there is metadata that attach accepts
  std::string slots[2];         // what was wrong with each; empty: nothing
  uint64_t log_pages = 0;       // now all hot
  uint64_t bitmap_pages = 0;    // now all out of sync
  bool moved = false;           // the superblock was at the first of `strays`
  meta::Superblock superblock;  // when repaired
  std::vector<Stray> strays;    // at most kMaxStrays, the best first
};

inline constexpr uint32_t kMaxStrays = 8;

// Answers also when nothing could be repaired: then `strays` says what was found. EBUSY while
// attached, ENOTSUP (a version that this program does not know is left alone), ESTALE (metadata
// of something else), EIO.
host::Outcome<RepairReport> repair_metadata(const RepairSpec& spec);

}  // namespace blkmirror::bind
