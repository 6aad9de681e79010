// Zeroing a claimed disk before anything mirrors it.
#pragma once

#include <cstdint>

#include "host/disk_claim.h"

namespace blkmirror::host {

// The first `bytes` (a multiple of the logical block) read back as zeroes, durably, when it
// answers 0; else an errno. Takes the disk's own way of zeroing; blocks until it is done.
int zero_disk(const Disk& disk, uint64_t bytes);

}  // namespace blkmirror::host
