// Growing a copy: a crash at any step, with any part of what the step wrote on the disk, leaves the
// old metadata or the new, whole; and the growth can be done again from there.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bind/metadata_disk.h"
#include "bind/metadata_growth.h"
#include "check.h"
#include "io/sim_random.h"

using namespace blkmirror;
using bind::Growth;
using bind::GrowthSpec;

namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint32_t kSector = 512;
using Bytes = std::vector<std::byte>;

struct File {
  explicit File(uint64_t bytes) {
    path = "/dev/shm/blkmirror-growth-XXXXXX";
    fd = mkstemp(path.data());
    resize(bytes);
  }
  ~File() {
    close(fd);
    unlink(path.c_str());
  }
  void resize(uint64_t bytes) { CHECK(ftruncate(fd, off_t(bytes)) == 0); }
  Bytes read() const {
    Bytes bytes(size_t(lseek(fd, 0, SEEK_END)));
    const ssize_t got = pread(fd, bytes.data(), bytes.size(), 0);
    if (got != ssize_t(bytes.size())) bytes.clear();
    return bytes;
  }
  void write(const Bytes& bytes) { CHECK(pwrite(fd, bytes.data(), bytes.size(), 0) > 0); }

  std::string path;
  int fd = -1;
};

// A copy of alpha that knows beta, towards which a few blocks are out of sync.
struct Copy {
  File disk;
  File metadata;
  bool internal;
  uint64_t last_superblock = 0;
  uint64_t old_bytes = 0;
  uint64_t in_sync_bytes = 0;

  Copy(bool inside, uint64_t bytes, uint64_t metadata_bytes)
      : disk(bytes), metadata(metadata_bytes), internal(inside) {}

  bind::DiskPaths paths() const { return {disk.path, internal ? "" : metadata.path}; }
  File& holder() { return internal ? disk : metadata; }

  bool create() {
    bind::CreateSpec spec;
    spec.resource = "r0";
    spec.node = "alpha";
    spec.paths = paths();
    spec.slots = 7;
    spec.up_to_date = true;
    spec.equals = {"beta"};
    auto made = bind::create_metadata(spec);
    if (!made.ok()) return false;
    const meta::Superblock& superblock = made.value();
    last_superblock = superblock.layout.superblocks.offset;
    old_bytes = superblock.layout.device_size_bytes;
    auto claimed = bind::claim_disks(paths());
    if (!claimed.ok()) return false;
    auto areas = bind::Areas::open(claimed.value().fd());
    if (!areas.ok() || areas.value()->load(superblock) != 0) return false;
    areas.value()->bitmap().set(1, 3 * kMiB, 3 * limits::kBlockBytes);
    return areas.value()->save() == 0;
  }
  GrowthSpec spec(uint64_t device_bytes = 0) const {
    GrowthSpec spec;
    spec.resource = "r0";
    spec.node = "alpha";
    spec.paths = paths();
    spec.last_superblock = internal ? last_superblock : 0;
    spec.device_bytes = device_bytes;
    return spec;
  }
  // As attach finds it.
  Result<meta::Superblock> find() {
    const auto size = uint64_t(lseek(holder().fd, 0, SEEK_END));
    const uint64_t end = meta::superblock_offset(internal, size);
    auto found = bind::read_superblock(holder().fd, end, size);
    if (found.ok() || found.error().code != ENODATA || !internal) return found;
    return bind::read_superblock(holder().fd, last_superblock, size);
  }
  // Whole, and with the right blocks out of sync. Its size; 0: it is not.
  uint64_t check() {
    const auto found = find();
    if (!found.ok()) return 0;
    const meta::Superblock& superblock = found.value();
    const uint64_t size = superblock.layout.device_size_bytes;
    auto areas = bind::Areas::open(holder().fd);
    if (!areas.ok() || areas.value()->load(superblock) != 0) return 0;
    const meta::Bitmap& bitmap = areas.value()->bitmap();
    const meta::ActivityLog& log = areas.value()->log();
    if (bitmap.damaged_pages() > 0 || log.damaged_pages() > 0 || log.hot_count() > 0) return 0;
    if (!bitmap.any(0, 3 * kMiB, 3 * limits::kBlockBytes)) return 0;
    const uint64_t old_end = old_bytes - old_bytes % limits::kBlockBytes;
    const uint64_t grown = size == old_bytes ? 0 : size - old_end;
    const uint64_t wanted = 3 * limits::kBlockBytes + grown;
    const bool flags = (superblock.flags & meta::kWasUpToDate) != 0;
    return flags && bitmap.out_of_sync_bytes(0) == wanted ? size : 0;
  }
};

// `before` with some of the sectors in which `after` differs: what a power loss may leave.
Bytes torn(const Bytes& before, const Bytes& after, io::SimRandom& random) {
  Bytes mixed = before;
  const uint64_t most = random.between(1, 9);
  for (size_t at = 0; at < before.size(); at += kSector) {
    if (std::memcmp(&before[at], &after[at], kSector) == 0) continue;
    if (random.between(0, 9) < most) std::memcpy(&mixed[at], &after[at], kSector);
  }
  return mixed;
}

// Every step, torn in many ways: the size before kFirstSlot is the old one, after it the new.
bool survives_every_crash(Copy& copy, uint64_t seed) {
  io::SimRandom random(seed);
  auto planned = Growth::plan(copy.spec());
  if (!planned.ok()) return false;
  const uint64_t is = planned.value()->report().new_bytes;
  bool counts = false;
  for (const Growth::Step step : Growth::kSteps) {
    const Bytes before = copy.holder().read();
    if (planned.value()->run(step) != 0) return false;
    const Bytes after = copy.holder().read();
    for (uint32_t round = 0; round < 12; ++round) {
      copy.holder().write(torn(before, after, random));
      const uint64_t size = copy.check();
      const bool either = step == Growth::Step::kFirstSlot;
      if (size != is && size != copy.old_bytes) return false;
      if (!either && size != (counts ? is : copy.old_bytes)) return false;
    }
    copy.holder().write(after);
    if (step == Growth::Step::kFirstSlot) counts = true;
    if (copy.check() != (counts ? is : copy.old_bytes)) return false;
  }
  return counts;
}

// After a crash at that step the same command does it.
bool grows_after_crash(Copy& copy, Growth::Step at, uint64_t seed) {
  io::SimRandom random(seed);
  {
    auto planned = Growth::plan(copy.spec());
    if (!planned.ok()) return false;
    for (const Growth::Step step : Growth::kSteps) {
      const Bytes before = copy.holder().read();
      if (planned.value()->run(step) != 0) return false;
      if (step != at) continue;
      copy.holder().write(torn(before, copy.holder().read(), random));
      break;
    }
  }
  const uint64_t size = copy.check();
  auto again = bind::grow_copy(copy.spec());
  if (size != copy.old_bytes) return size != 0 && !again.ok() && copy.check() == size;
  return again.ok() && copy.check() == again.value().new_bytes;
}

}  // namespace

TEST(a_crash_at_any_step_leaves_the_old_size_or_the_new) {
  for (uint64_t seed = 1; seed < 7; ++seed) {
    Copy copy(true, 8 * kMiB + seed * kSector, 0);
    CHECK(copy.create());
    copy.disk.resize((12 + seed) * kMiB);
    CHECK(survives_every_crash(copy, seed));
  }
}

TEST(a_crash_at_any_step_with_external_metadata) {
  for (uint64_t seed = 1; seed < 7; ++seed) {
    Copy copy(false, 8 * kMiB, 4 * kMiB);
    CHECK(copy.create());
    copy.disk.resize((300 + seed) * kMiB);
    CHECK(survives_every_crash(copy, seed));
  }
}

TEST(a_growth_that_crashed_is_done_again) {
  uint64_t seed = 0;
  for (const bool internal : {true, false}) {
    for (const Growth::Step step : Growth::kSteps) {
      for (uint32_t round = 0; round < 4; ++round) {
        Copy copy(internal, 8 * kMiB, internal ? 0 : 4 * kMiB);
        CHECK(copy.create());
        copy.disk.resize(16 * kMiB);
        CHECK(grows_after_crash(copy, step, ++seed));
      }
    }
  }
}

TEST(superblocks_that_stay_where_they_are) {
  // As repair-md leaves a disk that grew: the superblocks at the new end, the areas where they
  // were.
  Copy copy(true, 8 * kMiB, 0);
  CHECK(copy.create());
  meta::Superblock superblock = copy.find().value();
  copy.disk.resize(16 * kMiB);
  superblock.layout.superblocks.offset = meta::superblock_offset(true, 16 * kMiB);
  superblock.layout.metadata_bytes = 16 * kMiB;
  CHECK_EQ(bind::write_slots(copy.disk.fd, superblock, 0), 0);
  CHECK_EQ(bind::zero_slots(copy.disk.fd, copy.last_superblock), 0);
  CHECK(survives_every_crash(copy, 1));
}

TEST(a_size_of_choice_and_a_second_growth) {
  Copy copy(true, 8 * kMiB, 0);
  CHECK(copy.create());
  copy.disk.resize(24 * kMiB);
  auto first = bind::grow_copy(copy.spec(12 * kMiB));
  CHECK(first.ok());
  CHECK_EQ(first.value().new_bytes, 12 * kMiB);
  CHECK_EQ(copy.check(), 12 * kMiB);
  const auto less = bind::grow_copy(copy.spec(10 * kMiB));
  CHECK(!less.ok());
  CHECK_EQ(less.failure().error, EINVAL);
  const auto more = bind::grow_copy(copy.spec(24 * kMiB));
  CHECK(!more.ok());
  CHECK_EQ(more.failure().error, ENOSPC);
  copy.last_superblock = copy.find().value().layout.superblocks.offset;
  copy.disk.resize(40 * kMiB);
  auto second = bind::grow_copy(copy.spec());
  CHECK(second.ok());
  CHECK_EQ(copy.check(), second.value().new_bytes);
}

TEST(external_metadata_changes_places_with_each_growth) {
  Copy copy(false, 8 * kMiB, 256u << 10);
  CHECK(copy.create());
  const uint64_t first = copy.find().value().layout.activity_log.offset;
  copy.disk.resize(16 * kMiB);
  CHECK(survives_every_crash(copy, 1));
  CHECK(copy.find().value().layout.activity_log.offset > first);
  copy.disk.resize(32 * kMiB);
  const auto grown = bind::grow_copy(copy.spec());
  CHECK(grown.ok());
  CHECK_EQ(copy.check(), 32 * kMiB);
  CHECK_EQ(copy.find().value().layout.activity_log.offset, first);
  // Larger areas fit neither before these nor behind them.
  copy.disk.resize(2048 * kMiB);
  const auto full = bind::grow_copy(copy.spec());
  CHECK(!full.ok());
  CHECK_EQ(full.failure().error, ENOSPC);
  CHECK_EQ(copy.check(), 32 * kMiB);
}

TEST(a_disk_that_did_not_grow_enough_is_refused_and_left_alone) {
  for (const uint64_t more : {uint64_t{0}, uint64_t{4096}, uint64_t{64} * 1024}) {
    Copy copy(true, 8 * kMiB, 0);
    CHECK(copy.create());
    copy.disk.resize(8 * kMiB + more);
    const Bytes before = copy.disk.read();
    const auto grown = bind::grow_copy(copy.spec());
    CHECK(!grown.ok());
    CHECK_EQ(grown.failure().error, more == 0 ? EINVAL : ENOSPC);
    CHECK(copy.disk.read() == before);
    CHECK_EQ(copy.check(), copy.old_bytes);
  }
}

TEST(a_copy_in_use_or_hot_is_refused) {
  Copy copy(true, 8 * kMiB, 0);
  CHECK(copy.create());
  meta::Superblock superblock = copy.find().value();
  superblock.flags |= meta::kInUse;
  CHECK_EQ(bind::write_slots(copy.disk.fd, superblock, 0), 0);
  copy.disk.resize(16 * kMiB);
  const auto crashed = bind::grow_copy(copy.spec());
  CHECK(!crashed.ok());
  CHECK_EQ(crashed.failure().error, EUCLEAN);
  auto claimed = bind::claim_disks(copy.paths());
  CHECK(claimed.ok());
  const auto attached = bind::grow_copy(copy.spec());
  CHECK(!attached.ok());
  CHECK_EQ(attached.failure().error, EBUSY);
}
