// Keeps overlapping operations apart: two that overlap are never in flight at once (rule 5).
//
// Entries lie within one extent and are hashed by it. An entry waits for every earlier one that
// it overlaps, in the order of arrival. Nothing is allocated per entry.
#pragma once

#include <cstdint>

#include "base/limits.h"
#include "base/list.h"

namespace blkmirror::engine {

struct RangeEntry {
  void (*granted)(RangeEntry& entry) = nullptr;
  void* owner = nullptr;
  uint64_t offset = 0;
  uint32_t length = 0;
  bool behind_settled = false;  // waits for settled entries too; set once by its owner
  bool held = false;
  bool settled = false;
  ListLink link;
};

class RangeLock {
 public:
  // True when the range is the caller's at once; else granted() is called later.
  bool acquire(RangeEntry& entry);
  // Gives up a range, held, settled or still waited for, and grants what waited for it.
  void release(RangeEntry& entry);
  // Others may have the held range from now on, except those that wait for settled ones too. Its
  // extent counts as busy until release().
  void settle(RangeEntry& entry);
  // Whether any entry that is not settled overlaps.
  bool busy(uint64_t offset, uint32_t length);
  bool extent_busy(uint64_t extent);

 private:
  using Bucket = List<RangeEntry, &RangeEntry::link>;
  static constexpr uint32_t kBuckets = 1024;

  static uint64_t hash(uint64_t offset) { return (offset / limits::kExtentBytes) % kBuckets; }
  Bucket& bucket(uint64_t offset) { return buckets_[hash(offset)]; }
  static bool overlaps(Bucket& bucket, uint64_t offset, uint32_t length);
  void grant(Bucket& bucket);
  bool free_before(Bucket& bucket, RangeEntry& entry);

  Bucket buckets_[kBuckets];
  Bucket settled_[kBuckets];
  uint32_t waiting_ = 0;
};

}  // namespace blkmirror::engine
