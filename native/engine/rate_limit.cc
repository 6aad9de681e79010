// See rate_limit.h.
#include "engine/rate_limit.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"

namespace blkmirror::engine {

namespace {

constexpr uint64_t kSecondUs = 1'000'000;

}  // namespace

void RateLimit::set(uint64_t per_second) {
  if (per_second == per_second_) return;
  per_second_ = per_second;
  // What a slower rate made one wait for is forgiven.
  free_us_ = 0;
}

uint64_t RateLimit::cost_us(uint32_t bytes) const {
  BM_ASSERT(limits());
  BM_ASSERT(bytes <= limits::kResyncBytes);
  return (bytes * kSecondUs + per_second_ - 1) / per_second_;
}

void RateLimit::take(uint64_t now_us, uint32_t bytes) {
  if (!limits()) return;
  BM_ASSERT(bytes > 0);
  BM_ASSERT(free_us_ <= now_us);
  const uint64_t saved_us = now_us - std::min(now_us, kBurstUs);
  free_us_ = std::max(free_us_, saved_us) + cost_us(bytes);
}

void RateLimit::take_without_debt(uint64_t now_us, uint32_t bytes) {
  if (!limits()) return;
  BM_ASSERT(bytes > 0);
  const uint64_t saved_us = now_us - std::min(now_us, kBurstUs);
  const uint64_t cost = cost_us(bytes);
  free_us_ = std::min(std::max(free_us_, saved_us) + cost, now_us + cost);
}

}  // namespace blkmirror::engine
