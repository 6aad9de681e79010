// Disks and metadata areas that no engine has attached: what creating, dumping, restoring and
// repairing metadata have in common. Everything here blocks: call it from a worker thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "host/disk_claim.h"
#include "host/failure.h"
#include "io/uring_io.h"
#include "meta/activity_log.h"
#include "meta/bitmap.h"
#include "meta/superblock.h"

namespace blkmirror::bind {

// Where a copy lies.
struct DiskPaths {
  std::string disk;
  std::string meta_disk;  // empty: internal
};

struct Disks {
  host::Disk data;
  host::Disk meta;  // unused when internal
  bool internal = true;
  std::string meta_path;  // of the disk that holds the metadata

  host::Disk& holder() { return internal ? data : meta; }
  int fd() { return holder().fd.get(); }
  // Where the first superblock slot is looked for.
  uint64_t superblock_offset() {
    return meta::superblock_offset(internal, holder().facts.size_bytes);
  }
};

// For reading and writing; EBUSY while another process has them attached, EINVAL (both the same).
host::Outcome<Disks> claim_disks(const DiskPaths& paths);
// For reading the metadata alone, without a claim.
host::Outcome<Disks> open_disks(const DiskPaths& paths);

host::Failure io_failure(int error, const std::string& what, const std::string& path);

// 0 or an errno. `offset` and `length` are multiples of 4096; ENODATA at the disk's end.
int read_fully(int fd, std::byte* to, size_t length, uint64_t offset);
// Flushed when it answers 0.
int write_durably(int fd, const std::byte* from, size_t length, uint64_t offset);

// Both slots at `offset`; ENODATA when the disk ends before, and what reading says.
Result<meta::SlotPair> read_slots(int fd, uint64_t offset, uint64_t disk_bytes);
// The newest superblock there, as attach would choose it.
Result<meta::Superblock> read_superblock(int fd, uint64_t offset, uint64_t disk_bytes);
// Both slots, one after the other, `first` (0 or 1) first: so a crash leaves the other one whole.
int write_slots(int fd, const meta::Superblock& superblock, uint32_t first);
int zero_slots(int fd, uint64_t offset);

// Activity log and bitmap of a disk, loaded and written by the same code as an engine's. Every
// method answers 0 or an errno.
class Areas final : public io::BatchHandler {
 public:
  static Result<std::unique_ptr<Areas>> open(int fd);
  ~Areas();

  int load(const meta::Superblock& superblock);
  // A cold log; every state is `state`.
  int format(const meta::Superblock& superblock, meta::PageState state);
  // Makes these extents hot (a bit array, as in the log's pages).
  int heat(const std::byte* bits, uint64_t extents);
  // What changed in memory, and what was damaged on the disk.
  int save();

  meta::ActivityLog& log() { return *log_; }
  meta::Bitmap& bitmap() { return *bitmap_; }

  // The log writes by itself what load() found damaged: not before that is wanted.
  void batch_end() override {
    if (writing_) log_->batch_end();
  }
  void woken() override {}

 private:
  explicit Areas(std::unique_ptr<io::UringIo> io) : io_(std::move(io)) {}

  std::unique_ptr<io::UringIo> io_;
  io::DiskId disk_ = io::kNoDisk;
  bool writing_ = false;
  std::unique_ptr<meta::ActivityLog> log_;
  std::unique_ptr<meta::Bitmap> bitmap_;
};

}  // namespace blkmirror::bind
