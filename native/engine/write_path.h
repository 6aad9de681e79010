// A client's write, trim or write-zeroes on the Primary.
//
// submit → range lock → admission (which peers receive it, bits for the others) → activity log
// durable → local disk and peers at once → ack_tracker → generation_gate → answer. When the
// answer is given, the local disk has completed the write, and every copy that was to receive it
// has written it (protocol C), received it (B) or will receive it from the kernel (A). In A and B
// the write stays known until each has reported it written: its extent cannot cool before, and a
// peer that is lost gets bits.
#pragma once

#include <cstdint>
#include <utility>

#include "base/slab.h"
#include "disk/backing_disk.h"
#include "engine/ack_tracker.h"
#include "engine/generation_gate.h"
#include "engine/range_lock.h"
#include "meta/superblock_store.h"
#include "nbd/backend.h"

namespace blkmirror::engine {

struct Parts;

class WritePath {
 public:
  explicit WritePath(Parts& parts);

  void submit(nbd::Piece& piece);
  // Writes held because no copy could take them: again, or in vain (data_access).
  void retry();
  void fail_held();
  uint32_t in_flight() const { return writes_.used(); }
  // Whether a write was answered that a peer lost since may not have received; asked once.
  bool take_unshared() { return std::exchange(unshared_, false); }
  bool idle() const { return in_flight() == 0; }

 private:
  struct Write {
    WritePath* path = nullptr;
    nbd::Piece* piece = nullptr;  // null: answered
    uint32_t sent = 0;            // peers that were to receive it
    bool local = false;           // the backing disk has it, or is to get it
    bool tracked = false;         // not reported by every peer
    bool passed = false;          // the gate has it, or had it
    int error = 0;
    RangeEntry range;
    meta::Waiter heat;
    disk::Job job;
    Outstanding item;
    HeldAck held;
    ListLink link;  // in held_
  };

  static void prepare(void* owner, Write& write);
  static void range_granted(RangeEntry& range);
  static void extent_hot(meta::Waiter& waiter, int error);
  static void local_written(disk::Job& job, int error);
  static void peer_missed(Outstanding& item, uint32_t slot);
  static void acknowledged(Outstanding& item);
  static void written_everywhere(Outstanding& item);
  static void answer(HeldAck& held);

  void begin(nbd::Piece& piece, Write& write);
  void admit(Write& write);
  void launch(Write& write);
  void launch_diskless(Write& write);
  bool kept(const Write& write) const;
  void hold(Write& write);
  void finish(Write& write, int error);
  void send(Write& write);
  void pass(Write& write);
  void free_range(Write& write);
  void recycle(Write& write);

  Parts& parts_;
  Slab<Write> writes_;
  List<nbd::Piece, &nbd::Piece::link> backlog_;
  List<Write, &Write::link> held_;
  bool unshared_ = false;
};

}  // namespace blkmirror::engine
