// See engine_pages.h.
#include "sim/engine_pages.h"

#include <sys/mman.h>

#include <map>
#include <unordered_map>
#include <vector>

#include "base/assert.h"
#include "base/pages.h"

namespace blkmirror::sim {

namespace {

struct Mapping {
  size_t bytes = 0;
  uint32_t io_index = UINT32_MAX;
};

// Lives as long as the process: one thread, worlds one after another.
struct Pages {
  const io::SimWorld* world = nullptr;
  std::unordered_map<std::byte*, Mapping> used;
  std::map<size_t, std::vector<std::byte*>> spare;
};

Pages& pages() {
  static auto* const all = new Pages();
  return *all;
}

std::byte* map_spare(size_t bytes) {
  Pages& all = pages();
  std::byte* memory = nullptr;
  std::vector<std::byte*>& spare = all.spare[bytes];
  if (!spare.empty()) {
    memory = spare.back();
    spare.pop_back();
  } else {
    void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    memory = static_cast<std::byte*>(mapped);
  }
  all.used[memory] = {bytes, all.world == nullptr ? UINT32_MAX : all.world->running()};
  return memory;
}

void unmap_spare(std::byte* memory, size_t bytes) {
  Pages& all = pages();
  const size_t erased = all.used.erase(memory);
  BM_ASSERT(erased == 1);
  all.spare[bytes].push_back(memory);
}

}  // namespace

void EnginePages::use(const io::SimWorld* world) {
  BM_ASSERT(world == nullptr || pages().world == nullptr);
  pages().world = world;
  set_page_source({map_spare, unmap_spare});
}

void EnginePages::forget(uint32_t io_index) {
  Pages& all = pages();
  BM_ASSERT(all.world != nullptr);
  for (auto at = all.used.begin(); at != all.used.end();) {
    if (at->second.io_index != io_index) {
      ++at;
      continue;
    }
    all.spare[at->second.bytes].push_back(at->first);
    at = all.used.erase(at);
  }
}

}  // namespace blkmirror::sim
