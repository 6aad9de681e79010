// The failing end of BM_ASSERT.
#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace blkmirror {

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "blkmirror: assertion failed: %s (%s:%d)\n", condition, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace blkmirror
