// See block_claim.h.
#include "host/block_claim.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace blkmirror::host {

Outcome<OwnedFd> claim_block_device(const std::string& path) {
  BM_ASSERT(!path.empty());
  OwnedFd fd(open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return Failure{errno, path + " cannot be claimed: " + std::strerror(errno)};
  struct stat status;
  if (fstat(fd.get(), &status) != 0 || !S_ISBLK(status.st_mode)) {
    return Failure{ENOTBLK, path + " is no block device"};
  }
  BM_ASSERT(fd.valid());
  if (fsync(fd.get()) == 0) return fd;
  return Failure{
      errno, "what was written to " + path + " cannot be written back: " + std::strerror(errno)};
}

}  // namespace blkmirror::host
