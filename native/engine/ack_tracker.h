// Who still has to report what: every write, flush and new generation that was admitted.
//
// An item may be acknowledged when the local part is done and every peer it was sent to has done
// what its protocol asks (A: the frame is with the kernel, B: received, C: written) or was lost.
// It is finished when moreover each of them has reported it written or was lost: until then it
// stays here in every protocol. When a peer is lost, each item it had not reported written hears
// `missed` (a write sets its bits) before anything is acknowledged or finished (rule 1). Items are
// found by sequence in a fixed table.
#pragma once

#include <array>
#include <cstdint>

#include "base/limits.h"
#include "base/list.h"
#include "engine/interface.h"

namespace blkmirror::engine {

struct Outstanding {
  void (*acknowledged)(Outstanding& item) = nullptr;  // before `finished`; may be null
  void (*finished)(Outstanding& item) = nullptr;
  void (*missed)(Outstanding& item, uint32_t slot) = nullptr;  // may be null
  void* owner = nullptr;
  uint64_t sequence = 0;
  uint64_t admitted_us = 0;
  Protocol protocol = Protocol::kC;
  uint32_t owing = 0;     // peers (bit n: slot n) that have not done what the protocol asks
  uint32_t waiting = 0;   // peers that have not reported it written; includes those that owe
  uint32_t reported = 0;  // peers that have
  bool local_done = false;
  bool told = false;  // acknowledged() was called
  ListLink link;
};

class AckTracker {
 public:
  // Gives the item its sequence; it waits for the local part and for each peer in the mask.
  void admit(Outstanding& item, uint32_t peers, Protocol protocol, uint64_t now_us);
  void local_done(Outstanding& item);
  // The kernel has taken the frame: all that protocol A asks.
  void sent(uint32_t slot, uint64_t sequence);
  // Each is false when the peer reports something it was not asked for.
  bool received(uint32_t slot, uint64_t sequence);
  bool written(uint32_t slot, uint64_t sequence);
  void peer_lost(uint32_t slot);
  // When the oldest item that the peer has not reported was admitted; 0: none.
  uint64_t oldest_us(uint32_t slot);
  // Something may be acknowledged before every peer has written it, or was.
  bool runs_ahead();
  bool empty() { return items_.empty(); }
  uint64_t sequence() const { return sequence_; }
  void continue_from(uint64_t sequence) { sequence_ = sequence; }
  // What a peer sends counts on: of two copies the one that saw more has the higher sequence.
  // False when the number cannot be one of this resource's.
  bool follow(uint64_t sequence);

 private:
  static constexpr uint32_t kTable = 8192;
  static constexpr uint64_t kMostAhead = uint64_t{1} << 48;  // decades of writes
  void settle(Outstanding& item);
  Outstanding* find(uint32_t slot, uint64_t sequence);
  Outstanding*& entry(uint64_t sequence) { return table_[sequence % kTable]; }

  std::array<Outstanding*, kTable> table_{};
  List<Outstanding, &Outstanding::link> items_;  // oldest first
  uint64_t sequence_ = 0;
  uint32_t count_ = 0;
};

}  // namespace blkmirror::engine
