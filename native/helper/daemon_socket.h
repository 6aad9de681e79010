// The helper's end of the socket to the daemon: whole messages in, messages out. Never waits:
// what does not go out at once stays in a buffer of fixed size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "helper/messages.h"

namespace blkmirror::helper {

struct Message {
  Kind kind = Kind::kRun;
  uint32_t id = 0;
  char* body = nullptr;  // valid until the next read
  uint32_t bytes = 0;
};

class DaemonSocket {
 public:
  explicit DaemonSocket(int fd) : fd_(fd) {}

  // Takes in what has come. False: the daemon has gone, or said what nobody understands.
  bool read();
  // The next whole message of what has come.
  bool take(Message& message);

  // False when there is no room. Room is kept for what may not be lost: without it the daemon
  // is given up.
  bool send(Kind kind, uint32_t id, std::string_view body, bool may_be_lost = false);
  void send_numbers(Kind kind, uint32_t id, uint32_t first, uint32_t second);
  // False: the daemon has gone.
  bool flush();
  bool has_unsent() const { return out_bytes_ > 0; }

 private:
  // kReady, kStarted and kEnded of every handler that may run, as often as the daemon may ask
  // before it reads; beyond that the daemon does not read at all, and is given up.
  static constexpr uint32_t kReservedBytes = 64u << 10;
  static constexpr uint32_t kOutBytes = 256u << 10;

  int fd_;
  bool broken_ = false;
  uint32_t in_bytes_ = 0;
  uint32_t taken_ = 0;
  uint32_t out_bytes_ = 0;
  std::array<char, kHeadBytes + kBodyBytes> in_{};
  std::array<char, kOutBytes> out_{};
};

}  // namespace blkmirror::helper
