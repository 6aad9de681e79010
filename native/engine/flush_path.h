// A flush on the Primary: every write answered before is on stable storage on this copy when it is
// answered, and in protocol C on every receiving peer. In A and B it is a barrier there: a peer
// finishes what was sent before, flushes, and only then starts what was sent after; the answer
// awaits what a write's does. At demotion, without a client, every peer's flush is awaited.
#pragma once

#include <cstdint>

#include "base/slab.h"
#include "disk/backing_disk.h"
#include "engine/ack_tracker.h"
#include "engine/generation_gate.h"
#include "nbd/backend.h"

namespace blkmirror::engine {

struct Parts;

class FlushPath {
 public:
  explicit FlushPath(Parts& parts);

  void submit(nbd::Piece& piece);
  // The flush of a demotion, after the last client: nobody is told that anything reached a copy
  // that misses it, so it alone begins no generation. Unless a write was answered that a peer,
  // lost since, may lack (protocol A). It awaits every peer's flush in every protocol.
  void submit_last(nbd::Piece& piece);
  // Flushes held because no copy could be flushed: again, or in vain (data_access).
  void retry();
  void fail_held();
  uint32_t in_flight() const { return flushes_.used(); }
  bool idle() const { return in_flight() == 0; }

 private:
  struct Flush {
    FlushPath* path = nullptr;
    nbd::Piece* piece = nullptr;  // null: answered
    bool tracked = false;         // not reported by every peer
    bool passed = false;          // the gate has it, or had it
    disk::Job job;
    Outstanding item;
    HeldAck held;
    ListLink link;  // in held_
  };

  static void prepare(void* owner, Flush& flush);
  static void local_flushed(disk::Job& job, int error);
  static void acknowledged(Outstanding& item);
  static void flushed_everywhere(Outstanding& item);
  static void answer(HeldAck& held);
  void begin(nbd::Piece& piece, Flush& flush);
  void hold(Flush& flush);
  bool kept(const Flush& flush) const;
  void pass(Flush& flush);
  void finish(Flush& flush, int error);
  void recycle(Flush& flush);

  Parts& parts_;
  nbd::Piece* last_ = nullptr;
  Slab<Flush> flushes_;
  List<nbd::Piece, &nbd::Piece::link> backlog_;
  List<Flush, &Flush::link> held_;
};

}  // namespace blkmirror::engine
