// What the service manager receives, on a path and on an abstract name, and what is refused.
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "check.h"
#include "host/owned_fd.h"
#include "host/service_notify.h"

using blkmirror::host::notify_service_manager;
using blkmirror::host::OwnedFd;

namespace {

// A manager's socket; `address` is as $NOTIFY_SOCKET has it.
OwnedFd listen_at(const std::string& address) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::memcpy(at.sun_path, address.data(), address.size());
  if (address[0] == '@') at.sun_path[0] = '\0';
  OwnedFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = socklen_t(offsetof(sockaddr_un, sun_path) + address.size());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&at), length) != 0) return OwnedFd(-1);
  return fd;
}

std::string received(const OwnedFd& fd) {
  char bytes[256];
  const ssize_t count = recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  return count < 0 ? "nothing" : std::string(bytes, size_t(count));
}

struct TempFolder {
  TempFolder() {
    if (mkdtemp(path.data()) == nullptr) path.clear();
  }
  ~TempFolder() {
    unlink((path + "/notify").c_str());
    rmdir(path.c_str());
  }
  std::string path = "/tmp/blkmirror-notify-XXXXXX";
};

}  // namespace

TEST(notify_sends_one_datagram_to_a_path) {
  const TempFolder folder;
  const std::string address = folder.path + "/notify";
  const OwnedFd manager = listen_at(address);
  CHECK(manager.valid());
  CHECK_EQ(notify_service_manager(address, "READY=1\nSTATUS=fine\n"), 0);
  CHECK_EQ(received(manager), "READY=1\nSTATUS=fine\n");
  CHECK_EQ(received(manager), "nothing");
}

TEST(notify_sends_to_an_abstract_name) {
  const std::string address = "@blkmirror-notify-" + std::to_string(getpid());
  const OwnedFd manager = listen_at(address);
  CHECK(manager.valid());
  CHECK_EQ(notify_service_manager(address, "WATCHDOG=1\n"), 0);
  CHECK_EQ(received(manager), "WATCHDOG=1\n");
}

TEST(notify_refuses_what_is_no_address_and_where_nobody_listens) {
  CHECK_EQ(notify_service_manager("", "READY=1"), EINVAL);
  CHECK_EQ(notify_service_manager("relative", "READY=1"), EINVAL);
  CHECK_EQ(notify_service_manager("/" + std::string(200, 'x'), "READY=1"), EINVAL);
  CHECK_EQ(notify_service_manager("/nonexistent/notify", "READY=1"), ENOENT);
}
