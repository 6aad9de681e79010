// Memory of the data plane outside its pools: present from the start and locked. A page that
// came only when it is first written to would be asked for in the middle of a request, and under
// memory pressure wait for the very writes that this thread is to finish.
//
// Allocated with a connection or an engine, never for a request.
#pragma once

#include <cstddef>

#include "base/assert.h"
#include "base/pages.h"

namespace blkmirror {

class LockedBytes {
 public:
  explicit LockedBytes(size_t bytes) : bytes_(bytes) {
    BM_ASSERT(bytes > 0);
    memory_ = map_pages(bytes);
    BM_ASSERT(memory_ != nullptr);  // as for every other allocation at start
  }
  ~LockedBytes() { unmap_pages(memory_, bytes_); }
  LockedBytes(const LockedBytes&) = delete;
  LockedBytes& operator=(const LockedBytes&) = delete;

  std::byte* get() const { return memory_; }

 private:
  size_t bytes_;
  std::byte* memory_ = nullptr;
};

}  // namespace blkmirror
