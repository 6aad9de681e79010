// An array of plain objects in memory that is present from the start and locked (locked_bytes.h).
// What it holds at first is anything: elements are written before they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/assert.h"
#include "base/limits.h"
#include "base/locked_bytes.h"

namespace blkmirror {

template <class T>
class LockedArray {
 public:
  explicit LockedArray(uint32_t count) : memory_(size_t{count} * sizeof(T)), count_(count) {
    static_assert(std::is_trivially_copyable_v<T>);
    static_assert(alignof(T) <= limits::kPageBytes);
    BM_ASSERT(count > 0);
  }

  T* get() const { return reinterpret_cast<T*>(memory_.get()); }
  T& operator[](size_t index) const {
    BM_ASSERT(index < count_);
    return get()[index];
  }

 private:
  LockedBytes memory_;
  uint32_t count_;
};

}  // namespace blkmirror
