// See ack_tracker.h.
#include "engine/ack_tracker.h"

#include <algorithm>

#include "base/assert.h"

namespace blkmirror::engine {

void AckTracker::admit(Outstanding& item, uint32_t peers, Protocol protocol, uint64_t now_us) {
  BM_ASSERT(count_ < kTable / 2);
  BM_ASSERT(item.finished != nullptr);
  do {
    sequence_ += 1;
  } while (entry(sequence_) != nullptr);
  item.sequence = sequence_;
  item.admitted_us = now_us;
  item.protocol = protocol;
  item.owing = item.waiting = peers;
  item.reported = 0;
  item.local_done = item.told = false;
  entry(sequence_) = &item;
  items_.push_back(item);
  count_ += 1;
}

bool AckTracker::follow(uint64_t sequence) {
  if (sequence > sequence_ && sequence - sequence_ > kMostAhead) return false;
  sequence_ = std::max(sequence_, sequence);
  BM_ASSERT(sequence_ >= sequence);
  return true;
}

void AckTracker::local_done(Outstanding& item) {
  BM_ASSERT(entry(item.sequence) == &item);
  BM_ASSERT(!item.local_done);
  item.local_done = true;
  settle(item);
}

// Tells the item what has come true of it. It may be finished, and used again, inside the call.
void AckTracker::settle(Outstanding& item) {
  BM_ASSERT((item.owing & ~item.waiting) == 0);
  if (!item.local_done || item.owing != 0) return;
  const uint64_t sequence = item.sequence;
  if (!item.told) {
    item.told = true;
    if (item.acknowledged != nullptr) item.acknowledged(item);
    if (entry(sequence) != &item || item.sequence != sequence) return;
  }
  if (item.waiting != 0) return;
  BM_ASSERT(count_ > 0);
  entry(sequence) = nullptr;
  items_.remove(item);
  count_ -= 1;
  item.finished(item);
}

Outstanding* AckTracker::find(uint32_t slot, uint64_t sequence) {
  BM_ASSERT(slot < limits::kSlots);
  Outstanding* item = entry(sequence);
  if (item == nullptr || item->sequence != sequence) return nullptr;
  return (item->waiting & (1u << slot)) != 0 ? item : nullptr;
}

void AckTracker::sent(uint32_t slot, uint64_t sequence) {
  Outstanding* item = find(slot, sequence);
  if (item == nullptr || item->protocol != Protocol::kA) return;  // reported written already
  item->owing &= ~(1u << slot);
  settle(*item);
}

bool AckTracker::received(uint32_t slot, uint64_t sequence) {
  Outstanding* item = find(slot, sequence);
  if (item == nullptr || (item->owing & (1u << slot)) == 0) return false;
  // A flush of every copy awaits the flush itself.
  if (item->protocol == Protocol::kC) return true;
  item->owing &= ~(1u << slot);
  settle(*item);
  return true;
}

bool AckTracker::written(uint32_t slot, uint64_t sequence) {
  Outstanding* item = find(slot, sequence);
  if (item == nullptr) return false;
  item->owing &= ~(1u << slot);
  item->waiting &= ~(1u << slot);
  item->reported |= 1u << slot;
  settle(*item);
  return true;
}

void AckTracker::peer_lost(uint32_t slot) {
  BM_ASSERT(slot < limits::kSlots);
  const uint32_t bit = 1u << slot;
  for (Outstanding* item = items_.front(); item != nullptr; item = items_.next(*item)) {
    if ((item->waiting & bit) != 0 && item->missed != nullptr) item->missed(*item, slot);
  }
  // What is told may admit others behind and finish others anywhere: start over after each.
  bool again = true;
  while (again) {
    again = false;
    for (Outstanding* item = items_.front(); item != nullptr; item = items_.next(*item)) {
      if ((item->waiting & bit) == 0) continue;
      item->owing &= ~bit;
      item->waiting &= ~bit;
      const bool tells = item->local_done && (!item->told || item->waiting == 0);
      if (!tells || item->owing != 0) continue;
      settle(*item);
      again = true;
      break;
    }
  }
}

bool AckTracker::runs_ahead() {
  for (Outstanding* item = items_.front(); item != nullptr; item = items_.next(*item)) {
    BM_ASSERT(item->waiting != 0 || !item->local_done);
    if (item->protocol != Protocol::kC && item->waiting != 0) return true;
  }
  return false;
}

uint64_t AckTracker::oldest_us(uint32_t slot) {
  BM_ASSERT(slot < limits::kSlots);
  for (Outstanding* item = items_.front(); item != nullptr; item = items_.next(*item)) {
    if ((item->waiting & (1u << slot)) != 0) return item->admitted_us;
  }
  return 0;
}

}  // namespace blkmirror::engine
