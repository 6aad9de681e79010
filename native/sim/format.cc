// See format.h.
#include "sim/format.h"

#include <cerrno>

#include "base/assert.h"
#include "io/sim_io.h"
#include "io/sim_world.h"
#include "meta/activity_log.h"
#include "meta/bitmap.h"

namespace blkmirror::sim {

namespace {

constexpr uint64_t kPage = limits::kPageBytes;
constexpr uint64_t kLongUs = 600'000'000;

struct Waiting {
  meta::Waiter waiter;
  bool done = false;
  int error = 0;
  Waiting() {
    waiter.owner = this;
    waiter.done = [](meta::Waiter& waiter, int error) {
      auto* self = static_cast<Waiting*>(waiter.owner);
      self->done = true;
      self->error = error;
    };
  }
};

struct LogBatch final : io::BatchHandler {
  explicit LogBatch(meta::ActivityLog& one) : log(one) {}
  void batch_end() override { log.batch_end(); }
  void woken() override {}
  meta::ActivityLog& log;
};

// Written in a world of its own, so that the time of the other does not pass.
void write_areas(const meta::Superblock& superblock, io::SimDisk& to) {
  io::SimWorld world(1);
  const io::DiskId disk = world.make_disk(to.size_bytes(), to.block_bytes());
  io::SimIo io(world);
  {
    meta::ActivityLog log(io, disk);
    meta::Bitmap bitmap(io, disk);
    LogBatch batch(log);
    io.set_handler(&batch);
    Waiting waiting[2];
    log.format(superblock.layout, superblock.metadata_id, waiting[0].waiter);
    bitmap.format(superblock.layout, superblock.metadata_id, meta::PageState::kAll,
                  waiting[1].waiter);
    const bool ended = world.run_until(
        [&] { return waiting[0].done && waiting[1].done && io.in_flight() == 0; }, kLongUs);
    BM_ASSERT(ended);
    BM_ASSERT(waiting[0].error == 0 && waiting[1].error == 0);
    io.set_handler(nullptr);
  }
  alignas(kPage) std::byte page[kPage];
  for (const uint64_t number : world.disk(disk).written_pages()) {
    world.disk(disk).read(number * kPage, page, kPage);
    to.write(number * kPage, page, kPage, true);
  }
}

// What of the areas may hold pages of metadata that was there before.
void wipe(const meta::Layout& layout, io::SimDisk& to) {
  const uint64_t begin = layout.superblocks.offset;
  const uint64_t end = layout.bitmap.offset + layout.bitmap.length;
  for (const uint64_t number : to.written_pages()) {
    const uint64_t at = number * kPage;
    const bool of_areas =
        (at >= begin && at < end) || (at >= layout.activity_log.offset &&
                                      at < layout.activity_log.offset + layout.activity_log.length);
    if (of_areas) to.write(at, nullptr, kPage, true);
  }
}

}  // namespace

host::Outcome<meta::Superblock> format(io::SimDisk& data, io::SimDisk* meta,
                                       const FormatSpec& spec) {
  const bool internal = meta == nullptr;
  io::SimDisk& holder = internal ? data : *meta;
  if (!spec.force) {
    const Result<meta::Superblock> found = read_superblock(holder, internal);
    if (found.ok() || found.error().code != ENODATA) {
      return host::Failure{EEXIST,
                           spec.path + " already holds metadata: use --force to overwrite it"};
    }
  }
  const auto layout = meta::compute_layout(internal, data.size_bytes(), holder.size_bytes(),
                                           spec.slots, spec.block);
  if (!layout.ok()) {
    return host::Failure{layout.error().code,
                         "cannot create metadata on " + spec.path + ": " + layout.error().what};
  }
  meta::Superblock superblock;
  superblock.layout = layout.value();
  superblock.block = spec.block;
  superblock.resource = spec.resource;
  superblock.node = spec.node;
  superblock.revision = 1;
  superblock.metadata_id = spec.metadata_id;
  wipe(superblock.layout, holder);
  write_areas(superblock, holder);
  alignas(kPage) std::byte page[kPage];
  meta::encode(superblock, std::span<std::byte, 4096>(page, kPage));
  holder.write(superblock.layout.superblocks.offset, page, kPage, true);
  holder.write(superblock.layout.superblocks.offset + kPage, page, kPage, true);
  return superblock;
}

Result<meta::Superblock> read_superblock(const io::SimDisk& disk, bool internal) {
  if (disk.size_bytes() < 2 * kPage) return Error{ENODATA, "the disk is too small"};
  const uint64_t offset = meta::superblock_offset(internal, disk.size_bytes());
  alignas(8) std::byte page[kPage];
  disk.read(offset, page, kPage);
  Result<meta::Superblock> first = meta::decode(std::span<std::byte, 4096>(page, kPage), offset);
  disk.read(offset + kPage, page, kPage);
  Result<meta::Superblock> second =
      meta::decode(std::span<std::byte, 4096>(page, kPage), offset + kPage);
  if (!second.ok()) {
    const bool first_says_more = first.ok() || first.error().code != ENODATA;
    return first_says_more ? first : second;
  }
  if (!first.ok()) return second;
  return first.value().revision >= second.value().revision ? first : second;
}

}  // namespace blkmirror::sim
