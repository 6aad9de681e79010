// The layout of the areas and the superblock's coding: what is written reads back, and nothing
// that a disk might say instead is believed.
#include <cerrno>
#include <cstring>
#include <functional>

#include "base/crc32c.h"
#include "check.h"
#include "meta/page_codec.h"
#include "meta/superblock.h"
#include "meta_fixture.h"

using namespace fixture;

namespace {

struct Bytes {
  std::byte data[4096];
  SuperblockBytes span() { return SuperblockBytes(data, 4096); }
};

// Makes the checksum right again, as somebody who wants to be believed would.
void reseal(Bytes& bytes) {
  uint32_t crc = crc32c(crc_seed(load_be64(bytes.data + 16)), bytes.data, 12);
  crc = crc32c(crc, bytes.data + 16, 4096 - 16);
  store_be32(bytes.data + 12, crc);
}

// What decode() says of the example after a change that carries a right checksum; 0: accepted.
int verdict(const std::function<void(std::byte*)>& change) {
  Bytes bytes;
  const Superblock superblock = example();
  encode(superblock, bytes.span());
  change(bytes.data);
  reseal(bytes);
  const auto decoded = decode(bytes.span(), superblock.layout.superblocks.offset);
  return decoded.ok() ? 0 : decoded.error().code;
}

int name_verdict(size_t at, const char* name) {
  return verdict([&](std::byte* data) {
    std::memset(data + at, 0, 64);
    std::memcpy(data + at, name, std::strlen(name));
  });
}

}  // namespace

TEST(superblock_reads_back_as_written) {
  Bytes bytes;
  const Superblock in = example();
  encode(in, bytes.span());
  const auto decoded = decode(bytes.span(), in.layout.superblocks.offset);
  CHECK(decoded.ok());
  const Superblock& out = decoded.value();
  CHECK_EQ(out.metadata_id, in.metadata_id);
  CHECK_EQ(out.revision, in.revision);
  CHECK_EQ(out.generation, in.generation);
  CHECK_EQ(out.block, in.block);
  CHECK_EQ(out.resource, in.resource);
  CHECK_EQ(out.node, in.node);
  CHECK_EQ(out.flags, in.flags);
  CHECK_EQ(out.current_uuid, in.current_uuid);
  CHECK(out.history_uuids == in.history_uuids);
  CHECK_EQ(out.write_sequence, in.write_sequence);
  CHECK_EQ(out.promoted_ms, in.promoted_ms);
  CHECK_EQ(out.boot_id, in.boot_id);
  for (uint32_t slot = 0; slot < limits::kSlots; ++slot) {
    CHECK_EQ(out.peers[slot].name, in.peers[slot].name);
    CHECK_EQ(out.peers[slot].bitmap_uuid, in.peers[slot].bitmap_uuid);
    CHECK_EQ(out.peers[slot].generation, in.peers[slot].generation);
    CHECK_EQ(out.peers[slot].flags, in.peers[slot].flags);
    CHECK_EQ(out.peers[slot].parted_ms, in.peers[slot].parted_ms);
    CHECK_EQ(out.peers[slot].met_generation, in.peers[slot].met_generation);
  }
  CHECK_EQ(out.layout.internal, in.layout.internal);
  CHECK_EQ(out.layout.slots, in.layout.slots);
  CHECK_EQ(out.layout.device_size_bytes, in.layout.device_size_bytes);
  CHECK_EQ(out.layout.metadata_bytes, in.layout.metadata_bytes);
  CHECK_EQ(out.layout.superblocks.offset, in.layout.superblocks.offset);
  CHECK_EQ(out.layout.bitmap.offset, in.layout.bitmap.offset);
  CHECK_EQ(out.layout.bitmap.length, in.layout.bitmap.length);
  CHECK_EQ(out.layout.bitmap_states.offset, in.layout.bitmap_states.offset);
  CHECK_EQ(out.layout.activity_log.offset, in.layout.activity_log.offset);
  Bytes again;
  encode(out, again.span());
  CHECK_EQ(std::memcmp(bytes.data, again.data, 4096), 0);
}

TEST(superblock_of_version_2_is_read_and_others_are_refused) {
  const auto version = [](uint32_t number) {
    return verdict([=](std::byte* data) { store_be32(data + 8, number); });
  };
  CHECK_EQ(version(2), 0);
  CHECK_EQ(version(3), 0);
  CHECK_EQ(version(1), ENOTSUP);
  CHECK_EQ(version(4), ENOTSUP);
}

TEST(superblock_with_any_byte_changed_is_refused) {
  Bytes bytes;
  const Superblock superblock = example();
  const uint64_t offset = superblock.layout.superblocks.offset;
  encode(superblock, bytes.span());
  for (size_t at = 0; at < 4096; ++at) {
    bytes.data[at] ^= std::byte{0x10};
    const auto decoded = decode(bytes.span(), offset);
    CHECK(!decoded.ok());
    const int expected = at < 8 ? ENODATA : at < 12 ? ENOTSUP : EBADMSG;
    CHECK_EQ(decoded.error().code, expected);
    bytes.data[at] ^= std::byte{0x10};
  }
  CHECK(decode(bytes.span(), offset).ok());
}

TEST(superblock_is_refused_at_another_place) {
  Bytes bytes;
  const Superblock superblock = example();
  const uint64_t offset = superblock.layout.superblocks.offset;
  encode(superblock, bytes.span());
  CHECK(decode(bytes.span(), offset).ok());
  CHECK(decode(bytes.span(), offset + 4096).ok());  // its second slot
  CHECK(!decode(bytes.span(), offset + 8192).ok());
  CHECK(!decode(bytes.span(), 0).ok());
}

TEST(superblock_with_impossible_contents_is_refused) {
  CHECK_EQ(verdict([](std::byte*) {}), 0);
  const size_t u64_fields[] = {48, 56, 64, 72, 80, 88, 96, 104, 112, 120};
  for (const size_t at : u64_fields) {
    CHECK(verdict([&](std::byte* data) { store_be64(data + at, UINT64_MAX); }) != 0);
    CHECK(verdict([&](std::byte* data) { store_be64(data + at, UINT64_MAX - 4095); }) != 0);
    if (at == 56) continue;  // a disk's size may be odd
    CHECK(verdict([&](std::byte* data) { store_be64(data + at, load_be64(data + at) + 1); }) != 0);
  }
  for (const size_t at : {72, 88, 104, 120}) {  // lengths: too short
    CHECK_EQ(verdict([&](std::byte* data) { store_be64(data + at, 0); }), EBADMSG);
  }
  for (const size_t at : {80, 96, 112}) {  // offsets: in the data, in each other, in superblocks
    CHECK_EQ(verdict([&](std::byte* data) { store_be64(data + at, 0); }), EBADMSG);
    CHECK_EQ(verdict([&](std::byte* data) { store_be64(data + at, load_be64(data + 64)); }),
             EBADMSG);
  }
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 128, 1024); }), EBADMSG);  // block
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 132, 1 << 20); }), ENOTSUP);
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 136, 8192); }), ENOTSUP);
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 140, 0); }), EBADMSG);  // slots
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 140, 32); }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 140, 8); }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 144, kKnownFlags + 1); }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 148, 2); }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { data[184] = std::byte{1}; }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { data[4095] = std::byte{1}; }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 576 + 80, 32); }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { store_be32(data + 576 + 84, 1); }), EBADMSG);
}

TEST(superblock_with_impossible_names_is_refused) {
  const size_t resource = 192, node = 256, peer1 = 576 + 88, peer7 = 576 + 7 * 88;
  CHECK_EQ(name_verdict(resource, "r1"), 0);
  CHECK_EQ(name_verdict(peer1, "gamma"), 0);
  CHECK_EQ(name_verdict(resource, ""), EBADMSG);
  CHECK_EQ(name_verdict(node, ""), EBADMSG);
  CHECK_EQ(name_verdict(node, "a\nb"), EBADMSG);
  CHECK_EQ(name_verdict(node, "a\x7f"), EBADMSG);
  CHECK_EQ(name_verdict(node, "\xff"), EBADMSG);
  CHECK_EQ(name_verdict(node, "\xc3"), EBADMSG);
  CHECK_EQ(name_verdict(node, "\xc3x"), EBADMSG);
  CHECK_EQ(name_verdict(peer1, "b\xc3\xa9ta"), EBADMSG);  // twice
  CHECK_EQ(name_verdict(peer7, "gamma"), EBADMSG);        // the bitmap has 7 slots
  CHECK_EQ(verdict([](std::byte* data) { std::memset(data + 192, 'x', 64); }), EBADMSG);
  CHECK_EQ(verdict([](std::byte* data) { data[192 + 60] = std::byte{'x'}; }), EBADMSG);
}

TEST(layout_internal_leaves_the_start_to_the_device) {
  for (const uint32_t block : {512u, 4096u}) {
    for (const uint64_t disk : {uint64_t{1} << 20, (uint64_t{64} << 20) + 512,
                                uint64_t{10'000'000'000}, uint64_t{1} << 44}) {
      const auto result = compute_layout(true, disk, disk, 7, block);
      CHECK(result.ok());
      const Layout& layout = result.value();
      CHECK(layout_valid(layout, block));
      CHECK_EQ(layout.superblocks.offset, superblock_offset(true, disk));
      CHECK_EQ(layout.superblocks.offset, disk / 4096 * 4096 - 8192);
      CHECK_EQ(layout.device_size_bytes % block, 0u);
      CHECK_EQ(layout.bitmap.offset + layout.bitmap.length, layout.superblocks.offset);
      const uint64_t overhead = disk - layout.device_size_bytes;
      CHECK(overhead < disk / 16384 * 8 + (400 << 10));
    }
  }
}

TEST(layout_external_offers_the_whole_disk) {
  const auto result = compute_layout(false, 1000 * 512 + 100, 1 << 20, 31, 512);
  CHECK(result.ok());
  CHECK_EQ(result.value().device_size_bytes, 1000u * 512);
  CHECK_EQ(result.value().superblocks.offset, 0u);
  CHECK_EQ(superblock_offset(false, 12345), 0u);
  CHECK(layout_valid(result.value(), 512));
}

TEST(layout_refuses_disks_that_are_too_small_or_too_large) {
  for (const uint64_t disk : {0u, 511u, 4096u, 8192u, 16384u, 32768u}) {
    const auto internal = compute_layout(true, disk, disk, 1, 512);
    CHECK(!internal.ok());
    CHECK_EQ(internal.error().code, ENOSPC);
  }
  CHECK(compute_layout(true, 36864, 36864, 1, 512).ok());
  CHECK_EQ(compute_layout(false, 1 << 30, 8192, 1, 512).error().code, ENOSPC);
  CHECK_EQ(compute_layout(false, 511, 1 << 20, 1, 512).error().code, ENOSPC);
  CHECK_EQ(compute_layout(true, UINT64_MAX, UINT64_MAX, 31, 512).error().code, EFBIG);
}

TEST(layout_keeps_an_extent_in_one_bitmap_page) {
  const Layout layout = external(uint64_t{1} << 44, 31);
  CHECK_EQ(layout.extent_count(), 4u << 20);
  CHECK_EQ(layout.log_page_count(), 130u);
  CHECK_EQ(layout.bitmap_page_count(), 135301u);
  CHECK_EQ(layout.state_page_count(), 34u);
  CHECK_EQ(layout.bitmap_page(30, 135300).second + 4096, layout.end());
  CHECK_EQ(layout.bitmap_page(30, 135300).first + 4096, layout.bitmap_page(0, 0).second);
  CHECK_EQ(layout.state_page(30, 33).second + 4096, layout.bitmap.offset);
  CHECK_EQ(layout.log_page(129).second + 4096, layout.bitmap_states.offset);
  CHECK_EQ(layout.log_page(129).first + 4096, layout.log_page(0).second);
}

TEST(a_parting_is_stamped_once_and_forgotten_in_sync) {
  Superblock superblock = example();
  superblock.peers[0].bitmap_uuid = 0x77;
  superblock.peers[0].parted_ms = 0;
  superblock.peers[1].bitmap_uuid = 0;
  superblock.peers[1].parted_ms = 5;
  stamp_partings(superblock, 1000);
  CHECK_EQ(superblock.peers[0].parted_ms, 1000u);
  CHECK_EQ(superblock.peers[1].parted_ms, 0u);
  stamp_partings(superblock, 2000);
  CHECK_EQ(superblock.peers[0].parted_ms, 1000u);
}

TEST(uuid_rotation_remembers_the_old_one_once) {
  Superblock superblock = example();
  superblock.peers[1].name = "gamma";
  rotate_uuid(superblock, 0b11, 0x99);
  CHECK_EQ(superblock.current_uuid, 0x99u);
  CHECK_EQ(superblock.peers[0].bitmap_uuid, 0x3333333333333333u);  // began earlier
  CHECK_EQ(superblock.peers[1].bitmap_uuid, 0xfedcba9876543210u);
  CHECK_EQ(superblock.peers[6].bitmap_uuid, 0u);
  CHECK_EQ(superblock.history_uuids[0], 0xfedcba9876543210u);
  CHECK_EQ(superblock.history_uuids[1], 0x1111111111111111u);
  push_history(superblock.history_uuids, 0x1111111111111111);
  push_history(superblock.history_uuids, 0);
  push_history(superblock.history_uuids, kJustCreatedUuid);
  CHECK_EQ(superblock.history_uuids[0], 0xfedcba9876543210u);
  CHECK_EQ(superblock.history_uuids[2], 0u);
}

TEST(a_generation_that_a_bitmap_begins_with_stays_in_the_history) {
  Superblock superblock = example();
  superblock.history_uuids = {};
  constexpr uint64_t kNamed = 0x44;
  leave_behind(superblock, kNamed);
  superblock.peers[0].bitmap_uuid = kNamed;
  for (uint64_t uuid = 0x100; uuid < 0x100 + 2 * kHistoryUuids; ++uuid) {
    leave_behind(superblock, uuid);
    leave_behind(superblock, uuid);
    CHECK_EQ(superblock.history_uuids[0], uuid);
    CHECK(contains(superblock.history_uuids, kNamed));
  }
  for (uint64_t age = 0; age + 1 < kHistoryUuids; ++age) {
    CHECK_EQ(superblock.history_uuids[age], 0x100 + 2 * kHistoryUuids - 1 - age);
  }
  superblock.peers[0].bitmap_uuid = 0;
  leave_behind(superblock, 0x99);
  CHECK(!contains(superblock.history_uuids, kNamed));
}

TEST(a_copy_that_is_behind_has_both_histories_then) {
  Superblock superblock = example();
  superblock.history_uuids = {0x11, 0x12};
  superblock.peers[1].bitmap_uuid = 0x12;
  take_over_history(superblock, History{0x31, superblock.current_uuid, 0x32});
  const History expected{0x31, superblock.current_uuid, 0x32, 0x11, 0x12};
  CHECK(superblock.history_uuids == expected);
  CHECK_EQ(superblock.peers[1].bitmap_uuid, 0x12u);
}

TEST(a_copy_that_was_given_up_has_its_sources_history_then) {
  Superblock superblock = example();
  superblock.history_uuids = {0x11, 0x12, 0x13};
  superblock.peers[1].bitmap_uuid = 0x12;
  superblock.peers[2].bitmap_uuid = 0x13;
  take_over_history(superblock, History{0x31, 0x13});
  CHECK(superblock.history_uuids == (History{0x31, 0x13}));
  CHECK_EQ(superblock.peers[1].bitmap_uuid, 0u);
  CHECK_EQ(superblock.peers[2].bitmap_uuid, 0x13u);
}
