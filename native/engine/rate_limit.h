// How much may be taken over time: bytes at a steady rate. What was not taken is lost but for a
// moment's worth, which makes up for a clock that is looked at late.
//
// Times in microseconds of one clock that never goes back.
#pragma once

#include <cstdint>

namespace blkmirror::engine {

class RateLimit {
 public:
  // What an idle time saves up, at the most.
  static constexpr uint64_t kBurstUs = 20'000;

  // Bytes; 0: no limit.
  void set(uint64_t per_second);
  bool limits() const { return per_second_ != 0; }
  // From when on something may be taken.
  uint64_t free_us() const { return limits() ? free_us_ : 0; }
  void take(uint64_t now_us, uint32_t bytes);
  // The same, and never owes more than this one: for a rate that is a promise, not a bound.
  void take_without_debt(uint64_t now_us, uint32_t bytes);

 private:
  uint64_t cost_us(uint32_t bytes) const;

  uint64_t per_second_ = 0;
  uint64_t free_us_ = 0;  // when all that was taken is paid for
};

}  // namespace blkmirror::engine
