// The side of a resync that is copied to. Asks for what its bitmap shows out of sync, in passes
// over the device with a window of requests in flight, and writes what comes.
//
// A block that arrives while a write overlaps it is dropped and asked for in the next pass, so
// nothing waits in a circle. A bit clears when its whole block was written under the range lock.
// From time to time a checkpoint makes progress durable: flush, bitmap, then the extents cool.
// The end (rule 10): flush, bitmap, superblock, then the source is told.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer_pool.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/list.h"
#include "disk/backing_disk.h"
#include "engine/range_lock.h"
#include "engine/resync_pace.h"
#include "io/io.h"
#include "meta/superblock_store.h"
#include "peer/frame.h"

namespace blkmirror::engine {

struct Parts;
struct Peer;

class ResyncTarget {
 public:
  explicit ResyncTarget(Parts& parts);
  ~ResyncTarget();

  void begin(Peer& peer);
  void pause(uint32_t slot, bool paused);
  // The rates of a resync may have changed.
  void options_changed();
  void peer_lost(uint32_t slot);
  // An application wrote: the resync leaves room for what it does next.
  void application_request();
  // The peer whose data a read that is out of sync here must come from, or null.
  Peer* source();
  // Slots of the peers that this copy is brought up to date from.
  uint32_t sources();
  bool copying() const { return active_count_ != 0; }
  // Whether the bitmap holds all that the source knows: before, every block counts as out of sync.
  bool union_known() const { return union_known_; }
  // A source is met again: what it has marked meanwhile is not known yet.
  void forget_union() { union_known_ = false; }

  // Each returns null, or what is wrong with the frame. on_data takes over the buffer's
  // reference when it returns null.
  const char* on_data(Peer& peer, const peer::FrameHeader& header, Buffer& buffer);
  const char* on_sum(Peer& peer, const peer::FrameHeader& header,
                     std::span<const std::byte> payload);
  const char* on_busy(Peer& peer, uint64_t sequence);
  void batch_end();
  uint64_t oldest_us(uint32_t slot);
  bool idle() const;
  // What a lost source had sent is still being written: until then reads may show it or not.
  bool writes_for_lost() const;

 private:
  struct Copy;

  struct Request {
    Copy* copy = nullptr;
    bool used = false;
    bool arrived = false;    // in work here, under the range lock
    bool comparing = false;  // what arrived is a digest
    uint64_t seed = 0;       // of the digest
    Digest digest{};
    uint64_t sequence = 0;
    uint64_t sent_us = 0;
    Buffer* buffer = nullptr;
    RangeEntry range;
    meta::Waiter heat;
    disk::Job read;  // to compare
    disk::Job write;
  };

  // The resync from one peer.
  struct Copy {
    ResyncTarget* target = nullptr;
    Peer* peer = nullptr;
    bool active = false;
    bool ending = false;
    bool end_pending = false;  // a step of the end is in flight
    uint32_t incarnation = 0;
    uint64_t cursor = 0;
    uint64_t sequence = 0;
    uint32_t in_flight = 0;
    ResyncPace pace;
    io::Timer rate_timer;  // the pace lets the next block be asked for
    uint64_t since_checkpoint = 0;
    std::array<Request, limits::kResyncWindow> requests;
    disk::Job flush;
    meta::Waiter bitmap;
    meta::Waiter superblock;
  };

  static void rate_allows(io::Timer& timer);
  static void range_granted(RangeEntry& range);
  static void extent_hot(meta::Waiter& waiter, int error);
  static void compared(disk::Job& job, int error);
  static void written(disk::Job& job, int error);
  static void flushed(disk::Job& job, int error);
  static void bitmap_saved(meta::Waiter& waiter, int error);
  static void superblock_saved(meta::Waiter& waiter, int error);

  void follow_rates(Copy& copy);
  void ask(Copy& copy);
  void await_rate(Copy& copy, uint64_t now_us);
  bool ask_next(Copy& copy);
  Request* find(Copy& copy, uint64_t sequence);
  void take(Request& request, Buffer& buffer);
  bool drop_if_busy(Request& request);
  void launch(Request& request);
  void finish_block(Request& request);
  void want(Request& request);
  void report(Copy& copy, uint64_t sequence, peer::FrameType type);
  void release(Request& request);
  void begin_end(Copy& copy);
  void finish_end(Copy& copy);
  bool still_there(const Copy& copy) const;

  Parts& parts_;
  uint32_t active_count_ = 0;
  uint32_t paused_ = 0;  // slots
  bool union_known_ = false;
  std::array<std::unique_ptr<Copy>, limits::kSlots> copies_;
};

}  // namespace blkmirror::engine
