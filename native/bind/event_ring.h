// What the engine tells JavaScript: a ring of fixed slots between the engine's thread, which
// fills it, and the main thread, which empties it. No lock, and nothing is allocated or waited
// for on the engine's side, however long JavaScript sleeps.
//
// - Order is kept, completions of commands included. publish() makes visible what was put in
//   since, at the end of a batch: whoever is told sees the statistics of that batch.
// - generation_changed, clients_changed and failures of the disk are coalesced while one waits.
// - Control frames may not use the last slots and bytes: when they find no room their link is
//   marked (overflow) and its owner closes it. The rest is bounded by the commands JavaScript
//   gave, so it always finds room (asserted).
// - The metadata is a snapshot beside the ring, under a mutex held for one copy of 4 KiB.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "base/locked_array.h"
#include "base/locked_bytes.h"
#include "engine/interface.h"

namespace blkmirror::bind {

enum class EventKind : uint8_t {
  kAttached,
  kControl,
  kLinkClosed,
  kResyncStarted,
  kResyncFinished,
  kGenerationChanged,
  kClientsChanged,
  kDiskFailed,
  kIoError,
  kCompleted,
  kEnded,
};

struct Event {
  EventKind kind = EventKind::kCompleted;
  engine::Loss loss = engine::Loss::kBrokenPipe;
  uint32_t slot = 0;
  uint32_t incarnation = 0;
  uint32_t count = 0;    // kClientsChanged
  int32_t error = 0;     // kCompleted, kDiskFailed, kIoError
  uint64_t ticket = 0;   // kCompleted
  uint32_t text_at = 0;  // kControl: place in the arena
  uint32_t text_bytes = 0;
  uint64_t text_end = 0;  // arena position when it is taken
  char detail[160] = "";  // kLinkClosed, kDiskFailed, kIoError, kCompleted
};

class EventRing final : public engine::EventSink {
 public:
  // `notify` is called on the engine's thread when there is something new to take.
  EventRing(void (*notify)(void* owner), void* owner);

  // The engine's thread.
  void attached();
  void completed(uint64_t ticket, int error, const char* what);
  // The last event; published at once.
  void ended();
  void publish();
  // The next link that lost a control frame and is to be closed; false: none.
  bool take_overflow(uint32_t* slot, uint32_t* incarnation);

  void control(uint32_t slot, uint32_t incarnation, std::span<const std::byte> text) override;
  void link_closed(uint32_t slot, uint32_t incarnation, engine::Loss loss,
                   const char* detail) override;
  void resync_started(uint32_t slot, uint32_t incarnation) override;
  void resync_finished(uint32_t slot, uint32_t incarnation) override;
  void generation_changed() override;
  void clients_changed(uint32_t count) override;
  void disk_failed(const char* what, int error) override;
  void io_error(const char* what, int error) override;
  void metadata_changed(const meta::Superblock& superblock) override;

  // The main thread. `text` receives a control frame's JSON.
  bool try_take(Event& event, std::string& text);
  // EAGAIN before the first metadata_changed().
  Result<meta::Superblock> metadata();
  // Another number means other metadata.
  uint64_t metadata_revision() const { return metadata_revision_.load(); }
  // The currentUuid that is durable here; 0 before the first metadata_changed().
  uint64_t durable_uuid() const { return durable_uuid_.load(std::memory_order_relaxed); }
  // Slots that have a name (bit n: slot n).
  uint32_t named_slots() const { return named_slots_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kEvents = 1024;
  static constexpr uint32_t kReservedEvents = 640;  // not for control frames
  static constexpr uint32_t kArenaBytes = 1u << 20;

  struct Overflow {
    bool marked = false;
    uint32_t incarnation = 0;
  };

  // The slot to fill.
  Event& next(EventKind kind);
  uint64_t used() const;
  bool try_place(uint32_t bytes, uint64_t* start) const;

  void (*notify_)(void* owner);
  void* owner_;
  LockedArray<Event> events_{kEvents};
  LockedBytes arena_{kArenaBytes};
  uint64_t filled_ = 0;                  // the engine's: events ever put in
  std::atomic<uint64_t> head_{0};        // events ever published
  std::atomic<uint64_t> tail_{0};        // events ever taken
  uint64_t arena_head_ = 0;              // the engine's: bytes ever used
  std::atomic<uint64_t> arena_tail_{0};  // bytes ever given back
  std::array<Overflow, limits::kSlots> overflow_{};
  uint32_t overflow_due_ = 0;  // marked and not taken (bit n: slot n)
  std::atomic<bool> generation_waits_{false};
  std::atomic<bool> clients_wait_{false};
  std::atomic<uint32_t> client_count_{0};
  std::atomic<bool> disk_failure_waits_{false};
  std::atomic<bool> io_error_waits_{false};
  std::atomic<uint32_t> named_slots_{0};
  std::atomic<uint64_t> durable_uuid_{0};
  std::atomic<uint64_t> metadata_revision_{0};
  std::mutex metadata_mutex_;  // guards the three below
  bool metadata_known_ = false;
  uint64_t metadata_offset_ = 0;
  alignas(8) std::array<std::byte, 4096> metadata_bytes_{};
  alignas(8) std::array<std::byte, 4096> encoded_{};  // the engine's
};

}  // namespace blkmirror::bind
