// The superblock's two slots: updates, torn and rotten slots, crashes in the middle, failures.
#include "meta/superblock_store.h"

#include <cerrno>

#include "check.h"
#include "meta_fixture.h"

using namespace fixture;

namespace {

constexpr uint64_t kDisk = 1u << 30;

// A disk with the example's superblock in both slots.
struct Formatted : Node {
  uint64_t offset = example().layout.superblocks.offset;
  explicit Formatted(uint64_t seed = 1) : Node(kDisk, seed) {
    SuperblockStore store(io, disk);
    store.current() = example();
    Waiting waiting;
    store.commit(waiting.waiter);
    if (wait(waiting) != 0) check::fail(__FILE__, __LINE__, "cannot format");
  }
};

}  // namespace

TEST(store_reads_what_was_committed) {
  Formatted node;
  node.power_loss();
  SuperblockStore store(node.io, node.disk);
  Waiting loaded;
  store.load(node.offset, loaded.waiter);
  CHECK(!store.idle());
  CHECK(!loaded.done);
  CHECK_EQ(node.wait(loaded), 0);
  CHECK(store.idle());
  CHECK_EQ(store.current().revision, 42u);
  CHECK_EQ(store.current().node, "alpha.example.org");
}

TEST(store_says_what_is_wrong_when_no_slot_is_valid) {
  Node empty(kDisk);
  SuperblockStore nothing(empty.io, empty.disk);
  Waiting first;
  nothing.load(kDisk - 8192, first.waiter);
  CHECK_EQ(empty.wait(first), ENODATA);

  Formatted node;
  node.damage(node.offset + 100);
  node.damage(node.offset + 4096 + 3000);
  SuperblockStore store(node.io, node.disk);
  Waiting second;
  store.load(node.offset, second.waiter);
  CHECK_EQ(node.wait(second), EBADMSG);
  node.damage(node.offset + 8);
  Waiting third;
  store.load(node.offset, third.waiter);
  CHECK_EQ(node.wait(third), ENOTSUP);
  // A fresh superblock may be written then.
  store.current() = example();
  Waiting fourth;
  store.commit(fourth.waiter);
  CHECK_EQ(node.wait(fourth), 0);
}

TEST(store_survives_one_rotten_slot_and_repairs_it) {
  for (const uint64_t slot : {0u, 4096u}) {
    Formatted node;
    node.damage(node.offset + slot + 500);
    SuperblockStore store(node.io, node.disk);
    Waiting loaded;
    store.load(node.offset, loaded.waiter);
    CHECK_EQ(node.wait(loaded), 0);
    Waiting committed;
    store.commit(committed.waiter);
    CHECK_EQ(node.wait(committed), 0);
    node.damage(node.offset + (4096 - slot) + 500);
    Waiting again;
    store.load(node.offset, again.waiter);
    CHECK_EQ(node.wait(again), 0);
    CHECK_EQ(store.current().revision, 43u);
  }
}

TEST(store_commits_wait_for_both_slots_and_ride_together) {
  Formatted node;
  SuperblockStore store(node.io, node.disk);
  Waiting loaded;
  store.load(node.offset, loaded.waiter);
  CHECK_EQ(node.wait(loaded), 0);
  node.io.writes = 0;
  node.io.flushes = 0;
  Waiting waiting[10];
  for (Waiting& each : waiting) store.commit(each.waiter);
  for (Waiting& each : waiting) CHECK_EQ(node.wait(each), 0);
  CHECK(store.idle());
  // The first alone, the nine others together.
  CHECK_EQ(node.io.writes, 4u);
  CHECK_EQ(node.io.flushes, 4u);
  CHECK_EQ(store.page_writes(), 4u);
  CHECK_EQ(store.current().revision, 44u);
}

// Power fails after any step of a series of updates: a superblock that was durable, or the one
// being written, is found, and never one older than what commit() reported.
TEST(store_always_holds_a_whole_superblock) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    for (uint32_t steps = 0; steps < 14; ++steps) {
      Formatted node(seed);
      uint64_t reported = 42;
      {
        SuperblockStore store(node.io, node.disk);
        Waiting loaded;
        store.load(node.offset, loaded.waiter);
        CHECK_EQ(node.wait(loaded), 0);
        Waiting first, second;
        first.then = [&] { reported = 43; };
        second.then = [&] { reported = 44; };
        store.commit(first.waiter);
        store.commit(second.waiter);
        for (uint32_t i = 0; i < steps; ++i) node.world.step();
        node.power_loss();
      }
      SuperblockStore store(node.io, node.disk);
      Waiting loaded;
      store.load(node.offset, loaded.waiter);
      CHECK_EQ(node.wait(loaded), 0);
      CHECK(store.current().revision >= reported);
      CHECK(store.current().revision <= 44);
      // Once reported, either slot alone holds it.
      if (reported == 44) {
        node.damage(node.offset + (seed % 2) * 4096 + 77);
        Waiting again;
        store.load(node.offset, again.waiter);
        CHECK_EQ(node.wait(again), 0);
        CHECK_EQ(store.current().revision, 44u);
      }
    }
  }
}

TEST(store_failure_is_final_and_reaches_everybody) {
  for (const bool flush : {false, true}) {
    Formatted node;
    SuperblockStore store(node.io, node.disk);
    Waiting loaded;
    store.load(node.offset, loaded.waiter);
    CHECK_EQ(node.wait(loaded), 0);
    auto& behaviour = node.world.behaviour(node.disk);
    (flush ? behaviour.flush_error : behaviour.write_error) = -EIO;
    Waiting first, second;
    store.commit(first.waiter);
    store.commit(second.waiter);
    CHECK_EQ(node.wait(first), EIO);
    CHECK_EQ(node.wait(second), EIO);
    behaviour = io::SimDiskBehaviour{};
    Waiting late;
    store.commit(late.waiter);
    CHECK(!late.done);
    CHECK_EQ(node.wait(late), EIO);
    CHECK(store.idle());
  }
}

TEST(store_reports_unreadable_slots) {
  Formatted node;
  node.world.behaviour(node.disk).read_error = -EIO;
  SuperblockStore store(node.io, node.disk);
  Waiting loaded;
  store.load(node.offset, loaded.waiter);
  CHECK_EQ(node.wait(loaded), EIO);
}
