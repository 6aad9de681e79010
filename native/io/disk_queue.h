// The transfers that one disk was given, and those held back until it has answered some.
#pragma once

#include <cstdint>

#include "base/assert.h"
#include "base/list.h"
#include "io/io.h"
#include "io/queue_depth.h"

namespace blkmirror::io {

class DiskQueue {
 public:
  // True: give it to the disk. False: it is held until next().
  bool take(Op::Private& op) {
    if (given_ >= depth_.limit()) {
      held_.push_back(op);
      held_count_++;
      return false;
    }
    given_++;
    return true;
  }
  // So many came back in one batch.
  void answered(uint32_t done, uint64_t now_us) {
    BM_ASSERT(done <= given_);
    depth_.answered(done, given_, held_count_, now_us);
    given_ -= done;
  }
  // One of those goes back to the disk.
  void again() { given_++; }
  // One held that has a place now, or null.
  Op::Private* next() {
    if (given_ >= depth_.limit()) return nullptr;
    Op::Private* first = held_.pop_front();
    if (first == nullptr) return nullptr;
    BM_ASSERT(held_count_ > 0);
    held_count_--;
    given_++;
    return first;
  }
  // Another disk has the place.
  void reset() {
    BM_ASSERT(empty());
    depth_ = QueueDepth();
  }
  bool empty() const { return given_ == 0 && held_count_ == 0; }

 private:
  QueueDepth depth_;
  uint32_t given_ = 0;
  uint32_t held_count_ = 0;
  List<Op::Private, &Op::Private::link> held_;
};

}  // namespace blkmirror::io
