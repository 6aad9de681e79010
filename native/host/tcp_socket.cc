// Addresses, options and creation of TCP sockets.
#include "host/tcp_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>

namespace blkmirror::host {

namespace {

constexpr int kBacklog = 256;

void set_flag(int fd, int level, int option, int value) {
  BM_ASSERT(fd >= 0);
  // Refused only for options a socket does not have; nothing depends on success.
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

std::string listen_message(int error, const std::string& where) {
  BM_ASSERT(error > 0);
  if (error == EADDRINUSE) {
    return "cannot listen on " + where +
           ": another program does (see ss -ltnp): end it, or choose "
           "another port";
  }
  if (error == EADDRNOTAVAIL) {
    return "cannot listen on " + where + ": this host has no such address: correct the address";
  }
  return "cannot listen on " + where + ": " + std::strerror(error);
}

}  // namespace

Outcome<Endpoint> numeric_endpoint(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  if (host.empty() || getaddrinfo(host.c_str(), service.c_str(), &hints, &found) != 0) {
    return Failure{EINVAL, "\"" + host + "\" is not a numeric IPv4 or IPv6 address"};
  }
  BM_ASSERT(found != nullptr);
  Endpoint endpoint;
  BM_ASSERT(found->ai_addrlen <= sizeof endpoint.address);
  std::memcpy(&endpoint.address, found->ai_addr, found->ai_addrlen);
  endpoint.length = found->ai_addrlen;
  freeaddrinfo(found);
  return endpoint;
}

std::string endpoint_text(const Endpoint& endpoint) {
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  const auto* address = reinterpret_cast<const sockaddr*>(&endpoint.address);
  BM_ASSERT(endpoint.length <= sizeof endpoint.address);
  const int error = getnameinfo(address, endpoint.length, host, sizeof host, port, sizeof port,
                                NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) return "an unknown address";
  const std::string name(host);
  return (endpoint.address.ss_family == AF_INET6 ? "[" + name + "]" : name) + ":" + port;
}

std::string address_text(const std::string& host, uint16_t port) {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Outcome<OwnedFd> listen_on(const std::string& host, uint16_t port) {
  Outcome<Endpoint> endpoint = numeric_endpoint(host, port);
  if (!endpoint.ok()) return endpoint.failure();
  const Endpoint& at = endpoint.value();
  const int family = at.address.ss_family;
  OwnedFd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const std::string where = address_text(host, port);
  if (!fd.valid()) return Failure{errno, listen_message(errno, where)};
  set_flag(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (family == AF_INET6) set_flag(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  const auto* address = reinterpret_cast<const sockaddr*>(&at.address);
  if (bind(fd.get(), address, at.length) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return Failure{errno, listen_message(errno, where)};
  }
  return fd;
}

Endpoint local_endpoint(int fd) {
  Endpoint endpoint;
  endpoint.length = sizeof endpoint.address;
  const int error =
      getsockname(fd, reinterpret_cast<sockaddr*>(&endpoint.address), &endpoint.length);
  BM_ASSERT(error == 0);
  return endpoint;
}

Outcome<OwnedFd> begin_connect(const Endpoint& to, const SocketBuffers& buffers,
                               bool* in_progress) {
  BM_ASSERT(in_progress != nullptr);
  BM_ASSERT(to.length > 0);
  OwnedFd fd(socket(to.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Failure{errno, std::strerror(errno)};
  set_buffers(fd.get(), buffers);
  set_link_options(fd.get());
  const auto* address = reinterpret_cast<const sockaddr*>(&to.address);
  const bool connected = connect(fd.get(), address, to.length) == 0;
  if (!connected && errno != EINPROGRESS) return Failure{errno, std::strerror(errno)};
  *in_progress = !connected;
  return fd;
}

bool is_self_connected(int fd) {
  const Endpoint local = local_endpoint(fd);
  Endpoint peer;
  peer.length = sizeof peer.address;
  auto* address = reinterpret_cast<sockaddr*>(&peer.address);
  if (getpeername(fd, address, &peer.length) != 0) return false;
  return endpoint_text(local) == endpoint_text(peer);
}

void set_buffers(int fd, const SocketBuffers& buffers) {
  BM_ASSERT(fd >= 0);
  BM_ASSERT(buffers.sndbuf_bytes <= INT32_MAX && buffers.rcvbuf_bytes <= INT32_MAX);
  if (buffers.sndbuf_bytes != 0) set_flag(fd, SOL_SOCKET, SO_SNDBUF, int(buffers.sndbuf_bytes));
  if (buffers.rcvbuf_bytes != 0) set_flag(fd, SOL_SOCKET, SO_RCVBUF, int(buffers.rcvbuf_bytes));
}

void set_link_options(int fd) {
  set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
}

bool make_blocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

}  // namespace blkmirror::host
