// The one source of chance in the simulated world: splitmix64 (Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", 2014). The same seed gives the same world.
#pragma once

#include <cstdint>

#include "base/assert.h"

namespace blkmirror::io {

class SimRandom {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t value = state_ += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
  }
  // low to high, both included.
  uint64_t between(uint64_t low, uint64_t high) {
    BM_ASSERT(low <= high);
    const uint64_t range = high - low + 1;
    return range == 0 ? next() : low + next() % range;
  }
  bool chance(uint32_t one_in) {
    BM_ASSERT(one_in > 0);
    return next() % one_in == 0;
  }

 private:
  uint64_t state_;
};

}  // namespace blkmirror::io
