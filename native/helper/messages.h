// What the daemon and its handler process say to each other over their socket: a head of 12
// bytes, big-endian (kind, id, length of what follows), then the body.
//
// The daemon chooses ids, one for each run. src/handlers/messages.ts is the other end.
#pragma once

#include <cstdint>

namespace blkmirror::helper {

inline constexpr uint32_t kHeadBytes = 12;
inline constexpr uint32_t kBodyBytes = 64u << 10;

enum class Kind : uint32_t {
  // Daemon to helper. timeout in ms (32 bits), the command, then NAME=VALUE..., each NUL-ended.
  kRun = 1,
  // Helper to daemon.
  kReady = 16,    // id 0; what could not be had, in words, or empty
  kStarted = 17,  // its process group (32 bits)
  kOutput = 18,   // one line without its end
  kEnded = 19,    // an Ending (32 bits) and its value (32 bits); the last of its id
};

enum class Ending : uint32_t {
  kExited = 0,    // exit status
  kKilled = 1,    // signal
  kTimedOut = 2,  // 0
  kNotRun = 3,    // errno
};

}  // namespace blkmirror::helper
