// The failing end of BM_ASSERT.
#include "base/assert.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace blkmirror {

static char assertion_note[64] = "blkmirror";

void set_assertion_note(const char* note) {
  std::strncpy(assertion_note, note, sizeof assertion_note - 1);
}

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s: assertion failed: %s (%s:%d)\n", assertion_note, condition, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace blkmirror
