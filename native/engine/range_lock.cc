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
  if (!entry.behind_settled) return true;
  return !overlaps(settled_[hash(entry.offset)], entry.offset, entry.length);
}

bool RangeLock::acquire(RangeEntry& entry) {
  BM_ASSERT(entry.length > 0);
  BM_ASSERT(entry.offset / limits::kExtentBytes ==
            (entry.offset + entry.length - 1) / limits::kExtentBytes);
  Bucket& list = bucket(entry.offset);
  entry.settled = false;
  list.push_back(entry);
  entry.held = free_before(list, entry);
  if (!entry.held) waiting_ += 1;
  return entry.held;
}

void RangeLock::release(RangeEntry& entry) {
  BM_ASSERT(entry.link.linked());
  Bucket& list = bucket(entry.offset);
  list.remove(entry);  // or from the settled ones
  if (!entry.held && !entry.settled) {
    BM_ASSERT(waiting_ > 0);
    waiting_ -= 1;
  }
  entry.held = entry.settled = false;
  grant(list);
}

void RangeLock::settle(RangeEntry& entry) {
  BM_ASSERT(entry.link.linked());
  BM_ASSERT(entry.held);
  Bucket& list = bucket(entry.offset);
  list.remove(entry);
  entry.held = false;
  entry.settled = true;
  settled_[hash(entry.offset)].push_back(entry);
  grant(list);
}

// granted() may acquire and release others, so the search begins anew after each grant.
void RangeLock::grant(Bucket& list) {
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

bool RangeLock::overlaps(Bucket& list, uint64_t offset, uint32_t length) {
  for (RangeEntry* entry = list.front(); entry != nullptr; entry = list.next(*entry)) {
    if (overlap(*entry, offset, length)) return true;
  }
  return false;
}

bool RangeLock::busy(uint64_t offset, uint32_t length) {
  BM_ASSERT(length > 0);
  return overlaps(bucket(offset), offset, length);
}

bool RangeLock::extent_busy(uint64_t extent) {
  const uint64_t offset = extent * limits::kExtentBytes;
  return busy(offset, limits::kExtentBytes) ||
         overlaps(settled_[hash(offset)], offset, limits::kExtentBytes);
}

}  // namespace blkmirror::engine
