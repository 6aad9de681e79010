// I/O that waits for a decision about a lost peer (fencing = resource-and-stonith).
//
// Invariant: from the loss of a peer that received writes until resume(), resume_all() or the
// peer's return, no client's request is begun and none is acknowledged. The mark is set in the
// very event that finds the peer lost, before anything that waited for it goes on; nobody has to
// be asked. Everything is refused once the clients are being given up.
#pragma once

#include <array>
#include <cstdint>

#include "base/limits.h"
#include "base/list.h"
#include "nbd/backend.h"

namespace blkmirror::engine {

struct Parts;

class Suspension {
 public:
  explicit Suspension(Parts& parts) : parts_(parts) {}

  // Whether losses suspend from now on. Off: nothing is suspended any more.
  void set_policy(bool on);
  bool active() const { return undecided_ != 0; }

  // `incarnation`: of the connection that was lost. Before the peer stops receiving.
  void peer_lost(uint32_t slot, uint32_t incarnation);
  // Before it receives again.
  void peer_returned(uint32_t slot);
  // The decision about that loss; ignored when the peer has come back, or was lost again.
  void resume(uint32_t slot, uint32_t incarnation);
  void resume_all();

  // True when the piece is kept until then.
  bool hold(nbd::Piece& piece);
  // Nobody waits for answers any more.
  void abandon() { abandoned_ = true; }
  bool idle() const { return held_.empty(); }
  void batch_end();

 private:
  void decide(uint32_t slots);

  Parts& parts_;
  bool on_ = false;
  bool abandoned_ = false;
  uint32_t undecided_ = 0;  // slots
  std::array<uint32_t, limits::kSlots> lost_{};
  List<nbd::Piece, &nbd::Piece::link> held_;
};

}  // namespace blkmirror::engine
