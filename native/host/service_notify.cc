// The datagram that sd_notify(3) sends, and how a process of the service receives it from another.
#include "host/service_notify.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/assert.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

namespace {

constexpr size_t kMostNoticeBytes = 4096;

bool is_address(const std::string& text) {
  if (text.size() < 2 || text.size() >= sizeof(sockaddr_un::sun_path)) return false;
  return text[0] == '/' || text[0] == '@';
}

// An abstract name begins with a zero byte and ends with its length.
socklen_t fill_address(const std::string& text, sockaddr_un* address) {
  BM_ASSERT(is_address(text));
  BM_ASSERT(address != nullptr);
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, text.data(), text.size());
  if (text[0] == '@') address->sun_path[0] = '\0';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size());
}

void attach_descriptor(msghdr& message, char* control, size_t bytes, int fd) {
  BM_ASSERT(bytes >= CMSG_SPACE(sizeof fd));
  message.msg_control = control;
  message.msg_controllen = bytes;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  BM_ASSERT(header != nullptr);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
}

// 0: nothing came in time; negative: an errno.
int wait_until_ready(int fd, int16_t events, int timeout_ms) {
  BM_ASSERT(fd >= 0);
  BM_ASSERT(timeout_ms > 0);
  pollfd one{fd, events, 0};
  int ready = 0;
  do {
    ready = poll(&one, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready < 0 ? -errno : ready;
}

// Of several only the first is taken, which nobody sends here.
OwnedFd descriptor_of(const msghdr& message) {
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return OwnedFd();
  BM_ASSERT(header->cmsg_level == SOL_SOCKET);
  int fd = -1;
  BM_ASSERT(header->cmsg_len >= CMSG_LEN(sizeof fd));
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return OwnedFd(fd);
}

}  // namespace

int notify_service_manager(const std::string& address, const std::string& state) {
  return notify_with_descriptor(address, state, -1);
}

int notify_with_descriptor(const std::string& address, const std::string& state, int fd) {
  if (!is_address(address)) return EINVAL;
  sockaddr_un to{};
  const socklen_t length = fill_address(address, &to);
  BM_ASSERT(length <= sizeof to);
  const OwnedFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno;
  iovec text{const_cast<char*>(state.data()), state.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = length;
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  if (fd >= 0) attach_descriptor(message, control, sizeof control, fd);
  const ssize_t sent = sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno;
  BM_ASSERT(static_cast<size_t>(sent) == state.size());
  return 0;
}

// The manager closes its copy of the pipe's end when it has read this; ours is closed at once.
int wait_for_service_manager(const std::string& address, int timeout_ms) {
  BM_ASSERT(timeout_ms > 0);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  const OwnedFd waiting(ends[0]);
  OwnedFd passed(ends[1]);
  const int error = notify_with_descriptor(address, "BARRIER=1", passed.get());
  if (error != 0) return error;
  passed.reset();
  const int ready = wait_until_ready(waiting.get(), 0, timeout_ms);
  if (ready < 0) return -ready;
  return ready == 0 ? ETIMEDOUT : 0;
}

Outcome<OwnedFd> bind_notices(const std::string& path) {
  const std::string refused = "cannot listen at " + path;
  if (!is_address(path)) return Failure{EINVAL, refused + ": the path is too long"};
  sockaddr_un at{};
  const socklen_t length = fill_address(path, &at);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Failure{errno, refused};
  OwnedFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Failure{errno, refused};
  const auto* address = reinterpret_cast<const sockaddr*>(&at);
  if (bind(socket.get(), address, length) != 0) return Failure{errno, refused};
  return socket;
}

Outcome<Notice> receive_notice(int socket, int timeout_ms) {
  const int ready = wait_until_ready(socket, POLLIN, timeout_ms);
  if (ready == 0) return Failure{ETIMEDOUT, "nothing was received"};
  if (ready < 0) return Failure{-ready, "cannot wait for a notice"};
  char bytes[kMostNoticeBytes];
  int passed = -1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed)] = {};
  iovec text{bytes, sizeof bytes};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count < 0) return Failure{errno, "cannot receive a notice"};
  BM_ASSERT(static_cast<size_t>(count) <= sizeof bytes);
  return Notice{std::string(bytes, static_cast<size_t>(count)), descriptor_of(message)};
}

Outcome<OwnedFd> keep_bytes(const void* bytes, size_t length) {
  BM_ASSERT(bytes != nullptr || length == 0);
  OwnedFd memory(memfd_create("blkmirror", MFD_CLOEXEC));
  if (!memory.valid()) return Failure{errno, "cannot keep bytes in memory"};
  const ssize_t written = write(memory.get(), bytes, length);
  if (written < 0) return Failure{errno, "cannot keep bytes in memory"};
  if (static_cast<size_t>(written) != length) return Failure{ENOSPC, "no memory to keep bytes in"};
  return memory;
}

}  // namespace blkmirror::host
