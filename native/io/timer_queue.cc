// See timer_queue.h.
#include "io/timer_queue.h"

#include "base/assert.h"

namespace blkmirror::io {

void TimerQueue::arm(Timer& timer, uint64_t deadline_us) {
  BM_ASSERT(timer.fire != nullptr);
  BM_ASSERT(deadline_us != kNever);
  disarm(timer);
  timer.deadline_us = deadline_us;
  timers_.push_back(timer);
  if (known_ && deadline_us < next_us_) next_us_ = deadline_us;
}

void TimerQueue::disarm(Timer& timer) {
  if (!timer.link.linked()) return;
  timers_.remove(timer);
  if (timer.deadline_us <= next_us_) known_ = false;
}

uint64_t TimerQueue::next_deadline_us() {
  if (!known_) {
    const Timer* timer = earliest();
    next_us_ = timer == nullptr ? kNever : timer->deadline_us;
    known_ = true;
  }
  BM_ASSERT(timers_.empty() == (next_us_ == kNever));
  return next_us_;
}

Timer* TimerQueue::take_due(uint64_t now_us) {
  if (next_deadline_us() > now_us) return nullptr;
  Timer* timer = earliest();
  BM_ASSERT(timer != nullptr);
  BM_ASSERT(timer->deadline_us <= now_us);
  disarm(*timer);
  return timer;
}

void TimerQueue::clear() {
  while (timers_.pop_front() != nullptr) {
  }
  next_us_ = kNever;
  known_ = true;
}

Timer* TimerQueue::earliest() {
  Timer* best = nullptr;
  for (Timer* timer = timers_.front(); timer != nullptr; timer = timers_.next(*timer)) {
    if (best == nullptr || timer->deadline_us < best->deadline_us) best = timer;
  }
  return best;
}

}  // namespace blkmirror::io
