// The bitmap: bits and their edges, counters, searches, exchange, the pool's end, write-back and
// what a crash or a rotten page leaves.
#include "meta/bitmap.h"

#include <cerrno>
#include <memory>
#include <random>

#include "check.h"
#include "meta/page_codec.h"
#include "meta_fixture.h"

using namespace fixture;

namespace {

constexpr uint64_t kMetadataId = 0x77;
constexpr uint64_t kBlock = limits::kBlockBytes;
constexpr uint64_t kPageCover = kBitmapPageCoverBytes;
constexpr uint64_t kPageBlocks = kPageCover / kBlock;

struct BitmapNode : Node {
  Layout layout;
  std::unique_ptr<Bitmap> bitmap;

  BitmapNode(uint64_t device_bytes, uint32_t slots, PageState state = PageState::kNone,
             uint64_t seed = 1)
      : Node(uint64_t{1} << 36, seed), layout(external(device_bytes, slots)) {
    Bitmap fresh(io, disk);
    Waiting formatted;
    fresh.format(layout, kMetadataId, state, formatted.waiter);
    if (wait(formatted) != 0) check::fail(__FILE__, __LINE__, "cannot format");
    reload();
  }
  void reload() {
    bitmap = std::make_unique<Bitmap>(io, disk);
    Waiting loaded;
    bitmap->load(layout, kMetadataId, loaded.waiter);
    if (wait(loaded) != 0) check::fail(__FILE__, __LINE__, "cannot load");
    io.writes = 0;
    io.flushes = 0;
  }
  int write_back() {
    Waiting waiting;
    bitmap->write_back(waiting.waiter);
    return wait(waiting);
  }
  // Which blocks are out of sync, by any().
  std::vector<bool> blocks(uint32_t slot) const {
    std::vector<bool> result;
    for (uint64_t at = 0; at < layout.device_size_bytes; at += kBlock) {
      const auto length = std::min(kBlock, layout.device_size_bytes - at);
      result.push_back(bitmap->any(slot, at, static_cast<uint32_t>(length)));
    }
    return result;
  }
};

// What next() finds, all runs together; SIZE_MAX when a run breaks a promise.
uint64_t sum_of_runs(const Bitmap& bitmap, uint32_t slot, uint32_t limit) {
  uint64_t sum = 0;
  uint64_t from = 0;
  while (const auto run = bitmap.next(slot, from, limit)) {
    const bool one_extent = run->offset / limits::kExtentBytes ==
                            (run->offset + run->length - 1) / limits::kExtentBytes;
    if (run->offset < from || run->length == 0 || run->length > limit || !one_extent) {
      return SIZE_MAX;
    }
    sum += run->length;
    from = run->offset + run->length;
  }
  return sum;
}

}  // namespace

TEST(bitmap_sets_every_block_that_a_range_touches) {
  BitmapNode node(1 << 30, 3);
  Bitmap& bitmap = *node.bitmap;
  bitmap.set(0b101, 4095, 2);
  CHECK_EQ(bitmap.out_of_sync_bytes(0), 8192u);
  CHECK_EQ(bitmap.out_of_sync_bytes(1), 0u);
  CHECK_EQ(bitmap.out_of_sync_bytes(2), 8192u);
  CHECK(bitmap.any(0, 0, 1));
  CHECK(bitmap.any(0, 8191, 512));
  CHECK(!bitmap.any(0, 8192, 4096));
  CHECK(!bitmap.any(1, 0, 1 << 20));
  bitmap.set(1, 0, 8192);
  CHECK_EQ(bitmap.out_of_sync_bytes(0), 8192u);
  // Across a page's end.
  bitmap.set(0b010, kPageCover - 1, 2);
  CHECK_EQ(bitmap.out_of_sync_bytes(1), 8192u);
  CHECK(bitmap.page_state(1, 0) == PageState::kPartial);
  CHECK(bitmap.page_state(1, 1) == PageState::kPartial);
}

TEST(bitmap_clears_only_whole_blocks) {
  BitmapNode node(1 << 30, 1);
  Bitmap& bitmap = *node.bitmap;
  bitmap.set(1, 0, 5 * 4096);
  bitmap.clear(0, 1, 3 * 4096);  // blocks 1 and 2
  CHECK_EQ(bitmap.out_of_sync_bytes(0), 3 * kBlock);
  CHECK(bitmap.any(0, 0, 4096));
  CHECK(!bitmap.any(0, 4096, 8192));
  CHECK(bitmap.any(0, 3 * 4096, 4096));
  bitmap.clear(0, 100, 4000);
  CHECK_EQ(bitmap.out_of_sync_bytes(0), 3 * kBlock);
  bitmap.clear(0, 0, 1 << 20);
  CHECK_EQ(bitmap.out_of_sync_bytes(0), 0u);
  CHECK(bitmap.page_state(0, 0) == PageState::kNone);
}

TEST(bitmap_knows_the_end_of_odd_devices) {
  for (const uint64_t extra : {uint64_t{512}, uint64_t{4096 + 3584}, kPageCover + 512}) {
    const uint64_t size = (uint64_t{8} << 20) + extra;
    BitmapNode node(size, 2);
    Bitmap& bitmap = *node.bitmap;
    bitmap.set_all(1);
    CHECK_EQ(bitmap.out_of_sync_bytes(1), size);
    CHECK_EQ(sum_of_runs(bitmap, 1, 1 << 18), size);
    bitmap.clear(1, 0, 8 << 20);
    CHECK_EQ(bitmap.out_of_sync_bytes(1), size - (8 << 20));
    const uint64_t last = size / kBlock * kBlock;
    bitmap.set(1, size - 1, 1);
    CHECK_EQ(bitmap.out_of_sync_bytes(0), size - last);
    const auto run = bitmap.next(0, 0, 1 << 18);
    CHECK(run.has_value());
    CHECK_EQ(run->offset, last);
    CHECK_EQ(run->length, size - last);
    CHECK(!bitmap.next(0, size, 4096).has_value());
    bitmap.clear(0, last, static_cast<uint32_t>(size - last - 1));
    CHECK_EQ(bitmap.out_of_sync_bytes(0), size - last);
    bitmap.clear(0, last, static_cast<uint32_t>(size - last));
    CHECK_EQ(bitmap.out_of_sync_bytes(0), 0u);
    CHECK(!bitmap.next(0, 0, 4096).has_value());
  }
}

TEST(bitmap_finds_runs_within_extent_and_limit) {
  BitmapNode node(1 << 30, 1);
  Bitmap& bitmap = *node.bitmap;
  const uint32_t extent = limits::kExtentBytes;
  bitmap.set(1, extent - 8192, 16384);
  auto run = bitmap.next(0, 0, 1 << 18);
  CHECK(run.has_value());
  CHECK_EQ(run->offset, extent - 8192u);
  CHECK_EQ(run->length, 8192u);
  run = bitmap.next(0, extent, 5000);
  CHECK_EQ(run->offset, extent);
  CHECK_EQ(run->length, 4096u);
  run = bitmap.next(0, extent + 4096, 1 << 18);
  CHECK_EQ(run->offset, extent + 4096u);
  CHECK_EQ(run->length, 4096u);
  CHECK(!bitmap.next(0, extent + 8192, 1 << 18).has_value());
}

TEST(bitmap_becomes_all_and_none_by_single_bits) {
  BitmapNode node(2 * kPageCover + 4096, 1);
  Bitmap& bitmap = *node.bitmap;
  for (uint64_t at = 0; at < kPageCover; at += 1 << 20) bitmap.set(1, at, 1 << 20);
  CHECK(bitmap.page_state(0, 0) == PageState::kAll);
  bitmap.clear(0, 4096, 4096);
  CHECK(bitmap.page_state(0, 0) == PageState::kPartial);
  CHECK_EQ(bitmap.out_of_sync_bytes(0), kPageCover - 4096);
  bitmap.set(1, 4096, 512);
  CHECK(bitmap.page_state(0, 0) == PageState::kAll);
  for (uint64_t at = 0; at < kPageCover; at += 1 << 20) bitmap.clear(0, at, 1 << 20);
  CHECK(bitmap.page_state(0, 0) == PageState::kNone);
  bitmap.set(1, 2 * kPageCover, 4096);  // the last page has a single block
  CHECK(bitmap.page_state(0, 2) == PageState::kAll);
}

TEST(bitmap_full_pool_makes_whole_pages_and_still_clears) {
  const uint64_t pages = limits::kBitmapPoolPages + 500;
  BitmapNode node(pages * kPageCover, 1);
  Bitmap& bitmap = *node.bitmap;
  for (uint64_t page = 0; page < pages; ++page) bitmap.set(1, page * kPageCover, 1);
  uint64_t partial = 0;
  for (uint64_t page = 0; page < pages; ++page) {
    CHECK(bitmap.page_state(0, page) != PageState::kNone);
    if (bitmap.page_state(0, page) == PageState::kPartial) ++partial;
  }
  CHECK(partial <= limits::kBitmapPoolPages);
  CHECK(partial > limits::kBitmapPoolPages / 2);
  CHECK_EQ(bitmap.out_of_sync_bytes(0), partial * kBlock + (pages - partial) * kPageCover);
  CHECK_EQ(node.write_back(), 0);
  const uint64_t before = bitmap.out_of_sync_bytes(0);
  node.reload();
  CHECK_EQ(node.bitmap->out_of_sync_bytes(0), before);
  // A resync piece by piece comes to its end.
  while (const auto run = node.bitmap->next(0, 0, 1 << 22)) {
    const uint64_t left = node.bitmap->out_of_sync_bytes(0);
    node.bitmap->clear(0, run->offset, run->length);
    CHECK(node.bitmap->out_of_sync_bytes(0) < left);
  }
  CHECK_EQ(node.bitmap->out_of_sync_bytes(0), 0u);
}

TEST(bitmap_reloaded_equals_memory) {
  const uint64_t size = 3 * kPageCover + 5 * 4096 + 512;
  BitmapNode node(size, 4);
  std::mt19937_64 random(7);
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 300; ++i) {
      const uint64_t offset = random() % size;
      const uint64_t most = std::min<uint64_t>(size - offset, 99'999);
      const auto length = static_cast<uint32_t>(1 + random() % most);
      if (random() % 3 == 0) {
        node.bitmap->clear(random() % 4, offset, length);
      } else {
        node.bitmap->set(random() % 15, offset, length);
      }
    }
    if (round == 2) node.bitmap->set_all(1);
    if (round == 3) node.bitmap->clear_all(2);
    std::vector<bool> expected[4];
    uint64_t bytes[4];
    for (uint32_t slot = 0; slot < 4; ++slot) {
      expected[slot] = node.blocks(slot);
      bytes[slot] = node.bitmap->out_of_sync_bytes(slot);
      CHECK_EQ(sum_of_runs(*node.bitmap, slot, 1 << 16), bytes[slot]);
    }
    CHECK_EQ(node.write_back(), 0);
    CHECK(node.bitmap->idle());
    node.power_loss();
    node.reload();
    for (uint32_t slot = 0; slot < 4; ++slot) {
      CHECK(node.blocks(slot) == expected[slot]);
      CHECK_EQ(node.bitmap->out_of_sync_bytes(slot), bytes[slot]);
    }
  }
}

TEST(bitmap_formatted_all_is_all) {
  const uint64_t size = 2 * kPageCover + 512;
  BitmapNode node(size, 2, PageState::kAll);
  CHECK_EQ(node.bitmap->out_of_sync_bytes(0), size);
  CHECK_EQ(node.bitmap->out_of_sync_bytes(1), size);
  CHECK_EQ(node.write_back(), 0);
  CHECK_EQ(node.io.writes, 0u);
}

TEST(bitmap_writes_bits_before_states_and_only_what_changed) {
  BitmapNode node(uint64_t{1} << 40, 2);
  CHECK_EQ(node.write_back(), 0);
  CHECK_EQ(node.io.writes, 0u);
  CHECK_EQ(node.io.flushes, 1u);
  node.bitmap->set(0b11, 0, 4096);
  CHECK_EQ(node.write_back(), 0);
  CHECK_EQ(node.io.writes, 8u);  // a page and a state page for each slot, each twice
  CHECK_EQ(node.io.flushes, 3u);
  node.bitmap->set(0b01, 8192, 4096);
  CHECK_EQ(node.write_back(), 0);
  CHECK_EQ(node.io.writes, 10u);  // the state is partial already
  CHECK_EQ(node.io.flushes, 4u);
  node.bitmap->clear_all(0);
  CHECK_EQ(node.write_back(), 0);
  CHECK_EQ(node.io.writes, 12u);
  CHECK_EQ(node.bitmap->page_writes(), 12u);
}

TEST(bitmap_keeps_bits_set_while_pages_are_written) {
  BitmapNode node(1 << 30, 1);
  node.bitmap->set(1, 0, 4096);
  Waiting first, second;
  node.bitmap->write_back(first.waiter);
  node.bitmap->set(1, 40960, 4096);           // the page in flight
  node.bitmap->set(1, 3 * kPageCover, 4096);  // another
  node.bitmap->write_back(second.waiter);
  CHECK(!node.bitmap->idle());
  CHECK_EQ(node.wait(first), 0);
  CHECK_EQ(node.wait(second), 0);
  CHECK(node.bitmap->idle());
  node.power_loss();
  node.reload();
  CHECK_EQ(node.bitmap->out_of_sync_bytes(0), 3 * kBlock);
  CHECK(node.bitmap->any(0, 40960, 4096));
  CHECK(node.bitmap->any(0, 3 * kPageCover, 4096));
}

TEST(bitmap_takes_a_damaged_page_as_all) {
  for (const uint64_t at : {0u, 5u, 9u, 17u, 127u, 128u, 4095u}) {
    BitmapNode node(3 * kPageCover, 2);
    node.bitmap->set(0b10, kPageCover + 4096, 4096);
    node.bitmap->set(0b11, 0, 4096);
    CHECK_EQ(node.write_back(), 0);
    node.damage(node.layout.bitmap_page(1, 1).first + at);
    node.reload();
    CHECK(node.bitmap->page_state(1, 1) == PageState::kAll);
    CHECK(node.bitmap->page_state(1, 0) == PageState::kPartial);
    CHECK_EQ(node.bitmap->out_of_sync_bytes(0), kBlock);
    CHECK_EQ(node.bitmap->out_of_sync_bytes(1), kPageCover + kBlock);
  }
}

TEST(bitmap_takes_a_damaged_state_page_as_all_and_repairs_it) {
  for (const uint64_t at : {2u, 7u, 11u, 20u, 33u, 4000u}) {
    BitmapNode node(3 * kPageCover, 2);
    node.bitmap->set(0b11, 0, 4096);
    CHECK_EQ(node.write_back(), 0);
    node.damage(node.layout.state_page(1, 0).first + at);
    node.reload();
    CHECK_EQ(node.bitmap->out_of_sync_bytes(0), kBlock);
    CHECK_EQ(node.bitmap->out_of_sync_bytes(1), 3 * kPageCover);
    node.bitmap->clear_all(1);
    CHECK_EQ(node.write_back(), 0);
    node.reload();
    CHECK_EQ(node.bitmap->out_of_sync_bytes(1), 0u);
  }
}

TEST(bitmap_refuses_states_that_do_not_exist_and_foreign_pages) {
  BitmapNode node(3 * kPageCover, 2);
  const PlacePair places = node.layout.state_page(0, 0);
  const uint64_t offset = places.first;
  auto page = node.world.read_back(node.disk, offset, 4096);
  page[kPageHeaderBytes + 1] = std::byte{3};
  page[kPageHeaderBytes + 2] = std::byte{1};  // partial, but nobody wrote its bits
  page[kPageHeaderBytes + 3] = std::byte{2};  // beyond the device: nothing
  seal_page({PageKind::kStates, 0, 0}, 1, kMetadataId, PageBytes(page.data(), 4096));
  node.world.disk(node.disk).write(offset, page.data(), 4096, true);
  node.world.disk(node.disk).write(places.second, page.data(), 4096, true);
  node.reload();
  CHECK(node.bitmap->page_state(0, 0) == PageState::kNone);
  CHECK(node.bitmap->page_state(0, 1) == PageState::kAll);
  CHECK(node.bitmap->page_state(0, 2) == PageState::kAll);
  CHECK_EQ(node.bitmap->out_of_sync_bytes(0), 2 * kPageCover);
  // The same page in the place of another slot's.
  node.world.disk(node.disk).write(node.layout.state_page(1, 0).first, page.data(), 4096, true);
  node.reload();
  CHECK_EQ(node.bitmap->out_of_sync_bytes(1), 3 * kPageCover);
}

TEST(bitmap_outlives_writes_that_the_disk_lost) {
  for (const bool second : {false, true}) {
    BitmapNode node(3 * kPageCover, 1);
    node.bitmap->set(1, 0, 4096);
    CHECK_EQ(node.write_back(), 0);
    const auto place = [second](const PlacePair& pair) {
      return second ? pair.second : pair.first;
    };
    const uint64_t bits = place(node.layout.bitmap_page(0, 0));
    const uint64_t states = place(node.layout.state_page(0, 0));
    const auto old_bits = node.world.read_back(node.disk, bits, 4096);
    const auto old_states = node.world.read_back(node.disk, states, 4096);
    node.bitmap->set(1, 8192, 4096);
    node.bitmap->set(1, kPageCover, 4096);
    CHECK_EQ(node.write_back(), 0);
    node.world.disk(node.disk).write(bits, old_bits.data(), 4096, true);
    node.world.disk(node.disk).write(states, old_states.data(), 4096, true);
    node.reload();
    CHECK(node.bitmap->any(0, 0, 4096));
    CHECK(node.bitmap->any(0, 8192, 4096));
    CHECK(node.bitmap->any(0, kPageCover, 4096));
    CHECK_EQ(node.bitmap->out_of_sync_bytes(0), 3 * kBlock);
    // Both copies are the same again with the next write-back.
    CHECK_EQ(node.write_back(), 0);
    for (const PlacePair& pair : {node.layout.bitmap_page(0, 0), node.layout.state_page(0, 0)}) {
      CHECK(node.world.read_back(node.disk, pair.first, 4096) ==
            node.world.read_back(node.disk, pair.second, 4096));
    }
  }
}

TEST(bitmap_merges_a_peers_pages) {
  const uint64_t size = kPageCover + 10 * 4096 + 512;
  BitmapNode mine(size, 1), theirs(size, 1);
  mine.bitmap->set(1, 0, 4096);
  theirs.bitmap->set(1, 4096, 8192);
  theirs.bitmap->set(1, 70 * 4096, 4096 * 200);
  theirs.bitmap->set(1, size - 512, 512);
  for (uint64_t page = 0; page < mine.bitmap->page_count(); ++page) {
    const PageState state = theirs.bitmap->page_state(0, page);
    std::span<const std::byte> bits;
    if (state == PageState::kPartial) bits = theirs.bitmap->page_bits(0, page);
    mine.bitmap->merge(0, page, state, bits);
  }
  auto expected = theirs.blocks(0);
  expected[0] = true;
  CHECK(mine.blocks(0) == expected);
  CHECK_EQ(mine.bitmap->out_of_sync_bytes(0), 203 * kBlock + 512);
  CHECK_EQ(mine.write_back(), 0);
  mine.reload();
  CHECK(mine.blocks(0) == expected);
  // Bits beyond the device's end mean nothing; all is all; none changes nothing.
  const std::vector<std::byte> ones(kBitmapPageBitBytes, std::byte{0xff});
  mine.bitmap->merge(0, 1, PageState::kPartial, ones);
  CHECK(mine.bitmap->page_state(0, 1) == PageState::kAll);
  CHECK_EQ(mine.bitmap->out_of_sync_bytes(0), 203 * kBlock + 10 * kBlock + 512);
  mine.bitmap->merge(0, 0, PageState::kNone, {});
  CHECK(mine.bitmap->page_state(0, 0) == PageState::kPartial);
  mine.bitmap->merge(0, 0, PageState::kAll, {});
  CHECK_EQ(mine.bitmap->out_of_sync_bytes(0), size);
}

TEST(bitmap_failure_is_final_and_reaches_everybody) {
  for (const bool flush : {false, true}) {
    BitmapNode node(1 << 30, 1);
    auto& behaviour = node.world.behaviour(node.disk);
    (flush ? behaviour.flush_error : behaviour.write_error) = -EIO;
    node.bitmap->set(1, 0, 4096);
    Waiting first, second, late;
    node.bitmap->write_back(first.waiter);
    node.bitmap->write_back(second.waiter);
    CHECK_EQ(node.wait(first), EIO);
    CHECK_EQ(node.wait(second), EIO);
    behaviour = io::SimDiskBehaviour{};
    node.bitmap->write_back(late.waiter);
    CHECK(!late.done);
    CHECK_EQ(node.wait(late), EIO);
    CHECK(node.bitmap->idle());
  }
}

// Power fails somewhere in a series of changes and write-backs. Whatever was set before a
// write-back that was reported, and not cleared after it was asked for, is still set.
TEST(bitmap_forgets_nothing_at_a_power_loss) {
  const uint64_t size = 6 * kPageCover + 4096;
  const uint64_t blocks = size / kBlock;
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    std::mt19937_64 random(seed);
    BitmapNode node(size, 1, PageState::kNone, seed);
    std::vector<bool> memory(blocks), asked(blocks), must(blocks);
    Waiting waiting;
    waiting.done = true;
    const uint64_t steps = random() % 200;
    for (uint64_t i = 0; i < steps; ++i) {
      const uint64_t first = random() % 7 * kPageBlocks + random() % 3;
      const uint64_t start = std::min(first, blocks - 1);
      const uint64_t count = random() % 6 == 0 ? 40'000 : 1 + random() % 4;
      const uint64_t end = std::min(blocks, start + count);
      const bool set = random() % 2 == 0;
      const auto length = static_cast<uint32_t>((end - start) * kBlock);
      if (set) {
        node.bitmap->set(1, start * kBlock, length);
      } else {
        node.bitmap->clear(0, start * kBlock, length);
      }
      for (uint64_t b = start; b < end; ++b) {
        memory[b] = set;
        if (set) continue;
        asked[b] = false;
        must[b] = false;
      }
      if (waiting.done && random() % 3 == 0) {
        waiting.done = false;
        asked = memory;
        waiting.then = [&] { must = asked; };
        node.bitmap->write_back(waiting.waiter);
      }
      for (uint64_t n = random() % 4; n > 0; --n) node.world.step();
    }
    node.power_loss();
    node.reload();
    const auto found = node.blocks(0);
    for (uint64_t b = 0; b < blocks; ++b) CHECK(!must[b] || found[b]);
  }
}

TEST(bitmap_of_16_tib_and_31_peers_loads) {
  BitmapNode node(uint64_t{1} << 44, 31);
  node.bitmap->set(1u << 30, (uint64_t{1} << 44) - 1, 1);
  CHECK_EQ(node.write_back(), 0);
  node.reload();
  CHECK_EQ(node.bitmap->out_of_sync_bytes(30), kBlock);
  CHECK_EQ(node.bitmap->out_of_sync_bytes(0), 0u);
  const auto run = node.bitmap->next(30, 0, 1 << 18);
  CHECK(run.has_value());
  CHECK_EQ(run->offset, (uint64_t{1} << 44) - kBlock);
}
