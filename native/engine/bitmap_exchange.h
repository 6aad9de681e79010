// Before a resync both nodes send each other their bitmaps, unite them and make the union
// durable (rule 10). Pages travel as room in the send queue allows, between data frames.
//
// establish() makes the peer receive writes first, so whatever is written while pages travel
// reaches it as a data frame: the bitmap is exchanged between two admissions (rule 5).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/limits.h"
#include "meta/superblock_store.h"
#include "peer/frame.h"

namespace blkmirror::engine {

struct Parts;
struct Peer;

class BitmapExchange {
 public:
  explicit BitmapExchange(Parts& parts);

  void begin(Peer& peer);
  void peer_lost(uint32_t slot);
  bool active(uint32_t slot) const { return exchanges_[slot].active; }
  // Each returns null, or what is wrong with the frame.
  const char* on_page(Peer& peer, const peer::FrameHeader& header,
                      std::span<const std::byte> payload);
  const char* on_end(Peer& peer, uint64_t current_uuid);
  const char* on_durable(Peer& peer);
  void batch_end();

 private:
  struct Exchange {
    BitmapExchange* owner = nullptr;
    Peer* peer = nullptr;
    bool active = false;
    bool sent = false;      // our pages and their end
    bool received = false;  // the peer's
    bool durable = false;   // the union is durable here
    bool peer_durable = false;
    bool saving = false;  // a write-back for this exchange is in flight
    uint32_t incarnation = 0;
    uint64_t next_page = 0;
    uint64_t pages_sent = 0;
    meta::Waiter saved;
  };

  static void union_durable(meta::Waiter& waiter, int error);
  void send_pages(Exchange& exchange);
  bool send_page(Exchange& exchange, uint64_t page);
  void save(Exchange& exchange);
  void finish_if_done(Exchange& exchange);

  Parts& parts_;
  uint32_t active_count_ = 0;
  std::array<Exchange, limits::kSlots> exchanges_;
};

}  // namespace blkmirror::engine
