// The side of a resync that has the data. Answers the target's requests; also answers a Primary
// SyncTarget's reads.
//
// A range is locked from before the read until the target reports it written (rule 5). A buffer
// is taken first, then the lock, so a lock holder never waits for memory. A write received from
// the target takes a locked range over at once (yield): the target itself drops the block then.
// Both wait for what the target reports, which may come behind a write: they leave it a buffer.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/buffer_pool.h"
#include "base/limits.h"
#include "base/slab.h"
#include "disk/backing_disk.h"
#include "engine/range_lock.h"
#include "meta/superblock_store.h"
#include "peer/frame.h"

namespace blkmirror::engine {

struct Parts;
struct Peer;

class ResyncSource {
 public:
  explicit ResyncSource(Parts& parts);

  void begin(Peer& peer);
  void peer_lost(uint32_t slot);
  // A write from `peer` overlaps: its resync blocks there give way.
  void yield(Peer& peer, uint64_t offset, uint32_t length);

  // Each returns null, or what is wrong with the frame.
  const char* on_request(Peer& peer, const peer::FrameHeader& header,
                         std::span<const std::byte> payload);
  const char* on_read_request(Peer& peer, const peer::FrameHeader& header,
                              std::span<const std::byte> payload);
  const char* on_written(Peer& peer, uint64_t sequence);
  // What the digest was sent of is not the same there.
  const char* on_wanted(Peer& peer, uint64_t sequence);
  const char* on_busy(Peer& peer, uint64_t sequence);
  const char* on_checkpoint();
  const char* on_done(Peer& peer, const peer::FrameHeader& header);
  bool idle() const { return jobs_.used() == 0; }

 private:
  // A peer's reads and its resync window.
  static constexpr uint32_t kJobs = 2048 / limits::kShrunk + 64;
  // Jobs with a buffer: each may keep a whole one of the pool's largest from all others.
  static constexpr uint32_t kHolders = limits::kPeerPoolBytes / limits::kPieceBytes - 1;
  static_assert(kHolders >= limits::kResyncWindow);

  enum class Step : uint8_t { kFree, kLine, kBuffer, kLock, kRead, kSent };

  struct Job {
    ResyncSource* source = nullptr;
    Peer* peer = nullptr;
    Step step = Step::kFree;
    bool resync = false;     // otherwise a read for a Primary SyncTarget
    bool cancelled = false;  // the connection is gone
    bool yielded = false;    // a write of the target took the range
    bool compare = false;    // the digest goes first
    uint64_t sequence = 0;
    Buffer* buffer = nullptr;
    RangeEntry range;
    disk::Job read;
    struct JobWaiter : BufferWaiter {
      Job* job = nullptr;
    } waiter;
    ListLink link;
    ListLink turn;
  };

  struct Ending {
    ResyncSource* source = nullptr;
    Peer* peer = nullptr;
    uint32_t incarnation = 0;
    bool busy = false;
    meta::Waiter bitmap;
    meta::Waiter superblock;
  };

  static void prepare(void* owner, Job& job);
  static void buffer_ready(BufferWaiter& waiter);
  static void range_granted(RangeEntry& range);
  static void read_done(disk::Job& read, int error);
  static void checkpoint_saved(meta::Waiter& waiter, int error);
  static void bitmap_saved(meta::Waiter& waiter, int error);
  static void superblock_saved(meta::Waiter& waiter, int error);

  const char* start(Peer& peer, const peer::FrameHeader& header, std::span<const std::byte> payload,
                    bool resync);
  void serve_line();
  void take_buffer(Job& job);
  void lock(Job& job);
  void read(Job& job);
  void answer(Job& job, int error);
  void send_data(Job& job);
  void send_sum(Job& job);
  void send_busy(Job& job);
  void finish(Job& job);
  Job* find(Peer& peer, uint64_t sequence);
  void finish_end(Ending& ending);
  static bool still_there(const Ending& ending);

  Parts& parts_;
  Slab<Job> jobs_;
  List<Job, &Job::link> active_;
  List<Job, &Job::turn> line_;  // of them, those that wait until they may hold a buffer
  uint32_t holders_ = 0;
  bool serving_line_ = false;
  std::array<Ending, limits::kSlots> endings_;
  meta::Waiter checkpoint_;
  bool checkpoint_busy_ = false;
};

}  // namespace blkmirror::engine
