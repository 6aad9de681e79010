// The datagram that sd_notify(3) sends.
#include "host/service_notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/assert.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

namespace {

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

}  // namespace

int notify_service_manager(const std::string& address, const std::string& state) {
  if (!is_address(address)) return EINVAL;
  sockaddr_un to{};
  const socklen_t length = fill_address(address, &to);
  BM_ASSERT(length <= sizeof to);
  const OwnedFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  const auto* where = reinterpret_cast<const sockaddr*>(&to);
  const ssize_t sent =
      sendto(fd.get(), state.data(), state.size(), MSG_DONTWAIT | MSG_NOSIGNAL, where, length);
  if (sent < 0) return errno;
  BM_ASSERT(static_cast<size_t>(sent) == state.size());
  return 0;
}

}  // namespace blkmirror::host
