// libFuzzer's entry: built once for each target, with FUZZ_TARGET naming it.
#include <cstddef>
#include <cstdint>

#include "fuzz/targets.h"

// Freed memory is soon used again, so that an input costs few new pages.
extern "C" const char* __asan_default_options() { return "quarantine_size_mb=4"; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  blkmirror::fuzz::FUZZ_TARGET({reinterpret_cast<const std::byte*>(data), bytes});
  return 0;
}
