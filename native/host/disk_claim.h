// Opening and claiming a backing disk or a metadata disk: block device, loop device or file.
//
// The claim (O_EXCL on block devices, flock on files) belongs to the descriptor and ends only
// when the last operation in flight on it has ended, so that a daemon started after a crash
// waits for the writes of the one before (rule 9). Never POSIX locks: those end with the
// process. Others may still read the file. Blocks: call it from a thread that may wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "host/failure.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

struct DiskFacts {
  bool block_device = false;
  bool direct = false;  // O_DIRECT works
  uint64_t size_bytes = 0;
  uint32_t logical_block = 512;  // bytes: 512 or 4096
  bool fast_zero = false;        // it zeroes without writing
};

struct Disk {
  OwnedFd fd;
  DiskFacts facts;
};

// For reading and writing, claimed. While another holds the claim it is tried again until
// `timeout_ms` have passed (then EBUSY, with the holder where it can be found) or `stop` (may be
// null) is set (ECANCELED). ENOENT, EACCES, EINVAL (neither a block device nor a file), EIO.
Outcome<Disk> claim_disk(const std::string& path, uint32_t timeout_ms,
                         const std::atomic<bool>* stop);

// For reading, without a claim; works while another process holds it.
Outcome<Disk> open_disk(const std::string& path);

// True when both paths lead to the same device or file.
bool same_disk(const std::string& path, const std::string& other);

}  // namespace blkmirror::host
