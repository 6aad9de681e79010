// Tells the service manager how the service is, as sd_notify(3) does, without its library.
#pragma once

#include <string>

namespace blkmirror::host {

// Sends `state` (lines such as READY=1) as one datagram to the socket `address` names: a path,
// or an abstract name after `@`. Does not block. 0, or an errno: EINVAL (no such kind of
// address), ENOENT and ECONNREFUSED (nobody listens), EAGAIN (its queue is full).
int notify_service_manager(const std::string& address, const std::string& state);

}  // namespace blkmirror::host
