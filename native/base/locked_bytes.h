// Memory of the data plane outside its pools: present from the start and locked. A page that
// came only when it is first written to would be asked for in the middle of a request, and under
// memory pressure wait for the very writes that this thread is to finish.
//
// Allocated with a connection or an engine, never for a request.
#pragma once

#include <sys/mman.h>

#include <cstddef>

#include "base/assert.h"

namespace blkmirror {

class LockedBytes {
 public:
  explicit LockedBytes(size_t bytes) : bytes_(bytes) {
    BM_ASSERT(bytes > 0);
    void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    BM_ASSERT(mapped != MAP_FAILED);  // as for every other allocation at start
    // Refused without the privilege; then the pages are merely likely to stay.
    static_cast<void>(::mlock(mapped, bytes));
    memory_ = static_cast<std::byte*>(mapped);
  }
  ~LockedBytes() { ::munmap(memory_, bytes_); }
  LockedBytes(const LockedBytes&) = delete;
  LockedBytes& operator=(const LockedBytes&) = delete;

  std::byte* get() const { return memory_; }

 private:
  size_t bytes_;
  std::byte* memory_ = nullptr;
};

}  // namespace blkmirror
