// A flush on the Primary: every write answered before is on stable storage on this copy and on
// every receiving peer when it is answered. Also run, without a client, at demotion.
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
  // that misses it, so it alone begins no generation.
  void submit_last(nbd::Piece& piece);
  // Flushes held because no copy could be flushed: again, or in vain (data_access).
  void retry();
  void fail_held();
  bool idle() const { return flushes_.used() == 0; }

 private:
  struct Flush {
    FlushPath* path = nullptr;
    nbd::Piece* piece = nullptr;
    disk::Job job;
    Outstanding item;
    HeldAck held;
    ListLink link;  // in held_
  };

  static void local_flushed(disk::Job& job, int error);
  static void flushed_everywhere(Outstanding& item);
  static void answer(HeldAck& held);
  void begin(nbd::Piece& piece, Flush& flush);
  void hold(Flush& flush);
  void finish(Flush& flush, int error);

  Parts& parts_;
  nbd::Piece* last_ = nullptr;
  Slab<Flush> flushes_;
  List<nbd::Piece, &nbd::Piece::link> backlog_;
  List<Flush, &Flush::link> held_;
};

}  // namespace blkmirror::engine
