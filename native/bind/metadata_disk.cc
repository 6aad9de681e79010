// Creating and reading metadata without an engine.
#include "bind/metadata_disk.h"

#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/aligned_pages.h"
#include "host/disk_claim.h"
#include "io/uring_io.h"
#include "meta/activity_log.h"
#include "meta/bitmap.h"

namespace blkmirror::bind {

namespace {

using host::Failure;
using host::Outcome;

constexpr uint32_t kClaimMs = 300;  // the lock of a killed process lasts up to 80 ms
constexpr uint64_t kUnlimitedBytes = uint64_t{1} << 50;

struct Disks {
  host::Disk data;
  host::Disk meta;  // unused when internal
  bool internal = true;
  std::string meta_path;  // of the disk that holds the metadata

  host::Disk& holder() { return internal ? data : meta; }
};

Failure io_failure(int error, const std::string& what, const std::string& path) {
  BM_ASSERT(error > 0);
  return {error, "cannot " + what + " " + path + ": " + std::strerror(error)};
}

// 0 or an errno. `offset` and `length` are multiples of 4096.
int read_fully(int fd, std::byte* to, size_t length, uint64_t offset) {
  size_t done = 0;
  while (done < length) {
    const ssize_t got = pread(fd, to + done, length - done, off_t(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return ENODATA;
    done += size_t(got);
  }
  BM_ASSERT(done == length);
  return 0;
}

int write_durably(int fd, const std::byte* from, size_t length, uint64_t offset) {
  size_t done = 0;
  while (done < length) {
    const ssize_t put = pwrite(fd, from + done, length - done, off_t(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put == 0 ? EIO : errno;
    done += size_t(put);
  }
  BM_ASSERT(done == length);
  return fdatasync(fd) == 0 ? 0 : errno;
}

// The newer of both slots, or why there is none: of two reasons the one that says more.
Result<meta::Superblock> read_superblock(int fd, bool internal, uint64_t disk_bytes) {
  const uint64_t offset = meta::superblock_offset(internal, disk_bytes);
  const AlignedPages pages(2);
  if (disk_bytes < 2 * limits::kPageBytes) return Error{ENODATA, "the disk is too small"};
  const int error = read_fully(fd, pages.page(0).data(), 2 * limits::kPageBytes, offset);
  if (error != 0) return Error{error, "reading"};
  Result<meta::Superblock> first = meta::decode(pages.page(0), offset);
  Result<meta::Superblock> second = meta::decode(pages.page(1), offset + limits::kPageBytes);
  if (!second.ok()) {
    const bool first_says_more = first.ok() || first.error().code != ENODATA;
    return first_says_more ? first : second;
  }
  if (!first.ok()) return second;
  return first.value().revision >= second.value().revision ? first : second;
}

Outcome<Disks> claim_disks(const CreateSpec& spec) {
  Disks disks;
  disks.internal = spec.meta_disk.empty();
  disks.meta_path = disks.internal ? spec.disk : spec.meta_disk;
  if (!disks.internal && host::same_disk(spec.disk, spec.meta_disk)) {
    return Failure{EINVAL, "disk and meta-disk are both " + spec.disk +
                               ": write meta-disk = internal, or name another one"};
  }
  Outcome<host::Disk> data = host::claim_disk(spec.disk, kClaimMs, nullptr);
  if (!data.ok()) return data.failure();
  disks.data = std::move(data.value());
  if (disks.internal) return disks;
  Outcome<host::Disk> metadata = host::claim_disk(spec.meta_disk, kClaimMs, nullptr);
  if (!metadata.ok()) return metadata.failure();
  disks.meta = std::move(metadata.value());
  return disks;
}

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
                   "cannot create metadata for " + spec.disk + ": " + needed.error().what};
  }
  const meta::Area& last = needed.value().bitmap;
  return Failure{error, sizes + " is too small for the metadata of " + spec.disk + ": it needs " +
                            std::to_string(last.offset + last.length) + " bytes"};
}

// Fails when something of ours is there already.
Outcome<bool> check_empty(const CreateSpec& spec, Disks& disks) {
  host::Disk& holder = disks.holder();
  const auto found = read_superblock(holder.fd.get(), disks.internal, holder.facts.size_bytes);
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

struct Wait {
  meta::Waiter waiter;
  bool done = false;
  int error = 0;

  Wait() {
    waiter.owner = this;
    waiter.done = [](meta::Waiter& waiter, int error) {
      auto* self = static_cast<Wait*>(waiter.owner);
      BM_ASSERT(!self->done);
      self->done = true;
      self->error = error;
    };
  }
  int run(io::UringIo& io) {
    while (!done) io.run_batch();
    return error;
  }
};

class LogFormat final : public io::BatchHandler {
 public:
  LogFormat(io::Io& io, io::DiskId disk) : log(io, disk) {}
  void batch_end() override { log.batch_end(); }
  void woken() override {}
  meta::ActivityLog log;
};

// Empty activity log, everything out of sync towards every slot. 0 or an errno.
int format_areas(int fd, const meta::Superblock& superblock) {
  auto created = io::UringIo::create();
  if (!created.ok()) return created.error().code;
  io::UringIo& io = *created.value();
  const int copy = dup(fd);
  if (copy < 0) return errno;
  const io::DiskId disk = io.adopt_disk(copy);
  BM_ASSERT(disk != io::kNoDisk);
  int error = 0;
  {
    LogFormat log(io, disk);
    io.set_handler(&log);
    Wait wait;
    log.log.format(superblock.layout, superblock.metadata_id, wait.waiter);
    error = wait.run(io);
    io.set_handler(nullptr);
  }
  if (error == 0) {
    meta::Bitmap bitmap(io, disk);
    Wait wait;
    bitmap.format(superblock.layout, superblock.metadata_id, meta::PageState::kAll, wait.waiter);
    error = wait.run(io);
  }
  io.close_disk(disk);
  return error;
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
  const ssize_t random = getrandom(&superblock.metadata_id, sizeof superblock.metadata_id, 0);
  BM_ASSERT(random == sizeof superblock.metadata_id);
  return superblock;
}

}  // namespace

Outcome<meta::Superblock> create_metadata(const CreateSpec& spec) {
  Outcome<Disks> claimed = claim_disks(spec);
  if (!claimed.ok()) return claimed.failure();
  Disks& disks = claimed.value();
  Outcome<meta::Superblock> made = fresh_superblock(spec, disks);
  if (!made.ok()) return made;
  if (!spec.force) {
    Outcome<bool> empty = check_empty(spec, disks);
    if (!empty.ok()) return empty.failure();
  }
  const int fd = disks.holder().fd.get();
  const uint64_t offset = made.value().layout.superblocks.offset;
  const AlignedPages pages(2);
  constexpr size_t kBoth = 2 * limits::kPageBytes;
  int error = write_durably(fd, pages.page(0).data(), kBoth, offset);
  if (error == 0) error = format_areas(fd, made.value());
  if (error == 0) {
    meta::encode(made.value(), pages.page(0));
    std::memcpy(pages.page(1).data(), pages.page(0).data(), limits::kPageBytes);
    error = write_durably(fd, pages.page(0).data(), kBoth, offset);
  }
  if (error != 0) return io_failure(error, "write metadata to", disks.meta_path);
  return made;
}

Outcome<meta::Superblock> read_metadata(const std::string& disk, const std::string& meta_disk) {
  const bool internal = meta_disk.empty();
  const std::string& path = internal ? disk : meta_disk;
  Outcome<host::Disk> opened = host::open_disk(path);
  if (!opened.ok()) return opened.failure();
  const host::Disk& found = opened.value();
  const auto superblock = read_superblock(found.fd.get(), internal, found.facts.size_bytes);
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
      return {error, "the metadata on " + path + " is damaged" + detail + ": run `" + create +
                         " --force` and resync this copy from a peer"};
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
