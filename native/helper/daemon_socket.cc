// See daemon_socket.h.
#include "helper/daemon_socket.h"

#include <errno.h>
#include <sys/socket.h>

#include <cstring>

#include "base/assert.h"
#include "base/endian.h"

namespace blkmirror::helper {

bool DaemonSocket::read() {
  BM_ASSERT(taken_ <= in_bytes_);
  std::memmove(in_.data(), in_.data() + taken_, in_bytes_ - taken_);
  in_bytes_ -= taken_;
  taken_ = 0;
  BM_ASSERT(in_bytes_ < in_.size());
  const ssize_t got = ::recv(fd_, in_.data() + in_bytes_, in_.size() - in_bytes_, MSG_DONTWAIT);
  if (got > 0) in_bytes_ += static_cast<uint32_t>(got);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

bool DaemonSocket::take(Message& message) {
  BM_ASSERT(taken_ <= in_bytes_);
  if (in_bytes_ - taken_ < kHeadBytes) return false;
  char* head = in_.data() + taken_;
  const uint32_t bytes = load_be32(head + 8);
  if (bytes > kBodyBytes) {
    broken_ = true;
    return false;
  }
  if (in_bytes_ - taken_ - kHeadBytes < bytes) return false;
  message = {static_cast<Kind>(load_be32(head)), load_be32(head + 4), head + kHeadBytes, bytes};
  taken_ += kHeadBytes + bytes;
  return true;
}

bool DaemonSocket::send(Kind kind, uint32_t id, std::string_view body, bool may_be_lost) {
  BM_ASSERT(body.size() <= kBodyBytes);
  const uint32_t bytes = kHeadBytes + static_cast<uint32_t>(body.size());
  const uint32_t room = kOutBytes - out_bytes_;
  if (may_be_lost && room < kReservedBytes + bytes) return false;
  if (room < bytes) {
    broken_ = true;
    return false;
  }
  char* at = out_.data() + out_bytes_;
  store_be32(at, static_cast<uint32_t>(kind));
  store_be32(at + 4, id);
  store_be32(at + 8, static_cast<uint32_t>(body.size()));
  if (!body.empty()) std::memcpy(at + kHeadBytes, body.data(), body.size());
  out_bytes_ += bytes;
  BM_ASSERT(out_bytes_ <= kOutBytes);
  return true;
}

void DaemonSocket::send_numbers(Kind kind, uint32_t id, uint32_t first, uint32_t second) {
  BM_ASSERT(kind != Kind::kOutput);
  char body[8];
  store_be32(body, first);
  store_be32(body + 4, second);
  send(kind, id, {body, sizeof body});
}

bool DaemonSocket::flush() {
  while (out_bytes_ > 0 && !broken_) {
    const ssize_t sent = ::send(fd_, out_.data(), out_bytes_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    BM_ASSERT(sent <= static_cast<ssize_t>(out_bytes_));
    out_bytes_ -= static_cast<uint32_t>(sent);
    std::memmove(out_.data(), out_.data() + sent, out_bytes_);
  }
  return !broken_;
}

}  // namespace blkmirror::helper
