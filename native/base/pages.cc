// See pages.h.
#include "base/pages.h"

#include <sys/mman.h>

#include "base/assert.h"

namespace blkmirror {

namespace {

std::byte* map_locked(size_t bytes) {
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  // Refused without the privilege; then the pages are merely likely to stay.
  static_cast<void>(::mlock(mapped, bytes));
  return static_cast<std::byte*>(mapped);
}

void unmap_locked(std::byte* memory, size_t bytes) { ::munmap(memory, bytes); }

PageSource page_source{map_locked, unmap_locked};

}  // namespace

void set_page_source(const PageSource& source) {
  BM_ASSERT(source.map != nullptr);
  BM_ASSERT(source.unmap != nullptr);
  page_source = source;
}

std::byte* map_pages(size_t bytes) {
  BM_ASSERT(bytes > 0);
  return page_source.map(bytes);
}

void unmap_pages(std::byte* memory, size_t bytes) {
  BM_ASSERT(memory != nullptr);
  page_source.unmap(memory, bytes);
}

}  // namespace blkmirror
