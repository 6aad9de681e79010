// libFuzzer's entry: built once for each target, with FUZZ_TARGET naming it.
#include <cstddef>
#include <cstdint>

#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  blkmirror::fuzz::FUZZ_TARGET({reinterpret_cast<const std::byte*>(data), bytes});
  return 0;
}
