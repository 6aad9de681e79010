// Whether a data-plane thread should look for completions for a moment before it sleeps. To be
// woken takes longer than most answers do while one request is under way at a time; but a thread
// that looks takes the processor from whoever has use for it.
//
// It is worth it as long as nearly every wait was short, and not for a good while after another
// thread wanted the processor. An idle thread never looks, nor does one with many requests under
// way: their completions come in batches to who sleeps, and one by one to who looks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/assert.h"

namespace blkmirror::io {

class Spin {
 public:
  static constexpr uint64_t kMostUs = 100;   // of one look
  static constexpr uint64_t kYieldUs = 250;  // a longer yield: somebody uses the processor in full

  bool worth_it() const { return credit_ >= kEnough; }
  // A sleep took so long, being woken included.
  void slept(uint64_t us) {
    if (us <= 2 * kMostUs) {
      gain();
    } else {
      credit_ = std::min(credit_, 0);
    }
  }
  // A look ended with a completion, or with none.
  void looked(bool found) {
    BM_ASSERT(worth_it());
    if (found) {
      gain();
      return;
    }
    credit_ -= kCostOfNone;
    if (!worth_it()) credit_ = kAfterNone;
  }
  // Another thread used the processor in full while this one looked.
  void disturbed() {
    BM_ASSERT(worth_it());
    credit_ = kAfterDisturbance;
  }

 private:
  static constexpr int32_t kEnough = 8;
  static constexpr int32_t kMost = 32;
  static constexpr int32_t kCostOfNone = 16;
  // Short sleeps, less kEnough, before it looks again.
  static constexpr int32_t kAfterNone = -64;
  static constexpr int32_t kAfterDisturbance = -2048;

  void gain() {
    credit_ = std::min(credit_ + 1, kMost);
    BM_ASSERT(credit_ > kAfterDisturbance);
  }

  int32_t credit_ = 0;
};

}  // namespace blkmirror::io
