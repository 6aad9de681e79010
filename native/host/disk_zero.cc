// See disk_zero.h.
#include "host/disk_zero.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/aligned_pages.h"
#include "base/assert.h"

namespace blkmirror::host {

namespace {

constexpr uint64_t kStepBytes = uint64_t{1} << 30;  // of one system call
constexpr uint32_t kPages = 256;

int zero_block_device(int fd, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += kStepBytes) {
    uint64_t range[2] = {at, std::min(kStepBytes, bytes - at)};
    if (ioctl(fd, BLKZEROOUT, range) != 0) return errno;
  }
  return 0;
}

// Where a file system knows no holes.
int write_zeroes(int fd, uint64_t bytes) {
  const AlignedPages zeroes(kPages);
  const uint64_t most = uint64_t{kPages} * limits::kPageBytes;
  for (uint64_t at = 0; at < bytes;) {
    const size_t length = std::min(most, bytes - at);
    const ssize_t put = pwrite(fd, zeroes.page(0).data(), length, off_t(at));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put == 0 ? EIO : errno;
    at += uint64_t(put);
  }
  return 0;
}

int zero_file(int fd, uint64_t bytes) {
  const int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(fd, hole, 0, off_t(bytes)) == 0) return 0;
  return errno == EOPNOTSUPP ? write_zeroes(fd, bytes) : errno;
}

}  // namespace

int zero_disk(const Disk& disk, uint64_t bytes) {
  BM_ASSERT(disk.fd.valid());
  BM_ASSERT(bytes % disk.facts.logical_block == 0);
  BM_ASSERT(bytes <= disk.facts.size_bytes);
  const int fd = disk.fd.get();
  const int error = disk.facts.block_device ? zero_block_device(fd, bytes) : zero_file(fd, bytes);
  if (error != 0) return error;
  return fdatasync(fd) == 0 ? 0 : errno;
}

}  // namespace blkmirror::host
