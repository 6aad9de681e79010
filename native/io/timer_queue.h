// Armed timers of one Io, with the earliest deadline at hand.
//
// There are few (some for each peer), so the queue is unsorted and the earliest deadline is
// looked for again only after that timer left. Timers due at the same time fire in the order in
// which they were armed. Used by both implementations of Io.
#pragma once

#include <cstdint>

#include "base/list.h"
#include "io/io.h"

namespace blkmirror::io {

class TimerQueue {
 public:
  static constexpr uint64_t kNever = UINT64_MAX;

  // Arming an armed timer moves its deadline.
  void arm(Timer& timer, uint64_t deadline_us);
  // Nothing happens when it is not armed.
  void disarm(Timer& timer);
  // kNever when no timer is armed.
  uint64_t next_deadline_us();
  // Takes the earliest timer due at `now_us` out of the queue; nullptr when none is due.
  Timer* take_due(uint64_t now_us);
  // Forgets all timers without firing them.
  void clear();

 private:
  Timer* earliest();

  List<Timer, &Timer::link> timers_;
  uint64_t next_us_ = kNever;
  bool known_ = true;  // next_us_ is right
};

}  // namespace blkmirror::io
