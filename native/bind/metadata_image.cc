// See metadata_image.h.
#include "bind/metadata_image.h"

#include <cerrno>
#include <cstring>
#include <span>

#include "bind/metadata_disk.h"

namespace blkmirror::bind {

namespace {

using host::Failure;
using host::Outcome;

bool bit_at(const std::vector<std::byte>& bits, uint64_t index) {
  return (std::to_integer<uint32_t>(bits[index / 8]) >> (index % 8) & 1) != 0;
}

void read_log(const meta::ActivityLog& log, Image& image) {
  const uint64_t extents = log.extent_count();
  image.hot.assign((extents + 7) / 8, std::byte{0});
  for (uint64_t at = log.next_hot(0); at < extents; at = log.next_hot(at + 1)) {
    image.hot[at / 8] |= std::byte(1u << (at % 8));
  }
}

void read_bitmap(const meta::Bitmap& bitmap, Image& image) {
  BM_ASSERT(image.slots.empty());
  image.slots.resize(image.superblock.layout.slots);
  for (uint32_t slot = 0; slot < image.slots.size(); ++slot) {
    SlotImage& to = image.slots[slot];
    to.states.reserve(bitmap.page_count());
    for (uint64_t page = 0; page < bitmap.page_count(); ++page) {
      const meta::PageState state = bitmap.page_state(slot, page);
      to.states.push_back(static_cast<std::byte>(state));
      if (state != meta::PageState::kPartial) continue;
      const auto bits = bitmap.page_bits(slot, page);
      to.bits.insert(to.bits.end(), bits.begin(), bits.end());
    }
  }
}

// What is wrong with what JavaScript made of a file; nullptr when it is whole.
const char* image_problem(const Image& image) {
  const meta::Layout& layout = image.superblock.layout;
  if (!meta::superblock_valid(image.superblock)) return "the superblock is impossible";
  const uint64_t extents = layout.extent_count();
  if (image.hot.size() != (extents + 7) / 8) return "the activity log has another size";
  for (uint64_t at = extents; at < image.hot.size() * 8; ++at) {
    if (bit_at(image.hot, at)) return "an extent lies beyond the device";
  }
  if (image.slots.size() != layout.slots) return "the bitmap has another number of slots";
  for (const SlotImage& slot : image.slots) {
    if (slot.states.size() != layout.bitmap_page_count()) return "the bitmap has another size";
    uint64_t partial = 0;
    for (const std::byte state : slot.states) {
      if (state > std::byte(meta::PageState::kAll)) return "a bitmap page has no such state";
      if (state == std::byte(meta::PageState::kPartial)) ++partial;
    }
    if (slot.bits.size() != partial * meta::kBitmapPageBitBytes) return "bits are missing";
  }
  return nullptr;
}

void fill_bitmap(meta::Bitmap& bitmap, const Image& image) {
  for (uint32_t slot = 0; slot < image.slots.size(); ++slot) {
    const SlotImage& from = image.slots[slot];
    BM_ASSERT(from.states.size() == bitmap.page_count());
    const std::byte* next = from.bits.data();
    for (uint64_t page = 0; page < from.states.size(); ++page) {
      const auto state = static_cast<meta::PageState>(from.states[page]);
      std::span<const std::byte> bits;
      if (state == meta::PageState::kPartial) {
        bits = std::span(next, meta::kBitmapPageBitBytes);
        next += meta::kBitmapPageBitBytes;
      }
      bitmap.merge(slot, page, state, bits);
    }
  }
}

// The areas as they were where this is the same disk, else as they fit on this one.
Outcome<meta::Layout> place(const RestoreSpec& spec, Disks& disks) {
  const meta::Layout& old = spec.image.superblock.layout;
  const uint64_t meta_bytes = disks.holder().facts.size_bytes;
  const uint64_t data_bytes = disks.data.facts.size_bytes;
  const bool same = old.internal == disks.internal && old.metadata_bytes == meta_bytes &&
                    old.superblocks.offset == disks.superblock_offset();
  if (same && (old.internal || data_bytes >= old.device_size_bytes)) return old;
  auto made = meta::compute_layout(disks.internal, data_bytes, meta_bytes, old.slots,
                                   spec.image.superblock.block);
  if (made.ok() && made.value().device_size_bytes >= old.device_size_bytes) {
    made.value().device_size_bytes = old.device_size_bytes;
    BM_ASSERT(meta::layout_valid(made.value(), spec.image.superblock.block));
    return made.value();
  }
  const std::string why = made.ok()
                              ? "it offers " + std::to_string(made.value().device_size_bytes) +
                                    " bytes beside its metadata"
                              : std::string(made.error().what);
  return Failure{ENOSPC, "the copy has " + std::to_string(old.device_size_bytes) +
                             " bytes and does not fit " + spec.paths.disk + ": " + why};
}

// Whether what is there now may be overwritten.
Outcome<bool> check_present(const RestoreSpec& spec, Disks& disks) {
  const auto found =
      read_superblock(disks.fd(), disks.superblock_offset(), disks.holder().facts.size_bytes);
  if (!found.ok()) {
    const int error = found.error().code;
    if (error == ENODATA) return true;
    if (error != EBADMSG && error != ENOTSUP) return io_failure(error, "read", disks.meta_path);
    if (spec.force) return true;
  }
  if (spec.force && found.value().revision == spec.expected_revision) return true;
  if (spec.force) {
    return Failure{ESTALE, "the metadata on " + disks.meta_path +
                               " changed while the file was read: run the command again"};
  }
  return Failure{EEXIST, disks.meta_path + " already holds metadata: use --force to overwrite it"};
}

// 0 or an errno. Until the superblocks are written there is no metadata.
int write_image(int fd, const Image& image) {
  const meta::Superblock& superblock = image.superblock;
  int error = zero_slots(fd, superblock.layout.superblocks.offset);
  if (error != 0) return error;
  const auto opened = Areas::open(fd);
  if (!opened.ok()) return opened.error().code;
  Areas& areas = *opened.value();
  error = areas.format(superblock, meta::PageState::kNone);
  if (error == 0) error = areas.load(superblock);
  if (error != 0) return error;
  fill_bitmap(areas.bitmap(), image);
  error = areas.heat(image.hot.data(), superblock.layout.extent_count());
  if (error == 0) error = areas.save();
  return error == 0 ? write_slots(fd, superblock, 0) : error;
}

}  // namespace

Outcome<Image> dump_metadata(const DiskPaths& paths, bool unclaimed, const std::string& resource) {
  Outcome<Disks> taken = claim_disks(paths);
  const bool attached = !taken.ok() && taken.failure().error == EBUSY && unclaimed;
  if (attached) taken = open_disks(paths);
  if (!taken.ok()) return taken.failure();
  Disks& disks = taken.value();
  const auto refuse = [&](Error error) {
    return metadata_failure(error.code, error.what, disks.meta_path, resource);
  };
  const auto slots =
      read_slots(disks.fd(), disks.superblock_offset(), disks.holder().facts.size_bytes);
  if (!slots.ok()) return refuse(slots.error());
  const auto newest = slots.value().newest();
  if (!newest.ok()) return refuse(newest.error());
  Image image;
  image.attached = attached;
  image.superblock = slots.value().slot(newest.value()).value();
  const auto opened = Areas::open(disks.fd());
  if (!opened.ok()) return io_failure(opened.error().code, "read", disks.meta_path);
  Areas& areas = *opened.value();
  const int error = areas.load(image.superblock);
  if (error != 0) return io_failure(error, "read the metadata on", disks.meta_path);
  read_log(areas.log(), image);
  read_bitmap(areas.bitmap(), image);
  image.damaged_pages = (slots.value().first.ok() ? 0 : 1) + (slots.value().second.ok() ? 0 : 1) +
                        areas.log().damaged_pages() + areas.bitmap().damaged_pages();
  return image;
}

Outcome<meta::Superblock> restore_metadata(RestoreSpec spec) {
  const char* problem = image_problem(spec.image);
  if (problem != nullptr) return Failure{EINVAL, std::string("not restored: ") + problem};
  Outcome<Disks> claimed = claim_disks(spec.paths);
  if (!claimed.ok()) return claimed.failure();
  Disks& disks = claimed.value();
  Outcome<bool> allowed = check_present(spec, disks);
  if (!allowed.ok()) return allowed.failure();
  if (disks.data.facts.logical_block > spec.image.superblock.block) {
    return Failure{EINVAL, spec.paths.disk + " has larger blocks than the copy had"};
  }
  Outcome<meta::Layout> layout = place(spec, disks);
  if (!layout.ok()) return layout.failure();
  spec.image.superblock.layout = layout.value();
  const int error = write_image(disks.fd(), spec.image);
  if (error != 0) return io_failure(error, "write metadata to", disks.meta_path);
  return spec.image.superblock;
}

}  // namespace blkmirror::bind
