// Who still has to report what: every write, flush and new generation that was admitted.
//
// An item is finished when the local part is done and every peer it was sent to has reported it
// or was lost. When a peer is lost, each item it had not reported hears `missed` (a write sets
// its bits) before any item is finished (rule 1). Items are found by sequence in a fixed table.
#pragma once

#include <array>
#include <cstdint>

#include "base/limits.h"
#include "base/list.h"

namespace blkmirror::engine {

struct Outstanding {
  void (*finished)(Outstanding& item) = nullptr;
  void (*missed)(Outstanding& item, uint32_t slot) = nullptr;  // may be null
  void* owner = nullptr;
  uint64_t sequence = 0;
  uint64_t admitted_us = 0;
  uint32_t waiting = 0;   // peers (bit n: slot n) that have not reported
  uint32_t reported = 0;  // peers that have
  bool local_done = false;
  ListLink link;
};

class AckTracker {
 public:
  // Gives the item its sequence; it waits for the local part and for each peer in the mask.
  void admit(Outstanding& item, uint32_t peers, uint64_t now_us);
  void local_done(Outstanding& item);
  // False when the peer reports something it was not asked for.
  bool reported(uint32_t slot, uint64_t sequence);
  void peer_lost(uint32_t slot);
  // When the oldest item that the peer has not reported was admitted; 0: none.
  uint64_t oldest_us(uint32_t slot);
  bool empty() { return items_.empty(); }
  uint64_t sequence() const { return sequence_; }
  void continue_from(uint64_t sequence) { sequence_ = sequence; }

 private:
  static constexpr uint32_t kTable = 8192;
  void finish_if_done(Outstanding& item);
  Outstanding*& entry(uint64_t sequence) { return table_[sequence % kTable]; }

  std::array<Outstanding*, kTable> table_{};
  List<Outstanding, &Outstanding::link> items_;  // oldest first
  uint64_t sequence_ = 0;
  uint32_t count_ = 0;
};

}  // namespace blkmirror::engine
