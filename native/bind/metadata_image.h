// The whole metadata of a copy as values: what dump-md writes down and restore-md puts back.
//
// A dump is read by the same code as an engine's attach, so damaged pages show as what attach
// takes them for. Both block: call them from a worker thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bind/offline_disks.h"
#include "host/failure.h"
#include "meta/superblock.h"

namespace blkmirror::bind {

// Of one peer slot.
struct SlotImage {
  std::vector<std::byte> states;  // a meta::PageState for each page
  std::vector<std::byte> bits;    // kBitmapPageBitBytes for each partial page, in order
};

struct Image {
  meta::Superblock superblock;
  std::vector<std::byte> hot;  // one bit for each extent, as in the log's pages
  std::vector<SlotImage> slots;
  bool attached = false;       // another process may have changed it meanwhile
  uint64_t damaged_pages = 0;  // superblock slots included
};

struct RestoreSpec {
  std::string resource;
  DiskPaths paths;
  bool force = false;
  // With `force`: the revision of the metadata that is overwritten, 0 where it is not valid.
  uint64_t expected_revision = 0;
  Image image;
};

// EBUSY while attached, unless `unclaimed`. ENODATA, ENOTSUP, EBADMSG as attach says.
host::Outcome<Image> dump_metadata(const DiskPaths& paths, bool unclaimed,
                                   const std::string& resource);

// Checks everything, then writes: EEXIST (metadata there and not `force`), ESTALE (it is not
// what was expected), ENOSPC (the disk is too small), EINVAL (an impossible image), EBUSY. The
// areas lie as in the image where the disk is the same, else as create would place them.
host::Outcome<meta::Superblock> restore_metadata(RestoreSpec spec);

}  // namespace blkmirror::bind
