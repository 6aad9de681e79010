// Opening, probing and claiming disks.
#include "host/disk_claim.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include "base/limits.h"
#include "host/disk_holder.h"

namespace blkmirror::host {

namespace {

constexpr uint32_t kClaimRetryMs = 5;

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};

uint64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1000 + uint64_t(now.tv_nsec) / 1000000;
}

void pause_ms(uint32_t milliseconds) {
  BM_ASSERT(milliseconds < 1000);
  const timespec pause{0, long(milliseconds) * 1000000};
  nanosleep(&pause, nullptr);
}

Failure system_failure(int error, const std::string& path, const std::string& what) {
  BM_ASSERT(error > 0);
  return {error, what + " " + path + ": " + std::strerror(error)};
}

Failure busy(const std::string& path, const std::string& why) {
  BM_ASSERT(!why.empty());
  return {EBUSY, path + " is in use: " + why};
}

// 0 when one aligned direct read of `length` bytes works (or there is nothing to read yet).
int try_direct_read(int fd, uint32_t offset, uint32_t length) {
  BM_ASSERT(offset + length <= 2 * limits::kPageBytes);
  void* raw = nullptr;
  if (posix_memalign(&raw, limits::kPageBytes, limits::kPageBytes) != 0) return ENOMEM;
  const std::unique_ptr<void, FreeDeleter> memory(raw);
  BM_ASSERT(length <= limits::kPageBytes);
  return pread(fd, raw, length, offset) < 0 ? errno : 0;
}

struct Alignment {
  bool direct = false;
  uint32_t block = 512;  // bytes
};

// What direct I/O on a file asks for; `fd` is open with O_DIRECT.
Alignment probe_file_alignment(int fd) {
  BM_ASSERT(fd >= 0);
#ifdef STATX_DIOALIGN
  struct statx extended;
  std::memset(&extended, 0, sizeof extended);
  const bool asked = statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0;
  if (asked && (extended.stx_mask & STATX_DIOALIGN) != 0) {
    const uint32_t offset_align = extended.stx_dio_offset_align;
    if (offset_align == 0 || offset_align > limits::kPageBytes) return {false, 512};
    const uint32_t block = offset_align <= 512 ? 512 : 4096;
    return {try_direct_read(fd, block, block) == 0, block};
  }
#endif
  for (const uint32_t block : {512u, 4096u}) {
    if (try_direct_read(fd, block, block) == 0) return {true, block};
  }
  return {false, 512};
}

bool file_zeroes_fast(int fd, uint64_t size_bytes) {
  BM_ASSERT(fd >= 0);
  // A hole behind the end changes nothing, and is refused where holes are not to be had.
  const uint64_t page = limits::kPageBytes;
  const uint64_t behind = (size_bytes + page - 1) / page * page;
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(behind), off_t(page)) == 0;
}

bool block_zeroes_fast(dev_t device) {
  const std::string base =
      "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
  // A partition's queue is its disk's. A discard alone promises no zeroes.
  for (const char* queue : {"/queue", "/../queue"}) {
    std::ifstream file(base + queue + "/write_zeroes_max_bytes");
    uint64_t most = 0;
    if (file >> most) return most > 0;
  }
  return false;
}

Outcome<DiskFacts> block_facts(int fd, const struct stat& status, const std::string& path,
                               bool direct) {
  BM_ASSERT(S_ISBLK(status.st_mode));
  DiskFacts facts;
  facts.block_device = true;
  int block = 0;
  if (ioctl(fd, BLKGETSIZE64, &facts.size_bytes) != 0 || ioctl(fd, BLKSSZGET, &block) != 0) {
    return system_failure(errno, path, "cannot ask for the size of");
  }
  if (block != 512 && block != 4096) {
    return Failure{EINVAL, path + " has blocks of " + std::to_string(block) +
                               " bytes: only 512 and 4096 are supported"};
  }
  facts.logical_block = uint32_t(block);
  facts.direct = direct && try_direct_read(fd, 0, uint32_t(block)) == 0;
  facts.fast_zero = block_zeroes_fast(status.st_rdev);
  return facts;
}

DiskFacts file_facts(int fd, const struct stat& status, bool direct) {
  BM_ASSERT(S_ISREG(status.st_mode));
  DiskFacts facts;
  facts.size_bytes = uint64_t(status.st_size);
  if (direct) {
    const Alignment alignment = probe_file_alignment(fd);
    facts.direct = alignment.direct;
    facts.logical_block = alignment.block;
  }
  BM_ASSERT(facts.logical_block == 512 || facts.logical_block == 4096);
  return facts;
}

// Drops O_DIRECT where it was accepted but does not work.
bool clear_direct(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

Outcome<Disk> open_with(const std::string& path, int flags) {
  BM_ASSERT(!path.empty());
  bool direct = true;
  OwnedFd fd(open(path.c_str(), flags | O_DIRECT | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid() && errno == EINVAL) {
    direct = false;
    fd.reset(open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK));
  }
  if (!fd.valid()) return system_failure(errno, path, "cannot open");
  // O_NONBLOCK was for the open alone: a FIFO in place of a disk must not block it.
  const int now = fcntl(fd.get(), F_GETFL);
  if (now < 0 || fcntl(fd.get(), F_SETFL, now & ~O_NONBLOCK) != 0) {
    return system_failure(errno, path, "cannot open");
  }
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return system_failure(errno, path, "cannot examine");
  Disk disk;
  if (S_ISBLK(status.st_mode)) {
    Outcome<DiskFacts> facts = block_facts(fd.get(), status, path, direct);
    if (!facts.ok()) return facts.failure();
    disk.facts = facts.value();
  } else if (S_ISREG(status.st_mode)) {
    disk.facts = file_facts(fd.get(), status, direct);
  } else {
    return Failure{EINVAL, path + " is neither a block device nor a file"};
  }
  if (direct && !disk.facts.direct && !clear_direct(fd.get())) {
    return system_failure(errno, path, "cannot open");
  }
  disk.fd = std::move(fd);
  return disk;
}

// One attempt. EBUSY when another holds it; who that is, is looked for only after the `last`.
Outcome<Disk> try_claim(const std::string& path, const struct stat& seen, bool last) {
  const int exclusive = S_ISBLK(seen.st_mode) ? O_EXCL : 0;
  Outcome<Disk> opened = open_with(path, O_RDWR | exclusive);
  if (!opened.ok()) {
    if (opened.failure().error != EBUSY) return opened;
    return busy(path, last ? describe_block_holder(seen) : "held");
  }
  Disk& disk = opened.value();
  if (disk.facts.block_device) return opened;
  if (flock(disk.fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_failure(errno, path, "cannot lock");
    return busy(path, last ? describe_file_holder(seen) : "held");
  }
  const std::string loop = loop_device_of(seen);
  if (!loop.empty()) return busy(path, "it is the backing file of " + loop + ": name that instead");
  disk.facts.fast_zero = file_zeroes_fast(disk.fd.get(), disk.facts.size_bytes);
  return opened;
}

}  // namespace

Outcome<Disk> claim_disk(const std::string& path, uint32_t timeout_ms,
                         const std::atomic<bool>* stop) {
  BM_ASSERT(!path.empty());
  const uint64_t deadline = now_ms() + timeout_ms;
  for (;;) {
    struct stat seen;
    if (stat(path.c_str(), &seen) != 0) return system_failure(errno, path, "cannot open");
    if (!S_ISBLK(seen.st_mode) && !S_ISREG(seen.st_mode)) {
      return Failure{EINVAL, path + " is neither a block device nor a file"};
    }
    const bool last = now_ms() >= deadline;
    Outcome<Disk> claimed = try_claim(path, seen, last);
    if (last || claimed.ok() || claimed.failure().error != EBUSY) return claimed;
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
      return Failure{ECANCELED, "no longer waiting for " + path};
    }
    pause_ms(kClaimRetryMs);
  }
}

Outcome<Disk> open_disk(const std::string& path) {
  BM_ASSERT(!path.empty());
  return open_with(path, O_RDONLY);
}

bool same_disk(const std::string& path, const std::string& other) {
  struct stat first;
  struct stat second;
  if (stat(path.c_str(), &first) != 0 || stat(other.c_str(), &second) != 0) return false;
  if (S_ISBLK(first.st_mode) && S_ISBLK(second.st_mode)) return first.st_rdev == second.st_rdev;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace blkmirror::host
