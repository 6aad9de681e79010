// The listening unix socket of one Primary's NBD server.
//
// Mode 0600. A stale socket of that name (nobody listens on it) is replaced; anything else is
// left alone and refused. The descriptor is blocking, as io_uring wants it.
#pragma once

#include <string>

#include "host/failure.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

// ENAMETOOLONG, EADDRINUSE (somebody listens there), EEXIST (no socket), ENOENT, EACCES.
Outcome<OwnedFd> listen_unix(const std::string& path);

}  // namespace blkmirror::host
