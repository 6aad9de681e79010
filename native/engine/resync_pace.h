// How much of a resync is in flight at once. Alone: a full window. Beside an application's
// requests: as little as keeps the round trip of a block near the shortest one seen, since what
// makes blocks wait makes the application's writes wait as well; at the least one block, and most
// of the time none. The resync always goes on, and never yields below its least rate (c-min-rate);
// its ceiling (c-max-rate) holds always. Both count what is asked for, compared or copied.
//
// Times in microseconds of one clock that never goes back.
#pragma once

#include <cstdint>

#include "engine/rate_limit.h"

namespace blkmirror::engine {

class ResyncPace {
 public:
  // Bytes. `most`: the ceiling, 0: none. `least`: what is kept beside an application, 0: it is
  // left no room.
  void set_rates(uint64_t most_per_second, uint64_t least_per_second);
  // A resync begins.
  void begin();
  // An application wrote.
  void application_request(uint64_t now_us) { application_us_ = now_us; }
  // Whether another block may be asked for beside `in_flight` ones.
  bool may_ask(uint64_t now_us, uint32_t in_flight) const;
  // It is asked for.
  void asked(uint64_t now_us, uint32_t bytes);
  // A block asked for `round_trip_us` ago is written.
  void block_written(uint64_t now_us, uint64_t round_trip_us);
  // When a block that may not be asked for now may be, though nothing happens until then: a rate
  // or the end of a pause is waited for; 0: blocks in flight alone are.
  uint64_t rate_allows_us(uint64_t now_us, uint32_t in_flight) const;

 private:
  bool shared(uint64_t now_us) const;

  RateLimit most_;
  RateLimit least_;
  uint64_t application_us_ = 0;  // the last request; 0: none yet
  uint64_t shortest_us_ = 0;     // round trip of this resync
  uint64_t not_before_us_ = 0;   // the next request, while the application is active
  uint32_t window_ = 0;          // blocks in flight, while the application is active
};

}  // namespace blkmirror::engine
