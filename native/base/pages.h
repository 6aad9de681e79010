// Where the data plane's large memory comes from: mapped, populated and locked, so that nothing
// is asked for in the middle of a request. The simulated world puts a source of its own here,
// for which thousands of engines must cost nothing until they use their memory.
#pragma once

#include <cstddef>

namespace blkmirror {

struct PageSource {
  // Zeroed or not; nullptr when there is none.
  std::byte* (*map)(size_t bytes);
  void (*unmap)(std::byte* memory, size_t bytes);
};

// Before the first engine. Default: mapped and locked memory.
void set_page_source(const PageSource& source);
std::byte* map_pages(size_t bytes);
void unmap_pages(std::byte* memory, size_t bytes);

}  // namespace blkmirror
