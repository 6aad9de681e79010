// How many transfers a disk is given at a time.
//
// Many virtual disks answer only when they have done all they were given: the answers come in one
// batch, and while these are dealt with, the disk has nothing to do. Given half of what is wanted
// of it, such a disk works on one half while the other is dealt with. Others only lose by that. So
// where answers come in batches it is tried: windows of transfers without a limit and with one take
// turns, and what was faster stays for a while.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/assert.h"

namespace blkmirror::io {

class QueueDepth {
 public:
  static constexpr uint32_t kAll = UINT32_MAX;
  static constexpr uint32_t kWindow = 512;      // transfers
  static constexpr uint32_t kFew = 6;           // wanted at a time, at most: no limit
  static constexpr uint32_t kPairs = 11;        // of windows, in a trial
  static constexpr uint32_t kVerdictFor = 512;  // windows, until the next trial

  uint32_t limit() const { return limit_; }

  // `done` transfers of the `given` were answered in one batch; `held` more waited for a place.
  void answered(uint32_t done, uint32_t given, uint32_t held, uint64_t now_us) {
    BM_ASSERT(done > 0);
    BM_ASSERT(done <= given);
    answered_ += done;
    together_ += done * done / given;
    most_ = std::max(most_, given + held);
    if (answered_ < kWindow) return;
    const uint64_t took_us = now_us - since_us_;
    const bool batches = together_ * 100 >= answered_ * kBatchPercent && most_ > kFew;
    limit_ = batches && wants_limit(took_us, now_us) ? most_ / 2 : kAll;
    if (!batches) first_us_ = 0;
    since_us_ = now_us;
    answered_ = 0;
    together_ = 0;
    most_ = 0;
  }

 private:
  // Of a hundred transfers, those that were answered together with all the disk had.
  static constexpr uint32_t kBatchPercent = 40;

  // Whether the next window is to have a limit, after one that took so long.
  bool wants_limit(uint64_t took_us, uint64_t now_us) {
    if (verdict_left_ > 0) {
      verdict_left_--;
      return limit_won_;
    }
    const bool limited = limit_ != kAll;
    if (first_us_ == 0) {
      first_us_ = took_us;
      return !limited;
    }
    pairs_++;
    if (limited ? took_us < first_us_ : first_us_ < took_us) pairs_won_++;
    first_us_ = 0;
    // By chance: another node that tries the same on the same disk must not keep step.
    if (pairs_ < kPairs) return (now_us & 1) != 0;
    limit_won_ = pairs_won_ > kPairs / 2;
    verdict_left_ = kVerdictFor;
    pairs_ = 0;
    pairs_won_ = 0;
    return limit_won_;
  }

  uint32_t limit_ = kAll;
  uint64_t since_us_ = 0;  // beginning of the window
  uint32_t answered_ = 0;  // in this window, as the two below
  uint32_t together_ = 0;
  uint32_t most_ = 0;
  uint64_t first_us_ = 0;  // what the first window of a trial's pair took
  uint32_t pairs_ = 0;
  uint32_t pairs_won_ = 0;
  bool limit_won_ = false;
  uint32_t verdict_left_ = 0;  // windows
};

}  // namespace blkmirror::io
