// Metadata of a disk that no engine has attached: writing it afresh, reading it.
//
// Both block: call them from a worker thread. create() claims the disks; read() does not, so it
// works while another process is attached.
#pragma once

#include <string>
#include <vector>

#include "bind/offline_disks.h"
#include "host/failure.h"
#include "meta/superblock.h"

namespace blkmirror::bind {

struct CreateSpec {
  std::string resource;
  std::string node;
  DiskPaths paths;
  uint32_t slots = 0;  // 1 to 31
  bool force = false;  // overwrites metadata that is there
  uint64_t current_uuid = meta::kJustCreatedUuid;
  uint64_t ancestor_uuid = 0;       // the one before it; 0: none
  bool up_to_date = false;          // Consistent and UpToDate, else Inconsistent
  std::vector<std::string> equals;  // peers with nothing out of sync; every other has everything
  bool zero = false;                // zeroes what the mirror offers first
  uint64_t keep_bytes = 0;          // ENOSPC when the mirror would offer less
};

// What creating would make of the disks. Neither claims nor writes anything.
host::Outcome<meta::Layout> plan_metadata(const CreateSpec& spec);

// Old superblocks are invalidated first and the new ones written last, each step durable, so
// a crash leaves no metadata rather than half of it. EBUSY (claimed), EEXIST (metadata there
// and not `force`), ENOSPC, and what claim_disk() says.
host::Outcome<meta::Superblock> create_metadata(const CreateSpec& spec);

// ENODATA, ENOTSUP, EBADMSG, EIO, and what open_disk() says.
host::Outcome<meta::Superblock> read_metadata(const DiskPaths& paths);

// The sentence for the user when metadata on `path` cannot be used: an errno of
// meta::decode() or of Engine::attach(), and the static text that came with it.
host::Failure metadata_failure(int error, const char* what, const std::string& path,
                               const std::string& resource);

}  // namespace blkmirror::bind
