// See ack_tracker.h.
#include "engine/ack_tracker.h"

#include "base/assert.h"

namespace blkmirror::engine {

void AckTracker::admit(Outstanding& item, uint32_t peers, uint64_t now_us) {
  BM_ASSERT(count_ < kTable / 2);
  BM_ASSERT(item.finished != nullptr);
  do {
    sequence_ += 1;
  } while (entry(sequence_) != nullptr);
  item.sequence = sequence_;
  item.admitted_us = now_us;
  item.waiting = peers;
  item.reported = 0;
  item.local_done = false;
  entry(sequence_) = &item;
  items_.push_back(item);
  count_ += 1;
}

void AckTracker::local_done(Outstanding& item) {
  BM_ASSERT(entry(item.sequence) == &item);
  BM_ASSERT(!item.local_done);
  item.local_done = true;
  finish_if_done(item);
}

void AckTracker::finish_if_done(Outstanding& item) {
  if (!item.local_done || item.waiting != 0) return;
  BM_ASSERT(entry(item.sequence) == &item);
  BM_ASSERT(count_ > 0);
  entry(item.sequence) = nullptr;
  items_.remove(item);
  count_ -= 1;
  item.finished(item);
}

bool AckTracker::reported(uint32_t slot, uint64_t sequence) {
  BM_ASSERT(slot < limits::kSlots);
  Outstanding* item = entry(sequence);
  if (item == nullptr || item->sequence != sequence) return false;
  if ((item->waiting & (1u << slot)) == 0) return false;
  item->waiting &= ~(1u << slot);
  item->reported |= 1u << slot;
  finish_if_done(*item);
  return true;
}

void AckTracker::peer_lost(uint32_t slot) {
  BM_ASSERT(slot < limits::kSlots);
  const uint32_t bit = 1u << slot;
  for (Outstanding* item = items_.front(); item != nullptr; item = items_.next(*item)) {
    if ((item->waiting & bit) != 0 && item->missed != nullptr) item->missed(*item, slot);
  }
  // finished() may admit others behind and finish others anywhere: start over after each.
  bool again = true;
  while (again) {
    again = false;
    for (Outstanding* item = items_.front(); item != nullptr; item = items_.next(*item)) {
      if ((item->waiting & bit) == 0) continue;
      item->waiting &= ~bit;
      if (!item->local_done || item->waiting != 0) continue;
      finish_if_done(*item);
      again = true;
      break;
    }
  }
}

uint64_t AckTracker::oldest_us(uint32_t slot) {
  BM_ASSERT(slot < limits::kSlots);
  for (Outstanding* item = items_.front(); item != nullptr; item = items_.next(*item)) {
    if ((item->waiting & (1u << slot)) != 0) return item->admitted_us;
  }
  return 0;
}

}  // namespace blkmirror::engine
