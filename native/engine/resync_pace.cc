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

}  // namespace

void ResyncPace::begin() {
  window_ = limits::kResyncWindow;
  shortest_us_ = UINT64_MAX;
  not_before_us_ = 0;
}

bool ResyncPace::shared(uint64_t now_us) const {
  return application_us_ != 0 && now_us < application_us_ + kActiveUs;
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
    not_before_us_ = now_us + round_trip_us;
  }
}

bool ResyncPace::may_ask(uint64_t now_us, uint32_t in_flight) const {
  BM_ASSERT(in_flight <= limits::kResyncWindow);
  if (!shared(now_us)) return in_flight < limits::kResyncWindow;
  return in_flight < window_ && now_us >= not_before_us_;
}

}  // namespace blkmirror::engine
