// The whole of a block device for us alone, for as long as its end takes.
#pragma once

#include <string>

#include "host/failure.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

// Opens it so that neither it nor a partition of it can be mounted or claimed meanwhile, and
// writes back what programs left in its cache, which may wait for I/O. EBUSY: somebody has it.
// What programs hold open without a claim is not seen.
Outcome<OwnedFd> claim_block_device(const std::string& path);

}  // namespace blkmirror::host
