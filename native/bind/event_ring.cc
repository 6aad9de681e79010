// See event_ring.h.
#include "bind/event_ring.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace blkmirror::bind {

namespace {

void copy_text(char (&to)[160], const char* from) {
  BM_ASSERT(from != nullptr);
  std::strncpy(to, from, sizeof to - 1);
  to[sizeof to - 1] = '\0';
}

}  // namespace

EventRing::EventRing(void (*notify)(void* owner), void* owner) : notify_(notify), owner_(owner) {
  BM_ASSERT(notify != nullptr);
}

uint64_t EventRing::used() const {
  const uint64_t tail = tail_.load(std::memory_order_acquire);
  BM_ASSERT(filled_ - tail <= kEvents);
  return filled_ - tail;
}

Event& EventRing::next(EventKind kind) {
  BM_ASSERT(used() < kEvents);
  Event& event = events_[filled_++ % kEvents];
  event = Event{};
  event.kind = kind;
  event.text_end = arena_head_;
  return event;
}

void EventRing::publish() {
  BM_ASSERT(head_.load(std::memory_order_relaxed) <= filled_);
  if (head_.load(std::memory_order_relaxed) == filled_) return;
  head_.store(filled_, std::memory_order_release);
  notify_(owner_);
}

// A text lies in one piece: one that would cross the arena's end begins at its start.
bool EventRing::try_place(uint32_t bytes, uint64_t* start) const {
  BM_ASSERT(bytes <= kArenaBytes);
  const uint64_t left = kArenaBytes - arena_head_ % kArenaBytes;
  *start = bytes <= left ? arena_head_ : arena_head_ + left;
  const uint64_t tail = arena_tail_.load(std::memory_order_acquire);
  BM_ASSERT(tail <= arena_head_);
  return *start + bytes - tail <= kArenaBytes;
}

void EventRing::attached() { next(EventKind::kAttached); }

void EventRing::completed(uint64_t ticket, int error, const char* what) {
  Event& event = next(EventKind::kCompleted);
  event.ticket = ticket;
  event.error = error;
  copy_text(event.detail, what == nullptr ? "" : what);
}

void EventRing::ended() {
  next(EventKind::kEnded);
  publish();
}

bool EventRing::take_overflow(uint32_t* slot, uint32_t* incarnation) {
  if (overflow_due_ == 0) return false;
  *slot = static_cast<uint32_t>(std::countr_zero(overflow_due_));
  BM_ASSERT(overflow_[*slot].marked);
  *incarnation = overflow_[*slot].incarnation;
  overflow_due_ &= overflow_due_ - 1;
  return true;
}

void EventRing::control(uint32_t slot, uint32_t incarnation, std::span<const std::byte> text) {
  BM_ASSERT(slot < limits::kSlots);
  BM_ASSERT(text.size() <= limits::kControlBytes);
  Overflow& overflow = overflow_[slot];
  if (overflow.marked && overflow.incarnation == incarnation) return;
  uint64_t start = 0;
  const auto bytes = uint32_t(text.size());
  if (used() >= kEvents - kReservedEvents || !try_place(bytes, &start)) {
    overflow = {true, incarnation};
    overflow_due_ |= 1u << slot;
    return;
  }
  std::memcpy(arena_.get() + start % kArenaBytes, text.data(), bytes);
  arena_head_ = start + bytes;
  Event& event = next(EventKind::kControl);
  event.slot = slot;
  event.incarnation = incarnation;
  event.text_at = uint32_t(start % kArenaBytes);
  event.text_bytes = bytes;
}

void EventRing::link_closed(uint32_t slot, uint32_t incarnation, engine::Loss loss,
                            const char* detail) {
  BM_ASSERT(slot < limits::kSlots);
  const bool overflowed = overflow_[slot].marked && overflow_[slot].incarnation == incarnation;
  if (overflowed) {
    overflow_[slot] = {};
    overflow_due_ &= ~(1u << slot);
  }
  Event& event = next(EventKind::kLinkClosed);
  event.slot = slot;
  event.incarnation = incarnation;
  event.loss = loss;
  copy_text(event.detail,
            overflowed ? "control frames came faster than they were handled" : detail);
}

void EventRing::resync_started(uint32_t slot, uint32_t incarnation) {
  Event& event = next(EventKind::kResyncStarted);
  event.slot = slot;
  event.incarnation = incarnation;
}

void EventRing::resync_finished(uint32_t slot, uint32_t incarnation) {
  Event& event = next(EventKind::kResyncFinished);
  event.slot = slot;
  event.incarnation = incarnation;
}

void EventRing::generation_changed() {
  if (generation_waits_.exchange(true)) return;
  next(EventKind::kGenerationChanged);
}

void EventRing::clients_changed(uint32_t count) {
  client_count_.store(count);
  if (clients_wait_.exchange(true)) return;
  next(EventKind::kClientsChanged);
}

void EventRing::disk_failed(const char* what, int error) {
  if (disk_failure_waits_.exchange(true)) return;
  Event& event = next(EventKind::kDiskFailed);
  event.error = error;
  copy_text(event.detail, what);
}

void EventRing::io_error(const char* what, int error) {
  if (io_error_waits_.exchange(true)) return;
  Event& event = next(EventKind::kIoError);
  event.error = error;
  copy_text(event.detail, what);
}

void EventRing::metadata_changed(const meta::Superblock& superblock) {
  uint32_t named = 0;
  for (uint32_t slot = 0; slot < limits::kSlots; slot++) {
    if (!superblock.peers[slot].name.empty()) named |= 1u << slot;
  }
  named_slots_.store(named, std::memory_order_relaxed);
  durable_uuid_.store(superblock.current_uuid, std::memory_order_relaxed);
  meta::encode(superblock, encoded_);
  const std::lock_guard<std::mutex> lock(metadata_mutex_);
  metadata_bytes_ = encoded_;
  metadata_offset_ = superblock.layout.superblocks.offset;
  metadata_known_ = true;
  metadata_revision_.fetch_add(1);
}

bool EventRing::try_take(Event& event, std::string& text) {
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (head_.load(std::memory_order_acquire) == tail) return false;
  event = events_[tail % kEvents];
  text.clear();
  if (event.kind == EventKind::kControl) {
    text.assign(reinterpret_cast<const char*>(arena_.get()) + event.text_at, event.text_bytes);
  } else if (event.kind == EventKind::kGenerationChanged) {
    generation_waits_.store(false);
  } else if (event.kind == EventKind::kClientsChanged) {
    clients_wait_.store(false);
    event.count = client_count_.load();
  } else if (event.kind == EventKind::kDiskFailed) {
    disk_failure_waits_.store(false);
  } else if (event.kind == EventKind::kIoError) {
    io_error_waits_.store(false);
  }
  arena_tail_.store(event.text_end, std::memory_order_release);
  tail_.store(tail + 1, std::memory_order_release);
  return true;
}

Result<meta::Superblock> EventRing::metadata() {
  alignas(8) std::array<std::byte, 4096> bytes;
  uint64_t offset = 0;
  {
    const std::lock_guard<std::mutex> lock(metadata_mutex_);
    if (!metadata_known_) return Error{EAGAIN, "the metadata is not read yet"};
    bytes = metadata_bytes_;
    offset = metadata_offset_;
  }
  return meta::decode(bytes, offset);
}

}  // namespace blkmirror::bind
