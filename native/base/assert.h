// Assertions that stay on in release builds.
//
// For invariants of our own code only: what comes from a peer, a client, a disk or a
// configuration file is validated and refused with an error, never asserted.
#pragma once

namespace blkmirror {

// Prints the condition with its place on standard error and aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

// Printed with every failed assertion (which run of a simulation it was); at most 63 bytes.
void set_assertion_note(const char* note);

}  // namespace blkmirror

#define BM_ASSERT(condition)                                         \
  do {                                                               \
    if (!(condition)) [[unlikely]]                                   \
      ::blkmirror::assertion_failed(#condition, __FILE__, __LINE__); \
  } while (false)
