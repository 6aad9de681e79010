// TCP sockets as the lobby needs them: numeric addresses, non-blocking, no Nagle, no keepalive
// (the link has its own). Nothing here blocks; names are resolved elsewhere.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "host/failure.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

// 0: the kernel's own tuning.
struct SocketBuffers {
  uint32_t sndbuf_bytes = 0;
  uint32_t rcvbuf_bytes = 0;
};

struct Endpoint {
  sockaddr_storage address{};
  socklen_t length = 0;
};

// EINVAL unless `host` is a numeric IPv4 or IPv6 address.
Outcome<Endpoint> numeric_endpoint(const std::string& host, uint16_t port);
// `192.0.2.1:40000` or `[2001:db8::1]:40000`.
std::string endpoint_text(const Endpoint& endpoint);
// `[::1]:7788` of an address that may not be valid.
std::string address_text(const std::string& host, uint16_t port);

// EADDRINUSE, EADDRNOTAVAIL, EACCES: the message says what to do. IPv6 listens for IPv6 only.
Outcome<OwnedFd> listen_on(const std::string& host, uint16_t port);
Endpoint local_endpoint(int fd);

// A socket that is about to be connected: `*in_progress` tells whether it is not yet.
Outcome<OwnedFd> begin_connect(const Endpoint& to, const SocketBuffers& buffers, bool* in_progress);
// Whether a connection met itself (a dialled port of the ephemeral range may do that).
bool is_self_connected(int fd);

void set_buffers(int fd, const SocketBuffers& buffers);
void set_link_options(int fd);
// io_uring waits only on blocking descriptors.
bool make_blocking(int fd);

}  // namespace blkmirror::host
