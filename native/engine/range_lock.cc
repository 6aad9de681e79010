// See range_lock.h.
#include "engine/range_lock.h"

#include "base/assert.h"

namespace blkmirror::engine {

namespace {

bool overlap(const RangeEntry& entry, uint64_t offset, uint64_t length) {
  return entry.offset < offset + length && offset < entry.offset + entry.length;
}

}  // namespace

bool RangeLock::free_before(Bucket& bucket, RangeEntry& entry) {
  for (RangeEntry* other = bucket.front(); other != &entry; other = bucket.next(*other)) {
    BM_ASSERT(other != nullptr);
    if (overlap(*other, entry.offset, entry.length)) return false;
  }
  return true;
}

bool RangeLock::acquire(RangeEntry& entry) {
  BM_ASSERT(entry.length > 0);
  BM_ASSERT(entry.offset / limits::kExtentBytes ==
            (entry.offset + entry.length - 1) / limits::kExtentBytes);
  Bucket& list = bucket(entry.offset);
  list.push_back(entry);
  entry.held = free_before(list, entry);
  if (!entry.held) waiting_ += 1;
  return entry.held;
}

void RangeLock::release(RangeEntry& entry) {
  BM_ASSERT(entry.link.linked());
  Bucket& list = bucket(entry.offset);
  list.remove(entry);
  if (!entry.held) {
    BM_ASSERT(waiting_ > 0);
    waiting_ -= 1;
  }
  entry.held = false;
  // granted() may acquire and release others, so the search begins anew after each grant.
  bool again = waiting_ > 0;
  while (again) {
    again = false;
    for (RangeEntry* other = list.front(); other != nullptr; other = list.next(*other)) {
      if (other->held || !free_before(list, *other)) continue;
      other->held = true;
      waiting_ -= 1;
      again = waiting_ > 0;
      other->granted(*other);
      break;
    }
  }
}

bool RangeLock::busy(uint64_t offset, uint32_t length) {
  BM_ASSERT(length > 0);
  Bucket& list = bucket(offset);
  for (RangeEntry* entry = list.front(); entry != nullptr; entry = list.next(*entry)) {
    if (overlap(*entry, offset, length)) return true;
  }
  return false;
}

bool RangeLock::extent_busy(uint64_t extent) {
  return busy(extent * limits::kExtentBytes, limits::kExtentBytes);
}

}  // namespace blkmirror::engine
