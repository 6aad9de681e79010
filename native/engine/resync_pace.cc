// See resync_pace.h.
#include "engine/resync_pace.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"

namespace blkmirror::engine {

namespace {

// How long after an application's request the next one is expected.
constexpr uint64_t kActiveUs = 20'000;
// How much longer than the shortest round trip one may be without any waiting.
constexpr uint64_t kRoomUs = 200;
// Where even one block at a time waits: how many of its round trips none is asked for.
constexpr uint64_t kRest = 3;

}  // namespace

void ResyncPace::set_rates(uint64_t most_per_second, uint64_t least_per_second) {
  most_.set(most_per_second);
  least_.set(least_per_second);
}

void ResyncPace::begin() {
  window_ = limits::kResyncWindow;
  shortest_us_ = UINT64_MAX;
  not_before_us_ = 0;
}

bool ResyncPace::shared(uint64_t now_us) const {
  if (!least_.limits() || application_us_ == 0) return false;
  return now_us < application_us_ + kActiveUs;
}

void ResyncPace::block_written(uint64_t now_us, uint64_t round_trip_us) {
  BM_ASSERT(window_ > 0);
  BM_ASSERT(window_ <= limits::kResyncWindow);
  shortest_us_ = std::min(shortest_us_, round_trip_us);
  not_before_us_ = 0;
  if (!shared(now_us)) {
    window_ = limits::kResyncWindow;
  } else if (round_trip_us <= shortest_us_ + kRoomUs) {
    window_ = std::min(window_ + 1, limits::kResyncWindow);
  } else if (window_ > 1) {
    window_ -= 1;
  } else {
    not_before_us_ = now_us + kRest * round_trip_us;
  }
}

bool ResyncPace::may_ask(uint64_t now_us, uint32_t in_flight) const {
  BM_ASSERT(in_flight <= limits::kResyncWindow);
  if (in_flight == limits::kResyncWindow || now_us < most_.free_us()) return false;
  if (!shared(now_us) || now_us >= least_.free_us()) return true;
  return in_flight < window_ && now_us >= not_before_us_;
}

void ResyncPace::asked(uint64_t now_us, uint32_t bytes) {
  BM_ASSERT(bytes > 0);
  BM_ASSERT(now_us >= most_.free_us());
  most_.take(now_us, bytes);
  least_.take_without_debt(now_us, bytes);
}

uint64_t ResyncPace::rate_allows_us(uint64_t now_us, uint32_t in_flight) const {
  BM_ASSERT(in_flight <= limits::kResyncWindow);
  if (in_flight == limits::kResyncWindow) return 0;
  uint64_t least_us = shared(now_us) ? least_.free_us() : 0;
  if (in_flight < window_) least_us = std::min(least_us, not_before_us_);
  const uint64_t free_us = std::max(most_.free_us(), least_us);
  return free_us > now_us ? free_us : 0;
}

}  // namespace blkmirror::engine
