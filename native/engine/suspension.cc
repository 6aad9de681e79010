// See suspension.h.
#include "engine/suspension.h"

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

void Suspension::set_policy(bool on) {
  on_ = on;
  if (!on) resume_all();
  BM_ASSERT(on || !active());
}

void Suspension::peer_lost(uint32_t slot, uint32_t incarnation) {
  BM_ASSERT(slot < limits::kSlots);
  if (!on_) return;
  undecided_ |= 1u << slot;
  lost_[slot] = incarnation;
}

// The gate looks again when the peer receives.
void Suspension::peer_returned(uint32_t slot) {
  BM_ASSERT(slot < limits::kSlots);
  BM_ASSERT(!parts_.peers.at(slot).receiving);
  undecided_ &= ~(1u << slot);
}

void Suspension::resume(uint32_t slot, uint32_t incarnation) {
  BM_ASSERT(slot < limits::kSlots);
  if (lost_[slot] == incarnation) decide(1u << slot);
}

void Suspension::resume_all() { decide(undecided_); }

void Suspension::decide(uint32_t slots) {
  if ((undecided_ & slots) == 0) return;
  undecided_ &= ~slots;
  if (parts_.attached()) parts_.gate.recheck();
}

bool Suspension::hold(nbd::Piece& piece) {
  BM_ASSERT(piece.done != nullptr);
  if (!active() || abandoned_ || !parts_.access.usable()) return false;
  held_.push_back(piece);
  return true;
}

// Not inside the event that ended it: between two admissions.
void Suspension::batch_end() {
  // A piece that is begun may find the next peer lost.
  while (!active() || abandoned_ || !parts_.access.usable()) {
    nbd::Piece* const piece = held_.pop_front();
    if (piece == nullptr) return;
    if (abandoned_) {
      parts_.refuse(*piece);
    } else {
      parts_.submit(*piece);
    }
  }
}

}  // namespace blkmirror::engine
