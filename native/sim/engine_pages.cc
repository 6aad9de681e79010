// See engine_pages.h.
#include "sim/engine_pages.h"

#include <malloc.h>
#include <sys/mman.h>

#include <climits>
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "base/assert.h"
#include "base/pages.h"

namespace blkmirror::sim {

namespace {

// By size; there are few sizes. One thread.
std::unordered_map<size_t, std::vector<std::byte*>>& spare() {
  static auto* const all = new std::unordered_map<size_t, std::vector<std::byte*>>();
  return *all;
}

std::byte* map_spare(size_t bytes) {
  std::vector<std::byte*>& fitting = spare()[bytes];
  if (!fitting.empty()) {
    std::byte* memory = fitting.back();
    fitting.pop_back();
    return memory;
  }
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<std::byte*>(mapped);
}

void keep_spare(std::byte* memory, size_t bytes) {
  BM_ASSERT(memory != nullptr);
  spare()[bytes].push_back(memory);
}

}  // namespace

void use_engine_pages() {
  set_page_source({map_spare, keep_spare});
  // What is freed is soon asked for again: nothing of it goes back to the kernel. Only for speed:
  // the sanitizers' allocator refuses it.
  (void)::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  (void)::mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

}  // namespace blkmirror::sim
