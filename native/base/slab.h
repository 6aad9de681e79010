// A fixed number of objects of one type, allocated at start; taking and giving back is O(1).
//
// Objects are constructed once and used again as they are: whoever takes one sets its fields.
#pragma once

#include <cstdint>
#include <memory>

#include "base/assert.h"

namespace blkmirror {

template <class T>
class Slab {
 public:
  explicit Slab(uint32_t count) : objects_(new T[count]), free_(new uint32_t[count]) {
    for (uint32_t i = 0; i < count; ++i) free_[i] = count - 1 - i;
    free_count_ = count;
    count_ = count;
  }

  T* try_take() {
    if (free_count_ == 0) return nullptr;
    free_count_ -= 1;
    return &objects_[free_[free_count_]];
  }
  void give_back(T& object) {
    const auto index = static_cast<uint32_t>(&object - objects_.get());
    BM_ASSERT(index < count_);
    BM_ASSERT(free_count_ < count_);
    free_[free_count_] = index;
    free_count_ += 1;
  }
  uint32_t used() const { return count_ - free_count_; }
  uint32_t count() const { return count_; }
  // By position, for looking through those in use (the caller knows which are).
  T& at(uint32_t index) {
    BM_ASSERT(index < count_);
    return objects_[index];
  }

 private:
  std::unique_ptr<T[]> objects_;
  std::unique_ptr<uint32_t[]> free_;
  uint32_t free_count_ = 0;
  uint32_t count_ = 0;
};

}  // namespace blkmirror
