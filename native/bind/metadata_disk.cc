// Creating and reading metadata without an engine.
#include "bind/metadata_disk.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "host/disk_zero.h"

namespace blkmirror::bind {

namespace {

using host::Failure;
using host::Outcome;

constexpr uint64_t kUnlimitedBytes = uint64_t{1} << 50;

Outcome<meta::Layout> plan_layout(const CreateSpec& spec, Disks& disks) {
  const uint64_t data_bytes = disks.data.facts.size_bytes;
  const uint64_t meta_bytes = disks.holder().facts.size_bytes;
  const uint32_t block = disks.data.facts.logical_block;
  const auto layout =
      meta::compute_layout(disks.internal, data_bytes, meta_bytes, spec.slots, block);
  if (layout.ok()) return layout.value();
  const int error = layout.error().code;
  const std::string sizes = disks.meta_path + " with " + std::to_string(meta_bytes) + " bytes";
  if (disks.internal || data_bytes == 0) {
    return Failure{error, "cannot create metadata on " + sizes + ": " + layout.error().what};
  }
  const auto needed = meta::compute_layout(false, data_bytes, kUnlimitedBytes, spec.slots, block);
  if (!needed.ok()) {
    return Failure{needed.error().code,
                   "cannot create metadata for " + spec.paths.disk + ": " + needed.error().what};
  }
  return Failure{error, sizes + " is too small for the metadata of " + spec.paths.disk +
                            ": it needs " + std::to_string(needed.value().end()) + " bytes"};
}

// Fails when something of ours is there already.
Outcome<bool> check_empty(const CreateSpec& spec, Disks& disks) {
  const auto found =
      read_superblock(disks.fd(), disks.superblock_offset(), disks.holder().facts.size_bytes);
  if (!found.ok() && found.error().code == ENODATA) return true;
  if (found.ok()) {
    return Failure{EEXIST, disks.meta_path + " already holds metadata of resource " +
                               found.value().resource + " on node " + found.value().node +
                               ": use --force to overwrite it"};
  }
  const int error = found.error().code;
  if (error != EBADMSG && error != ENOTSUP) return io_failure(error, "read", disks.meta_path);
  const bool other = error == ENOTSUP;
  return Failure{EEXIST, disks.meta_path + " already holds " + (other ? "" : "damaged ") +
                             "metadata" + (other ? " of another version" : "") +
                             ": use --force to overwrite it (resource " + spec.resource + ")"};
}

Outcome<meta::Superblock> fresh_superblock(const CreateSpec& spec, Disks& disks) {
  Outcome<meta::Layout> layout = plan_layout(spec, disks);
  if (!layout.ok()) return layout.failure();
  meta::Superblock superblock;
  superblock.layout = layout.value();
  superblock.block = disks.data.facts.logical_block;
  superblock.resource = spec.resource;
  superblock.node = spec.node;
  superblock.revision = 1;
  superblock.current_uuid = spec.current_uuid;
  meta::push_history(superblock.history_uuids, spec.ancestor_uuid);
  if (spec.up_to_date) superblock.flags = meta::kConsistent | meta::kWasUpToDate;
  BM_ASSERT(spec.equals.size() <= spec.slots);
  for (uint32_t slot = 0; slot < spec.equals.size(); ++slot) {
    superblock.peers[slot].name = spec.equals[slot];
  }
  const ssize_t random = getrandom(&superblock.metadata_id, sizeof superblock.metadata_id, 0);
  BM_ASSERT(random == sizeof superblock.metadata_id);
  return superblock;
}

// A cold log; everything out of sync but towards the peers that are equal. 0 or an errno.
int format_areas(int fd, const meta::Superblock& superblock, uint32_t equal_peers) {
  const auto opened = Areas::open(fd);
  if (!opened.ok()) return opened.error().code;
  Areas& areas = *opened.value();
  int error = areas.format(superblock, meta::PageState::kAll);
  if (error != 0 || equal_peers == 0) return error;
  error = areas.load(superblock);
  if (error != 0) return error;
  for (uint32_t slot = 0; slot < equal_peers; ++slot) areas.bitmap().clear_all(slot);
  return areas.save();
}

}  // namespace

Outcome<meta::Layout> plan_metadata(const CreateSpec& spec) {
  Outcome<Disks> opened = open_disks(spec.paths);
  if (!opened.ok()) return opened.failure();
  return plan_layout(spec, opened.value());
}

Outcome<meta::Superblock> create_metadata(const CreateSpec& spec) {
  Outcome<Disks> claimed = claim_disks(spec.paths);
  if (!claimed.ok()) return claimed.failure();
  Disks& disks = claimed.value();
  Outcome<meta::Superblock> made = fresh_superblock(spec, disks);
  if (!made.ok()) return made;
  const meta::Layout& layout = made.value().layout;
  if (layout.device_size_bytes < spec.keep_bytes) {
    return Failure{ENOSPC, spec.paths.disk + " became smaller meanwhile"};
  }
  if (!spec.force) {
    Outcome<bool> empty = check_empty(spec, disks);
    if (!empty.ok()) return empty.failure();
  }
  int error = zero_slots(disks.fd(), layout.superblocks.offset);
  if (error == 0 && spec.zero) error = host::zero_disk(disks.data, layout.device_size_bytes);
  if (error == 0) {
    error = format_areas(disks.fd(), made.value(), static_cast<uint32_t>(spec.equals.size()));
  }
  if (error == 0) error = write_slots(disks.fd(), made.value(), 0);
  if (error != 0) return io_failure(error, "write metadata to", disks.meta_path);
  return made;
}

Outcome<meta::Superblock> read_metadata(const DiskPaths& paths) {
  const bool internal = paths.meta_disk.empty();
  const std::string& path = internal ? paths.disk : paths.meta_disk;
  Outcome<host::Disk> opened = host::open_disk(path);
  if (!opened.ok()) return opened.failure();
  const uint64_t size = opened.value().facts.size_bytes;
  const auto superblock =
      read_superblock(opened.value().fd.get(), meta::superblock_offset(internal, size), size);
  if (superblock.ok()) return superblock.value();
  return metadata_failure(superblock.error().code, superblock.error().what, path, "RESOURCE");
}

Failure metadata_failure(int error, const char* what, const std::string& path,
                         const std::string& resource) {
  BM_ASSERT(error > 0);
  BM_ASSERT(what != nullptr);
  const std::string create = "blkmirror create-md " + resource;
  const std::string detail = std::string(" (") + what + ")";
  switch (error) {
    case ENODATA:
      return {error, "no blkmirror metadata on " + path + ": run `" + create + "`"};
    case ENOTSUP:
      return {error, "the metadata on " + path + " is of a version this program does not know" +
                         detail + ": install the version of blkmirror that wrote it"};
    case EBADMSG:
      return {error, "the metadata on " + path + " is damaged" + detail +
                         ": run `blkmirror repair-md " + resource +
                         "`, which says what can be saved"};
    case ESTALE:
      return {error, "the metadata on " + path + " belongs to something else" + detail +
                         ": correct the disk's name, or run `" + create + " --force`"};
    case ENOSPC:
      return {error, path + " does not fit its metadata" + detail +
                         ": give the disk back its size, or run `" + create + " --force`"};
    default:
      return {error, "cannot use the metadata on " + path + ": " + std::strerror(error) + detail};
  }
}

}  // namespace blkmirror::bind
