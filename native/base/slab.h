// A fixed number of objects of one type, whose locked memory is there from the start; taking and
// giving back is O(1).
//
// An object is constructed when it is taken for the first time, then prepared by its owner, and
// used again as it is: whoever takes one sets its fields. So an engine that has little to do costs
// little to make.
#pragma once

#include <cstdint>
#include <new>

#include "base/assert.h"
#include "base/locked_array.h"

namespace blkmirror {

template <class T>
class Slab {
 public:
  // Told once about each object, before it is first taken.
  using Prepare = void (*)(void* owner, T& object);

  Slab(uint32_t count, void* owner, Prepare prepare)
      : memory_(size_t{count} * sizeof(T)),
        free_(count),
        count_(count),
        owner_(owner),
        prepare_(prepare) {
    static_assert(alignof(T) <= limits::kPageBytes);
    BM_ASSERT(count > 0);
  }
  ~Slab() {
    while (made_ > 0) objects()[--made_].~T();
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  T* try_take() {
    if (free_count_ == 0) return made_ == count_ ? nullptr : make();
    free_count_ -= 1;
    return &objects()[free_[free_count_]];
  }
  void give_back(T& object) {
    const auto index = static_cast<uint32_t>(&object - objects());
    BM_ASSERT(index < made_);
    BM_ASSERT(free_count_ < made_);
    free_[free_count_] = index;
    free_count_ += 1;
  }
  uint32_t used() const { return made_ - free_count_; }
  uint32_t count() const { return count_; }

 private:
  T* objects() const { return reinterpret_cast<T*>(memory_.get()); }
  T* make() {
    BM_ASSERT(made_ < count_);
    T* object = new (objects() + made_) T;
    made_ += 1;
    if (prepare_ != nullptr) prepare_(owner_, *object);
    return object;
  }

  LockedBytes memory_;
  LockedArray<uint32_t> free_;
  uint32_t free_count_ = 0;
  uint32_t made_ = 0;
  uint32_t count_;
  void* owner_;
  Prepare prepare_;
};

}  // namespace blkmirror
