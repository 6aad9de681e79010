// See offline_disks.h.
#include "bind/offline_disks.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/aligned_pages.h"

namespace blkmirror::bind {

namespace {

using host::Failure;
using host::Outcome;

constexpr uint32_t kClaimMs = 300;  // the lock of a killed process lasts up to 80 ms
constexpr size_t kBothSlots = 2 * limits::kPageBytes;

// Runs the Io until its waiter was told.
struct Wait {
  meta::Waiter waiter;
  bool done = false;
  int error = 0;

  Wait() {
    waiter.owner = this;
    waiter.done = [](meta::Waiter& told, int code) {
      auto* self = static_cast<Wait*>(told.owner);
      BM_ASSERT(!self->done);
      self->done = true;
      self->error = code;
    };
  }
  int run(io::UringIo& io) {
    while (!done) {
      io.wake();  // whoever is told in the batch's end leaves nothing to wait for
      io.run_batch();
    }
    return error;
  }
};

Outcome<Disks> take_disks(const DiskPaths& paths, Outcome<host::Disk> (*take)(const std::string&)) {
  BM_ASSERT(!paths.disk.empty());
  Disks disks;
  disks.internal = paths.meta_disk.empty();
  disks.meta_path = disks.internal ? paths.disk : paths.meta_disk;
  if (!disks.internal && host::same_disk(paths.disk, paths.meta_disk)) {
    return Failure{EINVAL, "disk and meta-disk are both " + paths.disk +
                               ": write meta-disk = internal, or name another one"};
  }
  Outcome<host::Disk> data = take(paths.disk);
  if (!data.ok()) return data.failure();
  disks.data = std::move(data.value());
  if (disks.internal) return disks;
  Outcome<host::Disk> metadata = take(paths.meta_disk);
  if (!metadata.ok()) return metadata.failure();
  disks.meta = std::move(metadata.value());
  return disks;
}

}  // namespace

Outcome<Disks> claim_disks(const DiskPaths& paths) {
  return take_disks(
      paths, [](const std::string& path) { return host::claim_disk(path, kClaimMs, nullptr); });
}

Outcome<Disks> open_disks(const DiskPaths& paths) {
  return take_disks(paths, [](const std::string& path) { return host::open_disk(path); });
}

Failure io_failure(int error, const std::string& what, const std::string& path) {
  BM_ASSERT(error > 0);
  return {error, "cannot " + what + " " + path + ": " + std::strerror(error)};
}

int read_fully(int fd, std::byte* to, size_t length, uint64_t offset) {
  BM_ASSERT(offset % limits::kPageBytes == 0);
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
  BM_ASSERT(offset % limits::kPageBytes == 0);
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

Result<meta::SlotPair> read_slots(int fd, uint64_t offset, uint64_t disk_bytes) {
  BM_ASSERT(offset % limits::kPageBytes == 0);
  if (disk_bytes < kBothSlots || offset > disk_bytes - kBothSlots) {
    return Error{ENODATA, "the disk is too small"};
  }
  const AlignedPages pages(2);
  const int error = read_fully(fd, pages.page(0).data(), kBothSlots, offset);
  if (error != 0) return Error{error, "reading"};
  return meta::decode_slots(pages.page(0), pages.page(1), offset);
}

Result<meta::Superblock> read_superblock(int fd, uint64_t offset, uint64_t disk_bytes) {
  const Result<meta::SlotPair> slots = read_slots(fd, offset, disk_bytes);
  if (!slots.ok()) return slots.error();
  const Result<uint32_t> newest = slots.value().newest();
  if (!newest.ok()) return newest.error();
  return slots.value().slot(newest.value());
}

int write_slots(int fd, const meta::Superblock& superblock, uint32_t first) {
  BM_ASSERT(first <= 1);
  const AlignedPages pages(1);
  meta::encode(superblock, pages.page(0));
  const uint64_t start = superblock.layout.superblocks.offset;
  for (const uint32_t slot : {first, 1 - first}) {
    const uint64_t at = start + slot * limits::kPageBytes;
    const int error = write_durably(fd, pages.page(0).data(), limits::kPageBytes, at);
    if (error != 0) return error;
  }
  return 0;
}

int zero_slots(int fd, uint64_t offset) {
  const AlignedPages pages(2);
  return write_durably(fd, pages.page(0).data(), kBothSlots, offset);
}

Result<std::unique_ptr<Areas>> Areas::open(int fd) {
  auto created = io::UringIo::create();
  if (!created.ok()) return created.error();
  std::unique_ptr<Areas> areas(new Areas(std::move(created.value())));
  const int copy = dup(fd);
  if (copy < 0) return Error{errno, "opening the metadata"};
  areas->disk_ = areas->io_->adopt_disk(copy);
  BM_ASSERT(areas->disk_ != io::kNoDisk);
  areas->log_ = std::make_unique<meta::ActivityLog>(*areas->io_, areas->disk_);
  areas->bitmap_ = std::make_unique<meta::Bitmap>(*areas->io_, areas->disk_);
  areas->io_->set_handler(areas.get());
  return areas;
}

Areas::~Areas() {
  io_->set_handler(nullptr);
  log_.reset();
  bitmap_.reset();
  if (disk_ != io::kNoDisk) io_->close_disk(disk_);
}

int Areas::load(const meta::Superblock& superblock) {
  Wait log;
  log_->load(superblock.layout, superblock.metadata_id, log.waiter);
  const int error = log.run(*io_);
  if (error != 0) return error;
  Wait bitmap;
  bitmap_->load(superblock.layout, superblock.metadata_id, bitmap.waiter);
  return bitmap.run(*io_);
}

int Areas::format(const meta::Superblock& superblock, meta::PageState state) {
  BM_ASSERT(state != meta::PageState::kPartial);
  Wait log;
  log_->format(superblock.layout, superblock.metadata_id, log.waiter);
  const int error = log.run(*io_);
  if (error != 0) return error;
  Wait bitmap;
  bitmap_->format(superblock.layout, superblock.metadata_id, state, bitmap.waiter);
  return bitmap.run(*io_);
}

int Areas::heat(const std::byte* bits, uint64_t extents) {
  BM_ASSERT(extents == log_->extent_count());
  writing_ = true;
  std::vector<std::unique_ptr<Wait>> waits;
  for (uint64_t extent = 0; extent < extents; ++extent) {
    if ((std::to_integer<uint32_t>(bits[extent / 8]) >> (extent % 8) & 1) == 0) continue;
    waits.push_back(std::make_unique<Wait>());
    log_->heat(extent, waits.back()->waiter);
  }
  int error = 0;
  for (const auto& wait : waits) {
    const int failed = wait->run(*io_);
    if (error == 0) error = failed;
  }
  return error;
}

int Areas::save() {
  writing_ = true;
  Wait bitmap;
  bitmap_->write_back(bitmap.waiter);
  const int error = bitmap.run(*io_);
  if (error != 0) return error;
  Wait log;
  log_->commit(log.waiter);
  return log.run(*io_);
}

}  // namespace blkmirror::bind
