// What the service manager receives, on a path and on an abstract name, and what is refused.
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>

#include "check.h"
#include "host/owned_fd.h"
#include "host/service_notify.h"

using blkmirror::host::bind_notices;
using blkmirror::host::notify_service_manager;
using blkmirror::host::notify_with_descriptor;
using blkmirror::host::OwnedFd;
using blkmirror::host::receive_notice;
using blkmirror::host::wait_for_service_manager;

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

// Invalid when nothing came, or came without one.
OwnedFd received_descriptor(const OwnedFd& from, std::string* text) {
  char bytes[256];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec part{bytes, sizeof bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = recvmsg(from.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count < 0) return OwnedFd();
  text->assign(bytes, size_t(count));
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr) return OwnedFd();
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return OwnedFd(fd);
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

TEST(notify_hands_over_descriptors_and_waits_until_they_are_taken) {
  const TempFolder folder;
  const std::string address = folder.path + "/notify";
  const OwnedFd manager = listen_at(address);
  auto kept = blkmirror::host::keep_bytes("half a request", 14);
  CHECK(kept.ok());
  CHECK_EQ(notify_with_descriptor(address, "FDSTORE=1\nFDNAME=r0", kept.value().get()), 0);
  std::string text;
  const OwnedFd stored = received_descriptor(manager, &text);
  CHECK_EQ(text, "FDSTORE=1\nFDNAME=r0");
  char bytes[32] = {};
  CHECK_EQ(pread(stored.get(), bytes, sizeof bytes, 0), 14);
  CHECK_EQ(std::string(bytes), "half a request");
  // Nobody reads the barrier, then somebody does.
  CHECK_EQ(wait_for_service_manager(address, 50), ETIMEDOUT);
  std::thread reader([&] {
    std::string barrier;
    while (received_descriptor(manager, &barrier).valid()) continue;
    pollfd more{manager.get(), POLLIN, 0};
    poll(&more, 1, 5000);
    received_descriptor(manager, &barrier);
  });
  const int waited = wait_for_service_manager(address, 10'000);
  reader.join();
  CHECK_EQ(waited, 0);
}

TEST(notices_are_received_as_a_manager_receives_them) {
  const TempFolder folder;
  const std::string address = folder.path + "/notify";
  CHECK(!bind_notices("relative").ok());
  CHECK(!bind_notices(folder.path).ok());
  auto first = bind_notices(address);
  CHECK(first.ok());
  // Whoever was there before is replaced.
  auto socket = bind_notices(address);
  CHECK(socket.ok());
  auto nothing = receive_notice(socket.value().get(), 20);
  CHECK(!nothing.ok());
  CHECK_EQ(nothing.failure().error, ETIMEDOUT);
  auto kept = blkmirror::host::keep_bytes("half a request", 14);
  CHECK_EQ(notify_with_descriptor(address, "FDSTORE=1\nFDNAME=r0", kept.value().get()), 0);
  CHECK_EQ(notify_service_manager(address, "READY=1"), 0);
  auto stored = receive_notice(socket.value().get(), 1000);
  CHECK(stored.ok());
  CHECK_EQ(stored.value().state, "FDSTORE=1\nFDNAME=r0");
  char bytes[32] = {};
  CHECK_EQ(pread(stored.value().descriptor.get(), bytes, sizeof bytes, 0), 14);
  auto ready = receive_notice(socket.value().get(), 1000);
  CHECK(ready.ok());
  CHECK_EQ(ready.value().state, "READY=1");
  CHECK(!ready.value().descriptor.valid());
}
