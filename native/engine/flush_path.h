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
  bool idle() const { return flushes_.used() == 0; }

 private:
  struct Flush {
    FlushPath* path = nullptr;
    nbd::Piece* piece = nullptr;
    int error = 0;
    disk::Job job;
    Outstanding item;
    HeldAck held;
  };

  static void local_flushed(disk::Job& job, int error);
  static void flushed_everywhere(Outstanding& item);
  static void answer(HeldAck& held);
  void begin(nbd::Piece& piece, Flush& flush);

  Parts& parts_;
  Slab<Flush> flushes_;
  List<nbd::Piece, &nbd::Piece::link> backlog_;
};

}  // namespace blkmirror::engine
