// Metadata on simulated disks without an engine: created at once and durably, and read. What
// bind/metadata_disk does on real ones.
#pragma once

#include <string>

#include "host/failure.h"
#include "io/sim_disk.h"
#include "meta/superblock.h"

namespace blkmirror::sim {

struct FormatSpec {
  std::string resource;
  std::string node;
  std::string path;  // of the disk that holds the metadata, for messages
  uint32_t slots = 7;
  uint32_t block = 512;
  bool force = false;
  uint64_t metadata_id = 0;
};

// `meta`: null when internal. EEXIST, ENOSPC.
host::Outcome<meta::Superblock> format(io::SimDisk& data, io::SimDisk* meta,
                                       const FormatSpec& spec);
// The newer slot, or why there is none.
Result<meta::Superblock> read_superblock(const io::SimDisk& disk, bool internal);

}  // namespace blkmirror::sim
