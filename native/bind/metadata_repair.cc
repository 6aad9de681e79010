// See metadata_repair.h. From top to bottom: choosing the superblock, looking elsewhere, writing.
#include "bind/metadata_repair.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/aligned_pages.h"
#include "bind/metadata_disk.h"
#include "meta/page_codec.h"

namespace blkmirror::bind {

namespace {

using host::Failure;
using host::Outcome;

constexpr uint64_t kPage = limits::kPageBytes;
constexpr uint32_t kScanPages = 256;                // read at once
constexpr uint64_t kTailBytes = uint64_t{1} << 30;  // of the disk, always looked at

std::string slot_problem(const Result<meta::Superblock>& slot) {
  if (slot.ok()) return "";
  return slot.error().code == ENODATA ? "holds no superblock" : slot.error().what;
}

// How many log and state pages carry the CRC of that metadata.
uint64_t own_pages(int fd, const meta::Superblock& superblock) {
  const AlignedPages page(1);
  const meta::Layout& layout = superblock.layout;
  uint64_t count = 0;
  const auto look = [&](const meta::PageName& name, const meta::PlacePair& places) {
    for (const uint64_t at : {places.first, places.second}) {
      if (read_fully(fd, page.page(0).data(), kPage, at) != 0) continue;
      if (meta::open_page(name, superblock.metadata_id, page.page(0))) ++count;
    }
  };
  for (uint64_t at = 0; at < layout.log_page_count(); ++at) {
    look({meta::PageKind::kLog, 0, at}, layout.log_page(at));
  }
  for (uint32_t slot = 0; slot < layout.slots; ++slot) {
    look({meta::PageKind::kStates, slot, 0}, layout.state_page(slot, 0));
  }
  return count;
}

// The superblock to go on with; of two that do not belong together the one whose pages are there.
std::optional<meta::Superblock> choose(int fd, const meta::SlotPair& slots, RepairReport& report) {
  report.slots[0] = slot_problem(slots.first);
  report.slots[1] = slot_problem(slots.second);
  const Result<uint32_t> newest = slots.newest();
  if (newest.ok()) return slots.slot(newest.value()).value();
  if (!slots.first.ok() || !slots.second.ok()) return std::nullopt;
  const uint64_t first = own_pages(fd, slots.first.value());
  const uint64_t second = own_pages(fd, slots.second.value());
  if ((first == 0) == (second == 0)) {
    for (std::string& slot : report.slots) slot = "does not belong to the other";
    return std::nullopt;
  }
  report.slots[first == 0 ? 0 : 1] = "belongs to other metadata";
  return slots.slot(first == 0 ? 1 : 0).value();
}

bool ours(const RepairSpec& spec, const meta::Superblock& superblock) {
  return superblock.resource == spec.resource && superblock.node == spec.node;
}

// Collects superblocks that are whole at their own place.
class Search {
 public:
  Search(int fd, uint64_t disk_bytes, std::vector<Stray>& found)
      : fd_(fd), disk_bytes_(disk_bytes), found_(found) {}

  void look_at(uint64_t offset) {
    if (disk_bytes_ < kPage || offset > disk_bytes_ - kPage || offset % kPage != 0) return;
    const AlignedPages page(1);
    if (read_fully(fd_, page.page(0).data(), kPage, offset) == 0) examine(page.page(0), offset);
  }

  // Every page of [from, to). What cannot be read is passed over.
  void look_through(uint64_t from, uint64_t to) {
    BM_ASSERT(from % kPage == 0);
    const AlignedPages pages(kScanPages);
    to = std::min(to, disk_bytes_ / kPage * kPage);
    for (uint64_t at = from; at < to && found_.size() < kMaxStrays;) {
      const uint64_t length = std::min<uint64_t>(kScanPages * kPage, to - at);
      const int error = read_fully(fd_, pages.page(0).data(), length, at);
      for (uint32_t i = 0; error == 0 && i < length / kPage; ++i) {
        examine(pages.page(i), at + i * kPage);
      }
      at += length;
    }
  }

 private:
  void examine(std::span<const std::byte, 4096> bytes, uint64_t offset) {
    const Result<meta::Superblock> decoded = meta::decode(bytes, offset);
    if (!decoded.ok() || found_.size() >= kMaxStrays) return;
    const uint64_t first = decoded.value().layout.superblocks.offset;
    for (Stray& known : found_) {
      if (known.offset != first || known.superblock.metadata_id != decoded.value().metadata_id) {
        continue;
      }
      if (known.superblock.revision < decoded.value().revision) known.superblock = decoded.value();
      return;
    }
    found_.push_back({first, decoded.value()});
  }

  int fd_;
  uint64_t disk_bytes_;
  std::vector<Stray>& found_;
};

void search(const RepairSpec& spec, Disks& disks, RepairReport& report) {
  const uint64_t size = disks.holder().facts.size_bytes;
  Search search(disks.fd(), size, report.strays);
  if (spec.last_superblock != 0) {
    search.look_at(spec.last_superblock);
    search.look_at(spec.last_superblock + kPage);
  }
  search.look_at(0);
  search.look_at(kPage);
  const uint64_t tail = size > kTailBytes ? (size - kTailBytes) / kPage * kPage : 0;
  search.look_through(tail, size);
  if (spec.scan) search.look_through(0, tail);
  std::stable_sort(report.strays.begin(), report.strays.end(), [&](const Stray& a, const Stray& b) {
    const bool a_ours = ours(spec, a.superblock);
    const bool b_ours = ours(spec, b.superblock);
    if (a_ours != b_ours) return a_ours;
    return a.superblock.generation > b.superblock.generation;
  });
}

// The superblock of a disk that grew, as it is to lie at the new end: the areas stay where they
// are. Nothing when it is not ours, or there are several to choose from.
std::optional<meta::Superblock> moved(const RepairSpec& spec, Disks& disks,
                                      const RepairReport& report) {
  uint32_t candidates = 0;
  for (const Stray& stray : report.strays) candidates += ours(spec, stray.superblock) ? 1 : 0;
  if (candidates != 1) return std::nullopt;
  meta::Superblock superblock = report.strays.front().superblock;
  const uint64_t size = disks.holder().facts.size_bytes;
  const uint64_t end = disks.superblock_offset();
  if (!disks.internal || !superblock.layout.internal) return std::nullopt;
  if (end < superblock.layout.superblocks.offset + superblock.layout.superblocks.length) {
    return std::nullopt;
  }
  superblock.layout.superblocks.offset = end;
  superblock.layout.metadata_bytes = size;
  if (!meta::layout_valid(superblock.layout, superblock.block)) return std::nullopt;
  return superblock;
}

// Damaged pages become hot and out of sync, then both slots are written. 0 or an errno.
int write_repaired(int fd, RepairReport& report) {
  const auto opened = Areas::open(fd);
  if (!opened.ok()) return opened.error().code;
  Areas& areas = *opened.value();
  int error = areas.load(report.superblock);
  if (error != 0) return error;
  report.log_pages = areas.log().damaged_pages();
  report.bitmap_pages = areas.bitmap().damaged_pages();
  error = areas.save();
  if (error != 0) return error;
  report.superblock.revision += 1;
  error = write_slots(fd, report.superblock, report.slots[0].empty() ? 1 : 0);
  if (error == 0 && report.moved) error = zero_slots(fd, report.strays.front().offset);
  return error;
}

}  // namespace

Outcome<RepairReport> repair_metadata(const RepairSpec& spec) {
  Outcome<Disks> claimed = claim_disks(spec.paths);
  if (!claimed.ok()) return claimed.failure();
  Disks& disks = claimed.value();
  const uint64_t offset = disks.superblock_offset();
  const auto slots = read_slots(disks.fd(), offset, disks.holder().facts.size_bytes);
  if (!slots.ok()) return io_failure(slots.error().code, "read", disks.meta_path);
  RepairReport report;
  std::optional<meta::Superblock> chosen = choose(disks.fd(), slots.value(), report);
  for (const uint32_t slot : {0u, 1u}) {
    const auto& found = slots.value().slot(slot);
    if (chosen || found.ok() || found.error().code != ENOTSUP) continue;
    return metadata_failure(ENOTSUP, found.error().what, disks.meta_path, spec.resource);
  }
  if (!chosen) {
    search(spec, disks, report);
    chosen = moved(spec, disks, report);
    report.moved = chosen.has_value();
  }
  if (!chosen) return report;
  if (!ours(spec, *chosen)) {
    return Failure{ESTALE, "the metadata on " + disks.meta_path + " is of resource " +
                               chosen->resource + " on node " + chosen->node + ", not of " +
                               spec.resource + " on " + spec.node + ": it is left alone"};
  }
  report.superblock = *chosen;
  const int error = write_repaired(disks.fd(), report);
  if (error != 0) return io_failure(error, "repair the metadata on", disks.meta_path);
  report.repaired = true;
  return report;
}

}  // namespace blkmirror::bind
