// Who holds a disk that could not be claimed, in words: for the message to the administrator.
//
// Reads /proc/locks, /proc/self/mounts, /proc/swaps and /sys; finds nothing where they are not
// there. Used by disk_claim only.
#pragma once

#include <sys/stat.h>

#include <string>

namespace blkmirror::host {

// `it is mounted on /srv: unmount it first`, `it is held by blkmirrord (pid 12): …`, or a
// general advice when no holder is found.
std::string describe_block_holder(const struct stat& status);
std::string describe_file_holder(const struct stat& status);

// The loop device whose backing file this is (`/dev/loop3`), or empty.
std::string loop_device_of(const struct stat& status);

}  // namespace blkmirror::host
