// The activity log: group commit, cooling, torn pages, failures, and what a crash leaves.
#include "meta/activity_log.h"

#include <cerrno>
#include <memory>
#include <random>
#include <set>

#include "check.h"
#include "meta_fixture.h"

using namespace fixture;

namespace {

constexpr uint64_t kMetadataId = 0xabcdef;
constexpr uint64_t kExtent = limits::kExtentBytes;

// A node whose disk holds a formatted log for a device of so many extents.
struct LogNode : Node {
  Layout layout;
  std::unique_ptr<ActivityLog> log;

  explicit LogNode(uint64_t extents, uint64_t seed = 1)
      : Node(1u << 30, seed), layout(external(extents * kExtent, 1)) {
    at_batch_end = [this] {
      if (log) log->batch_end();
    };
    log = std::make_unique<ActivityLog>(io, disk);
    Waiting formatted;
    log->format(layout, kMetadataId, formatted.waiter);
    if (wait(formatted) != 0) check::fail(__FILE__, __LINE__, "cannot format");
    reload();
  }
  ~LogNode() { power_loss(); }  // a log that repairs itself may be at it
  void reload() {
    log.reset();  // its batch_end() must not run while it loads into a new one
    auto fresh = std::make_unique<ActivityLog>(io, disk);
    Waiting loaded;
    fresh->load(layout, kMetadataId, loaded.waiter);
    if (wait(loaded) != 0) check::fail(__FILE__, __LINE__, "cannot load");
    log = std::move(fresh);
    io.writes = 0;
    io.flushes = 0;
  }
  int heat(uint64_t extent) {
    Waiting waiting;
    log->heat(extent, waiting.waiter);
    return wait(waiting);
  }
  int commit() {
    Waiting waiting;
    log->commit(waiting.waiter);
    return wait(waiting);
  }
};

}  // namespace

TEST(log_is_cold_when_fresh) {
  LogNode node(100'000);
  CHECK_EQ(node.log->extent_count(), 100'000u);
  CHECK_EQ(node.log->hot_count(), 0u);
  CHECK_EQ(node.log->next_hot(0), 100'000u);
  CHECK(!node.log->hot(99'999));
  CHECK(node.log->idle());
}

TEST(log_commits_many_extents_with_one_flush) {
  LogNode node(100'000);  // four pages
  Waiting waiting[200];
  for (uint32_t i = 0; i < 200; ++i) {
    node.log->heat(i * 499, waiting[i].waiter);
    CHECK(!node.log->hot(i * 499));
    CHECK(!waiting[i].done);
  }
  CHECK_EQ(node.io.writes, 0u);
  for (Waiting& each : waiting) CHECK_EQ(node.wait(each), 0);
  CHECK_EQ(node.io.writes, 8u);  // four pages, each twice
  CHECK_EQ(node.io.flushes, 1u);
  CHECK_EQ(node.log->hot_count(), 200u);
  node.power_loss();
  node.reload();
  CHECK_EQ(node.log->hot_count(), 200u);
  uint64_t found = node.log->next_hot(0);
  for (uint32_t i = 0; i < 200; ++i, found = node.log->next_hot(found + 1)) {
    CHECK_EQ(found, i * 499u);
  }
  CHECK_EQ(found, 100'000u);
}

TEST(log_later_callers_ride_on_the_next_batch) {
  LogNode node(1000);
  Waiting first, same, other;
  node.log->heat(1, first.waiter);
  node.log->batch_end();
  CHECK_EQ(node.io.writes, 2u);
  node.log->heat(1, same.waiter);   // the batch under way says so
  node.log->heat(2, other.waiter);  // it does not say that
  bool other_was_told = false;
  first.then = [&] { other_was_told = other.done; };
  CHECK_EQ(node.wait(first), 0);
  CHECK(same.done);
  CHECK(!other_was_told);
  CHECK_EQ(node.wait(other), 0);
  CHECK_EQ(node.io.writes, 4u);
  CHECK_EQ(node.io.flushes, 2u);
}

TEST(log_tells_of_a_hot_extent_at_the_batch_end) {
  LogNode node(1000);
  CHECK_EQ(node.heat(5), 0);
  Waiting again;
  node.log->heat(5, again.waiter);
  CHECK(!again.done);
  CHECK(!node.log->idle());
  node.log->batch_end();
  CHECK(again.done);
  CHECK_EQ(again.error, 0);
  CHECK(node.log->idle());
  Waiting nothing;
  node.log->commit(nothing.waiter);
  CHECK(!nothing.done);
  node.log->batch_end();
  CHECK(nothing.done);
  CHECK_EQ(node.io.writes, 2u);
}

TEST(log_counts_a_cooled_extent_cold_at_once_and_heats_it_again_later) {
  LogNode node(1000);
  CHECK_EQ(node.heat(5), 0);
  CHECK_EQ(node.heat(6), 0);
  node.log->cool(5);
  CHECK(!node.log->hot(5));
  CHECK(node.log->hot(6));
  CHECK_EQ(node.log->hot_count(), 1u);
  node.log->batch_end();  // the page that cools it is submitted
  Waiting heated;
  node.log->heat(5, heated.waiter);
  CHECK_EQ(node.commit(), 0);
  CHECK_EQ(node.wait(heated), 0);
  CHECK(node.log->hot(5));
  node.power_loss();
  node.reload();
  CHECK(node.log->hot(5));
  CHECK(node.log->hot(6));
  node.log->cool(5);
  CHECK_EQ(node.commit(), 0);
  node.power_loss();
  node.reload();
  CHECK(!node.log->hot(5));
  CHECK_EQ(node.log->next_hot(0), 6u);
}

TEST(log_ignores_cooling_of_what_is_not_hot) {
  LogNode node(1000);
  Waiting heated;
  node.log->heat(7, heated.waiter);
  node.log->cool(7);
  node.log->cool(8);
  CHECK_EQ(node.wait(heated), 0);
  CHECK(node.log->hot(7));
}

TEST(log_takes_a_damaged_page_as_all_hot) {
  for (const uint64_t at : {0u, 6u, 20u, 28u, 100u, 4095u}) {
    LogNode node(kExtentsPerLogPage * 2 + 50);
    CHECK_EQ(node.heat(3), 0);
    node.damage(node.layout.log_page(2).first + at);
    node.reload();
    CHECK_EQ(node.log->hot_count(), 51u);
    CHECK_EQ(node.log->next_hot(4), kExtentsPerLogPage * 2u);
    // It can be cooled, and is repaired so.
    for (uint64_t e = kExtentsPerLogPage * 2; e < node.log->extent_count(); ++e) {
      node.log->cool(e);
    }
    CHECK_EQ(node.commit(), 0);
    node.reload();
    CHECK_EQ(node.log->hot_count(), 1u);
  }
}

TEST(log_outlives_a_write_that_the_disk_lost) {
  for (const bool second : {false, true}) {
    LogNode node(1000);
    CHECK_EQ(node.heat(3), 0);
    const PlacePair places = node.layout.log_page(0);
    const uint64_t stale = second ? places.second : places.first;
    const auto old = node.world.read_back(node.disk, stale, 4096);
    CHECK_EQ(node.heat(4), 0);
    node.world.disk(node.disk).write(stale, old.data(), 4096, true);
    node.reload();
    CHECK(node.log->hot(3));
    CHECK(node.log->hot(4));
    CHECK_EQ(node.log->hot_count(), 2u);
    // Both copies are the same again with the next commit.
    CHECK(!node.log->idle());
    CHECK_EQ(node.commit(), 0);
    CHECK(node.world.read_back(node.disk, places.first, 4096) ==
          node.world.read_back(node.disk, places.second, 4096));
  }
}

TEST(log_refuses_a_page_from_elsewhere) {
  LogNode node(kExtentsPerLogPage * 2);
  const auto page = node.world.read_back(node.disk, node.layout.log_page(0).first, 4096);
  node.world.disk(node.disk).write(node.layout.log_page(1).first, page.data(), 4096, true);
  node.reload();
  CHECK_EQ(node.log->hot_count(), kExtentsPerLogPage);
  // Another metadata id: a log that an earlier create-md left.
  ActivityLog other(node.io, node.disk);
  Waiting loaded;
  other.load(node.layout, kMetadataId + 1, loaded.waiter);
  CHECK_EQ(node.wait(loaded), 0);
  CHECK_EQ(other.hot_count(), kExtentsPerLogPage * 2);
}

TEST(log_refuses_extents_beyond_the_device) {
  LogNode large(300);
  CHECK_EQ(large.heat(250), 0);
  ActivityLog small(large.io, large.disk);
  Layout layout = large.layout;
  layout.device_size_bytes = 200 * kExtent - 512;
  Waiting loaded;
  small.load(layout, kMetadataId, loaded.waiter);
  CHECK_EQ(large.wait(loaded), 0);
  CHECK_EQ(small.hot_count(), 200u);
}

TEST(log_failure_is_final_and_reaches_everybody) {
  for (const bool flush : {false, true}) {
    LogNode node(100'000);
    CHECK_EQ(node.heat(1), 0);
    auto& behaviour = node.world.behaviour(node.disk);
    (flush ? behaviour.flush_error : behaviour.write_error) = -EIO;
    Waiting first, second, third;
    node.log->heat(2, first.waiter);
    node.log->heat(50'000, second.waiter);
    node.log->batch_end();
    node.log->heat(3, third.waiter);
    CHECK_EQ(node.wait(first), EIO);
    CHECK_EQ(node.wait(second), EIO);
    CHECK_EQ(node.wait(third), EIO);
    behaviour = io::SimDiskBehaviour{};
    Waiting late, later;
    node.log->heat(4, late.waiter);
    node.log->commit(later.waiter);
    CHECK(!late.done);
    node.log->batch_end();
    CHECK_EQ(late.error, EIO);
    CHECK_EQ(later.error, EIO);
    CHECK(node.log->idle());
    CHECK(!node.log->hot(2));
  }
}

TEST(log_reports_unreadable_pages) {
  LogNode node(1000);
  node.world.behaviour(node.disk).read_error = -EIO;
  ActivityLog log(node.io, node.disk);
  Waiting loaded;
  log.load(node.layout, kMetadataId, loaded.waiter);
  CHECK_EQ(node.wait(loaded), EIO);
}

// Random heating and cooling with a power loss somewhere: whatever was told hot, and not cooled
// since, is hot afterwards.
TEST(log_remembers_every_hot_extent_after_a_power_loss) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    std::mt19937_64 random(seed);
    const uint64_t extents = kExtentsPerLogPage * 20 + 7;  // more pages than lanes
    LogNode node(extents, seed);
    std::set<uint64_t> hot;
    std::vector<std::unique_ptr<Waiting>> waiting;
    const uint64_t steps = random() % 300;
    for (uint64_t i = 0; i < steps; ++i) {
      const uint64_t extent = random() % 3 == 0 ? random() % extents : random() % 20 * 32'000;
      if (node.log->hot(extent)) {
        if (random() % 2 == 0) {
          node.log->cool(extent);
          hot.erase(extent);
        }
      } else {
        waiting.push_back(std::make_unique<Waiting>());
        Waiting* added = waiting.back().get();
        added->then = [&hot, extent, added] {
          if (added->error == 0) hot.insert(extent);
        };
        node.log->heat(extent, added->waiter);
      }
      for (uint64_t n = random() % 4; n > 0; --n) node.world.step();
      if (random() % 8 == 0) node.log->batch_end();
    }
    for (const uint64_t extent : hot) CHECK(node.log->hot(extent));
    node.power_loss();
    node.reload();
    for (const uint64_t extent : hot) CHECK(node.log->hot(extent));
    uint64_t counted = 0;
    for (uint64_t e = node.log->next_hot(0); e < extents; e = node.log->next_hot(e + 1)) ++counted;
    CHECK_EQ(counted, node.log->hot_count());
  }
}
