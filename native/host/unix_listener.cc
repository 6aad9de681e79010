// Creating the NBD server's unix socket.
#include "host/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace blkmirror::host {

namespace {

constexpr int kBacklog = 128;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  BM_ASSERT(path.size() < sizeof address.sun_path);
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  BM_ASSERT(address.sun_path[path.size()] == '\0');
  return address;
}

Failure cannot_create(const std::string& path, int error) {
  BM_ASSERT(error > 0);
  return {error, "cannot create the socket " + path + ": " + std::strerror(error)};
}

// EADDRINUSE while somebody listens; a full backlog (EAGAIN) is somebody too.
int try_connect(const sockaddr_un& address) {
  const OwnedFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return errno;
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  if (connect(probe.get(), to, sizeof address) == 0 || errno == EAGAIN) return EADDRINUSE;
  BM_ASSERT(errno != EINPROGRESS);
  return errno == ECONNREFUSED || errno == ENOENT ? 0 : errno;
}

// Takes away a socket that nobody listens on. 0 when the name is free now.
int remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) return errno == ENOENT ? 0 : errno;
  if (!S_ISSOCK(status.st_mode)) return EEXIST;
  if (const int error = try_connect(address); error != 0) return error;
  return unlink(path.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

}  // namespace

Outcome<OwnedFd> listen_unix(const std::string& path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Failure{ENAMETOOLONG, "the socket's path " + path + " has " +
                                     std::to_string(path.size()) +
                                     " bytes, at most 107 are possible: choose a shorter run-dir"};
  }
  const sockaddr_un address = address_of(path);
  const int stale = remove_stale(path, address);
  if (stale == EADDRINUSE) {
    return Failure{stale, "another process listens on " + path + ": end it first"};
  }
  if (stale == EEXIST) return Failure{stale, path + " is there and is no socket: remove it first"};
  if (stale != 0) return cannot_create(path, stale);
  OwnedFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return cannot_create(path, errno);
  // Before bind(), so that the socket never has another mode.
  if (fchmod(fd.get(), 0600) != 0) return cannot_create(path, errno);
  const auto* at = reinterpret_cast<const sockaddr*>(&address);
  if (bind(fd.get(), at, sizeof address) != 0) return cannot_create(path, errno);
  if (::listen(fd.get(), kBacklog) == 0) return fd;
  const int error = errno;
  unlink(path.c_str());
  return cannot_create(path, error);
}

}  // namespace blkmirror::host
