// Tells the service manager how the service is, as sd_notify(3) does, without its library.
#pragma once

#include <string>

#include "host/failure.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

// Sends `state` (lines such as READY=1) as one datagram to the socket `address` names: a path,
// or an abstract name after `@`. Does not block. 0, or an errno: EINVAL (no such kind of
// address), ENOENT and ECONNREFUSED (nobody listens), EAGAIN (its queue is full).
int notify_service_manager(const std::string& address, const std::string& state);

// The same with a descriptor, of which the manager gets a copy: FDSTORE=1 keeps it for the next
// process of the service.
int notify_with_descriptor(const std::string& address, const std::string& state, int fd);

// Waits until the manager has acted on all that was sent before: what a process that ends sent last
// may otherwise be dropped. 0, ETIMEDOUT, or what sending it failed with.
int wait_for_service_manager(const std::string& address, int timeout_ms);

// The other side: a socket at `path`, made anew, which receives what the functions above send.
Outcome<OwnedFd> bind_notices(const std::string& path);

struct Notice {
  std::string state;
  OwnedFd descriptor;  // invalid: it came without one
};

// Waits for the next one. ETIMEDOUT, or an errno.
Outcome<Notice> receive_notice(int socket, int timeout_ms);

// Bytes without a file, for the manager to keep.
Outcome<OwnedFd> keep_bytes(const void* bytes, size_t length);

}  // namespace blkmirror::host
