// See nbd_netlink.h.
#include "host/nbd_netlink.h"

#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace blkmirror::host {

namespace {

constexpr size_t kAnswerBytes = 64u << 10;  // the states of two thousand devices

// Sends a request and reads until it is acknowledged. 0, or the errno it was answered with.
int exchange(int socket, const NetlinkBytes& request, uint32_t sequence, NetlinkAnswer& answer) {
  BM_ASSERT(socket >= 0);
  const ssize_t sent = send(socket, request.data(), request.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno;
  BM_ASSERT(static_cast<size_t>(sent) == request.size());
  std::vector<std::byte> bytes(kAnswerBytes);
  while (!answer.done) {
    const ssize_t got = recv(socket, bytes.data(), bytes.size(), 0);
    if (got < 0 && errno != EINTR) return errno;
    // What answers something else is not for us.
    if (got > 0) decode_answer({bytes.data(), static_cast<size_t>(got)}, sequence, answer);
  }
  return answer.error;
}

bool is_dropped(int socket) {
  pollfd poll_of{socket, POLLIN, 0};
  return poll(&poll_of, 1, 0) > 0 && (poll_of.revents & (POLLHUP | POLLERR)) != 0;
}

Failure refused(const char* what, uint32_t index, int error) {
  BM_ASSERT(error > 0);
  std::string advice;
  if (error == EPERM) advice = ": run the service as root";
  if (error == EBUSY) advice = ": somebody else uses it, see nbd-client -c";
  return {error, std::string("cannot ") + what + " /dev/nbd" + std::to_string(index) + ": " +
                     std::strerror(error) + advice};
}

}  // namespace

Outcome<NbdNetlink> NbdNetlink::open() {
  OwnedFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (!socket.valid()) return Failure{errno, "cannot open a netlink socket: allow AF_NETLINK"};
  NetlinkAnswer answer;
  constexpr uint32_t kFirst = 1;
  const NetlinkBytes query = encode_family_query(NBD_GENL_FAMILY_NAME, kFirst);
  const int error = exchange(socket.get(), query, kFirst, answer);
  if (error != 0) return Failure{error, "the kernel has no nbd: run modprobe nbd"};
  if (answer.family < NLMSG_MIN_TYPE) return Failure{ENOENT, "the kernel does not name nbd"};
  return NbdNetlink(std::move(socket), answer.family);
}

Outcome<OwnedFd> NbdNetlink::connect(const NbdDevice& device) {
  BM_ASSERT(device.block_bytes == 512 || device.block_bytes == 4096);
  BM_ASSERT(device.size_bytes % device.block_bytes == 0);
  return hand_over(&encode_nbd_connect, device, "connect");
}

Outcome<OwnedFd> NbdNetlink::reconfigure(const NbdDevice& device) {
  Outcome<OwnedFd> ours = hand_over(&encode_nbd_reconfigure, device, "reconnect");
  // The driver reports no error where it found no dead connection to replace; it then let go.
  if (ours.ok() && is_dropped(ours.value().get()))
    return refused("reconnect", device.index, ESTALE);
  return ours;
}

Outcome<bool> NbdNetlink::disconnect(uint32_t index) {
  NetlinkAnswer answer;
  const uint32_t sequence = ++sequence_;
  const int error =
      exchange(socket_.get(), encode_nbd_disconnect(family_, sequence, index), sequence, answer);
  if (error != 0) return refused("disconnect", index, error);
  return true;
}

Outcome<std::vector<NbdState>> NbdNetlink::status() {
  NetlinkAnswer answer;
  const uint32_t sequence = ++sequence_;
  const int error = exchange(socket_.get(), encode_nbd_status(family_, sequence), sequence, answer);
  if (error != 0) return Failure{error, "the kernel does not tell its nbd devices"};
  return std::move(answer.devices);
}

// The kernel takes a reference of its end; ours of that end goes when it has.
Outcome<OwnedFd> NbdNetlink::hand_over(Encode encode, const NbdDevice& device, const char* what) {
  std::array<int, 2> pair{-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return Failure{errno, std::string("cannot make a socket: ") + std::strerror(errno)};
  }
  OwnedFd ours(pair[0]);
  const OwnedFd theirs(pair[1]);
  NetlinkAnswer answer;
  const uint32_t sequence = ++sequence_;
  const int error =
      exchange(socket_.get(), encode(family_, sequence, device, theirs.get()), sequence, answer);
  if (error != 0) return refused(what, device.index, error);
  return ours;
}

}  // namespace blkmirror::host
