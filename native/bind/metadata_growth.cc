// See metadata_growth.h. From top to bottom: the old metadata, the new, the steps.
#include "bind/metadata_growth.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/aligned_pages.h"
#include "base/assert.h"
#include "bind/metadata_disk.h"

namespace blkmirror::bind {

namespace {

using host::Failure;
using host::Outcome;

constexpr uint32_t kSectorBytes = 512;  // what a disk writes whole or not at all
constexpr uint32_t kMaxSetBytes = 1u << 30;

bool nothing_there(const meta::SlotPair& slots) {
  const auto newest = slots.newest();
  return !newest.ok() && newest.error().code == ENODATA;
}

std::string bytes_of(uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

}  // namespace

Outcome<std::unique_ptr<Growth>> Growth::plan(const GrowthSpec& spec) {
  Outcome<Disks> claimed = claim_disks(spec.paths);
  if (!claimed.ok()) return claimed.failure();
  std::unique_ptr<Growth> growth(new Growth(std::move(claimed.value())));
  using Check = Outcome<bool> (Growth::*)(const GrowthSpec&);
  constexpr Check kChecks[] = {&Growth::find_old, &Growth::check_old, &Growth::place_new,
                               &Growth::load_old};
  for (const Check check : kChecks) {
    const Outcome<bool> checked = (growth.get()->*check)(spec);
    if (!checked.ok()) return checked.failure();
  }
  return growth;
}

// As attach does: at the end, and where it was last seen only when nothing is there.
Outcome<bool> Growth::find_old(const GrowthSpec& spec) {
  const uint64_t size = disks_.holder().facts.size_bytes;
  Result<meta::SlotPair> slots = read_slots(disks_.fd(), disks_.superblock_offset(), size);
  if (!slots.ok()) return io_failure(slots.error().code, "read", disks_.meta_path);
  const uint64_t last = spec.last_superblock;
  const bool known = disks_.internal && last != 0 && last % limits::kPageBytes == 0;
  if (known && nothing_there(slots.value())) slots = read_slots(disks_.fd(), last, size);
  if (!slots.ok() || nothing_there(slots.value())) {
    return Failure{ENODATA, "no blkmirror metadata at the end of " + disks_.meta_path +
                                ": `blkmirror repair-md " + spec.resource +
                                "` looks for it where a disk that grew used to end"};
  }
  const auto newest = slots.value().newest();
  if (!newest.ok()) {
    return metadata_failure(newest.error().code, newest.error().what, disks_.meta_path,
                            spec.resource);
  }
  newest_ = newest.value();
  old_ = slots.value().slot(newest_).value();
  return true;
}

Outcome<bool> Growth::check_old(const GrowthSpec& spec) {
  const meta::Layout& layout = old_.layout;
  if (old_.resource != spec.resource || old_.node != spec.node) {
    return Failure{ESTALE, "the metadata on " + disks_.meta_path + " is of resource " +
                               old_.resource + " on node " + old_.node + ", not of " +
                               spec.resource + " on " + spec.node + ": it is left alone"};
  }
  if (layout.internal != disks_.internal) {
    return metadata_failure(ESTALE, "the metadata is of the other kind", disks_.meta_path,
                            spec.resource);
  }
  const uint64_t data_end = layout.internal ? layout.end() : layout.device_size_bytes;
  if (disks_.data.facts.size_bytes < data_end || disks_.holder().facts.size_bytes < layout.end()) {
    return metadata_failure(ENOSPC, "the disk is smaller than the metadata says", disks_.meta_path,
                            spec.resource);
  }
  if (disks_.data.facts.logical_block > old_.block) {
    return metadata_failure(EINVAL, "the disk has larger blocks than the metadata says",
                            disks_.meta_path, spec.resource);
  }
  return true;
}

// What a crash has left is settled by the engine, what rotted by repair-md: not here.
Outcome<bool> Growth::load_old(const GrowthSpec& spec) {
  BM_ASSERT(areas_ == nullptr);
  auto opened = Areas::open(disks_.fd());
  if (!opened.ok()) return io_failure(opened.error().code, "read", disks_.meta_path);
  areas_ = std::move(opened.value());
  const int error = areas_->load(old_);
  if (error != 0) return io_failure(error, "read the metadata on", disks_.meta_path);
  const std::string& name = spec.resource;
  if (areas_->log().damaged_pages() > 0 || areas_->bitmap().damaged_pages() > 0) {
    return Failure{EUCLEAN, "the metadata on " + disks_.meta_path +
                                " has damaged pages: run `blkmirror repair-md " + name +
                                "`, then up and down, then this again"};
  }
  const bool hot = areas_->log().next_hot(0) < areas_->log().extent_count();
  if (!hot && (old_.flags & meta::kInUse) == 0) return true;
  return Failure{EUCLEAN, name + " did not end cleanly on this node: run `blkmirror up " + name +
                              "` and `blkmirror down " + name + "`, then this again"};
}

Outcome<bool> Growth::place_new(const GrowthSpec& spec) {
  const uint64_t data_bytes = disks_.data.facts.size_bytes;
  const uint64_t meta_bytes = disks_.holder().facts.size_bytes;
  const auto layout =
      meta::grown_layout(old_.layout, data_bytes, meta_bytes, old_.block, spec.device_bytes);
  if (layout.ok()) {
    new_ = old_;
    new_.layout = layout.value();
    new_.revision += 1;
    BM_ASSERT(meta::superblock_valid(new_));
    return true;
  }
  const std::string sizes =
      spec.resource + " has " + bytes_of(old_.layout.device_size_bytes) + " here, " +
      spec.paths.disk + " " + bytes_of(data_bytes) +
      (disks_.internal ? "" : ", " + disks_.meta_path + " " + bytes_of(meta_bytes));
  return Failure{layout.error().code, "cannot resize " + spec.resource + ": " +
                                          layout.error().what + " (" + sizes + ")"};
}

bool Growth::moves() const {
  return new_.layout.superblocks.offset != old_.layout.superblocks.offset;
}

int Growth::run(Step step) {
  BM_ASSERT(areas_ != nullptr);
  BM_ASSERT(new_.revision == old_.revision + 1);
  switch (step) {
    case Step::kAreas:
      return write_areas();
    case Step::kBody:
      return moves() ? write_slot(0, false) : 0;
    case Step::kFirstSlot:
      return write_slot(moves() ? 0 : 1 - newest_, true);
    case Step::kSecondSlot:
      return write_slot(moves() ? 1 : newest_, true);
    case Step::kForget:
      return moves() ? zero_slots(disks_.fd(), old_.layout.superblocks.offset) : 0;
  }
  return EINVAL;
}

int Growth::write_areas() {
  const auto opened = Areas::open(disks_.fd());
  if (!opened.ok()) return opened.error().code;
  Areas& areas = *opened.value();
  int error = areas.format(new_, meta::PageState::kNone);
  if (error != 0) return error;
  error = areas.load(new_);
  if (error != 0) return error;
  copy_bits(areas);
  return areas.save();
}

// What was out of sync is, and all that is new towards every peer: nobody knows what it holds.
void Growth::copy_bits(Areas& areas) const {
  const uint64_t was = old_.layout.device_size_bytes;
  const uint64_t is = new_.layout.device_size_bytes;
  BM_ASSERT(is > was);
  uint32_t slots = 0;
  for (uint32_t slot = 0; slot < old_.layout.slots; ++slot) {
    if (old_.peers[slot].name.empty()) continue;
    slots |= 1u << slot;
    uint64_t from = 0;
    while (const auto range = areas_->bitmap().next(slot, from, limits::kExtentBytes)) {
      areas.bitmap().set(1u << slot, range->offset, range->length);
      from = range->offset + range->length;
    }
  }
  for (uint64_t at = was; slots != 0 && at < is;) {
    const auto length = static_cast<uint32_t>(std::min<uint64_t>(kMaxSetBytes, is - at));
    areas.bitmap().set(slots, at, length);
    at += length;
  }
}

// A page without its first sector has no magic: it is no superblock, and hides none.
int Growth::write_slot(uint32_t slot, bool whole) {
  BM_ASSERT(slot <= 1);
  const AlignedPages page(1);
  meta::encode(new_, page.page(0));
  if (!whole) std::memset(page.page(0).data(), 0, kSectorBytes);
  const uint64_t at = new_.layout.superblocks.offset + slot * limits::kPageBytes;
  return write_durably(disks_.fd(), page.page(0).data(), limits::kPageBytes, at);
}

GrowthReport Growth::report() const {
  return {old_.layout.device_size_bytes, new_.layout.device_size_bytes};
}

Outcome<GrowthReport> grow_copy(const GrowthSpec& spec) {
  Outcome<std::unique_ptr<Growth>> planned = Growth::plan(spec);
  if (!planned.ok()) return planned.failure();
  Growth& growth = *planned.value();
  for (const Growth::Step step : Growth::kSteps) {
    const int error = growth.run(step);
    if (error != 0) return io_failure(error, "write metadata to", growth.path());
  }
  return growth.report();
}

}  // namespace blkmirror::bind
