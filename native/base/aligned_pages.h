// Zeroed 4096-aligned memory for metadata I/O, allocated once when metadata is loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "base/assert.h"
#include "base/limits.h"

namespace blkmirror {

class AlignedPages {
 public:
  explicit AlignedPages(uint32_t pages) : pages_(pages) {
    BM_ASSERT(pages > 0);
    const size_t bytes = size_t{pages} * limits::kPageBytes;
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(limits::kPageBytes, bytes)));
    BM_ASSERT(memory_ != nullptr);  // as for every other allocation at start
    std::memset(memory_.get(), 0, bytes);
  }

  std::span<std::byte, 4096> page(uint32_t index) const {
    BM_ASSERT(index < pages_);
    std::byte* start = memory_.get() + size_t{index} * limits::kPageBytes;
    return std::span<std::byte, 4096>(start, limits::kPageBytes);
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  uint32_t pages_;
  std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace blkmirror
