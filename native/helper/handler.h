// One handler that runs: its process group, the pipe of its output, its deadline.
//
// It is told to have ended when the shell has, or at its deadline; the slot is free again once
// the shell has been reaped. What it left in the background lives until the helper ends.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "helper/daemon_socket.h"

namespace blkmirror::helper {

class Handler {
 public:
  bool free() const { return pid_ == 0; }
  pid_t pid() const { return pid_; }
  // -1 once nothing more is read from it.
  int output() const { return output_; }
  // On the monotonic clock; 0 when it has passed or nothing runs.
  uint64_t deadline_ms() const { return deadline_ms_; }

  // Answers the daemon when it cannot be started.
  void start(const Message& message, uint64_t now_ms, DaemonSocket& daemon);
  void read_output(DaemonSocket& daemon);
  void expire(DaemonSocket& daemon);
  void reaped(int status, DaemonSocket& daemon);

 private:
  static constexpr uint32_t kLineBytes = 1000;
  static constexpr uint32_t kLoggedBytes = 64u << 10;  // of the output of one handler

  void take_output(const char* text, uint32_t bytes, DaemonSocket& daemon);
  void end_line(DaemonSocket& daemon);
  void close_output(DaemonSocket& daemon);

  pid_t pid_ = 0;
  uint32_t id_ = 0;
  int output_ = -1;
  bool told_ = false;
  uint64_t deadline_ms_ = 0;
  bool cut_ = false;
  uint32_t logged_ = 0;
  uint32_t line_bytes_ = 0;
  char line_[kLineBytes] = {};
};

}  // namespace blkmirror::helper
