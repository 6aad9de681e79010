// What happens to a device in the middle of a resync, over the simulated world: writes while it is
// paused, zeroes of every kind, requests of every alignment, digests that are compared first, and a
// source that becomes the target.
#include <algorithm>
#include <cerrno>

#include "check.h"
#include "engine_fixture.h"

using namespace blkmirror;
using engine::ResyncRole;
using fixture::Client;
using fixture::Copy;

namespace {

constexpr uint64_t kUuid = 0x3333333333333330;
constexpr uint32_t kMiB = 1u << 20;
constexpr uint32_t kBlock = limits::kBlockBytes;

struct Pair {
  io::SimWorld world;
  Copy alpha;
  Copy beta;
  explicit Pair(uint64_t seed)
      : world(seed), alpha(world, "alpha", {"beta"}), beta(world, "beta", {"alpha"}) {}

  bool in_sync() {
    if (alpha.attach() != 0 || beta.attach() != 0) return false;
    alpha.make_up_to_date(kUuid);
    return begin(alpha, beta) && finish();
  }
  bool begin(Copy& source, Copy& target, bool compare = false) {
    if (!fixture::connect(world, source, 0, target, 0)) return false;
    const uint64_t old = target.engine->superblock().current_uuid;
    const uint64_t fresh = source.engine->superblock().current_uuid;
    return fixture::establish(source, 0, ResyncRole::kSource, old) == 0 &&
           fixture::establish(target, 0, ResyncRole::kTarget, fresh, compare) == 0;
  }
  bool finish() {
    const auto over = [&] {
      return alpha.engine->superblock().current_uuid == beta.engine->superblock().current_uuid &&
             alpha.out_of_sync(0) == 0 && beta.out_of_sync(0) == 0;
    };
    return world.run_until(over, 600'000'000);
  }
  // The links end, and the client writes what beta misses.
  bool part_and_write(Client& client, uint64_t from, uint32_t bytes, std::byte fill) {
    alpha.engine->close_link(0, alpha.incarnation);
    pass(10'000);
    for (uint64_t at = from; at < from + bytes; at += kMiB) {
      if (client.write(at, fill, kMiB) != 0) return false;
    }
    engine::MetadataPatch behind;
    behind.consistent = false;
    return beta.patch(behind) == 0;
  }
  // So slow at the target that a resync lasts while a client does a number of things.
  void slow(Copy& copy) {
    world.behaviour(copy.disk).minimum_us = 50'000;
    world.behaviour(copy.disk).maximum_us = 400'000;
  }
  void pass(uint64_t us) {
    world.run_until([] { return false; }, us);
  }
  bool has(Copy& copy, uint64_t offset, std::byte fill, uint32_t length) {
    for (const std::byte byte : world.read_back(copy.disk, offset, length)) {
      if (byte != fill) return false;
    }
    return true;
  }
};

}  // namespace

TEST(writes_while_a_resync_is_paused_reach_both_copies) {
  Pair pair(21);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK(pair.part_and_write(client, 0, 16 * kMiB, std::byte{1}));
  pair.beta.engine->pause_resync(0, true);
  CHECK(pair.begin(pair.alpha, pair.beta));
  pair.pass(1'000'000);
  const uint64_t copied = pair.alpha.stats->peers[0].resynced_bytes;
  CHECK_EQ(pair.beta.out_of_sync(0), 16u * kMiB);
  // Whole blocks that are out of sync, parts of such, and blocks that are in sync.
  CHECK_EQ(client.write(4 * kMiB, std::byte{2}, 4 * kBlock), 0u);
  CHECK_EQ(client.write(8 * kMiB + 512, std::byte{3}, 1024), 0u);
  CHECK_EQ(client.write(20 * kMiB, std::byte{4}, kBlock), 0u);
  CHECK_EQ(client.flush(), 0u);
  CHECK(pair.has(pair.beta, 4 * kMiB, std::byte{2}, 4 * kBlock));
  CHECK(pair.has(pair.beta, 8 * kMiB + 512, std::byte{3}, 1024));
  CHECK(pair.has(pair.beta, 20 * kMiB, std::byte{4}, kBlock));
  pair.pass(30'000'000);
  // Nothing was copied, and a block of which only a part was written is still out of sync.
  CHECK_EQ(pair.alpha.stats->peers[0].resynced_bytes.load(), copied);
  CHECK(pair.beta.out_of_sync(0) >= 16u * kMiB - 4 * kBlock);
  CHECK((pair.beta.engine->superblock().flags & meta::kConsistent) == 0);
  pair.beta.engine->pause_resync(0, false);
  CHECK(pair.finish());
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK(pair.has(pair.beta, 8 * kMiB + 1536, std::byte{1}, 512));
}

TEST(a_pause_outlives_the_loss_of_the_connection) {
  Pair pair(22);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK(pair.part_and_write(client, 0, 8 * kMiB, std::byte{1}));
  pair.beta.engine->pause_resync(0, true);
  for (uint32_t round = 0; round < 3; ++round) {
    CHECK(pair.begin(pair.alpha, pair.beta));
    pair.pass(2'000'000);
    CHECK_EQ(pair.beta.out_of_sync(0), 8u * kMiB);
    pair.alpha.engine->close_link(0, pair.alpha.incarnation);
    pair.pass(100'000);
  }
  pair.beta.engine->pause_resync(0, false);
  CHECK(pair.begin(pair.alpha, pair.beta));
  CHECK(pair.finish());
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
}

TEST(discards_in_a_resync_leave_identical_copies) {
  for (uint64_t seed = 31; seed < 36; ++seed) {
    Pair pair(seed);
    CHECK(pair.in_sync());
    Client client(pair.alpha);
    CHECK(client.serve_and_connect());
    CHECK(pair.part_and_write(client, 0, 48 * kMiB, std::byte{1}));
    CHECK(pair.begin(pair.alpha, pair.beta));
    pair.slow(pair.beta);
    // Behind, at and before the place that is being copied, aligned and not, all at once.
    const std::vector<std::byte> data(3 * 512, std::byte{2});
    for (uint32_t round = 0; round < 24; ++round) {
      const uint64_t at = uint64_t{round * 14 % 48} * kMiB;
      client.request(4, at + (round % 3) * 512, kMiB / 2 + (round % 5) * 512, nullptr);
      client.request(1, at + kMiB * 3 / 4, 3 * 512, data.data());
    }
    for (uint32_t replies = 48; replies > 0; --replies) CHECK_EQ(client.reply(), 0u);
    CHECK(pair.beta.out_of_sync(0) > 0);
    CHECK(pair.finish());
    CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
    CHECK(pair.has(pair.beta, kMiB / 8, std::byte{0}, kMiB / 8));
    CHECK(pair.has(pair.beta, 4 * kMiB + kMiB * 7 / 8, std::byte{1}, kBlock));
  }
}

TEST(requests_of_every_alignment_in_a_resync_leave_identical_copies) {
  Pair pair(41);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK(pair.part_and_write(client, 0, 48 * kMiB, std::byte{1}));
  CHECK(pair.begin(pair.alpha, pair.beta));
  pair.slow(pair.beta);
  uint32_t meanwhile = 0;
  for (uint32_t sectors = 1; sectors <= 17; ++sectors) {
    const uint64_t at = uint64_t{sectors * 11 % 48} * kMiB + sectors * 512;
    meanwhile += pair.beta.out_of_sync(0) > 0 ? 1 : 0;
    CHECK_EQ(client.write(at, std::byte(sectors + 1), sectors * 512), 0u);
    const auto seen = client.read(at - 512, (sectors + 2) * 512);
    CHECK_EQ(seen.size(), size_t{sectors + 2} * 512);
    CHECK(seen[511] == std::byte{1});
    CHECK(seen[512] == std::byte(sectors + 1));
    CHECK(seen[(sectors + 1) * 512 - 1] == std::byte(sectors + 1));
  }
  CHECK(meanwhile > 4);
  CHECK(pair.finish());
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
}

// The source dies before its resync is over; the target, promoted with force, is the source of
// the next one.
TEST(the_source_of_a_resync_becomes_the_target_of_the_next) {
  Pair pair(51);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK(pair.part_and_write(client, 0, 16 * kMiB, std::byte{1}));
  pair.slow(pair.beta);
  CHECK(pair.begin(pair.alpha, pair.beta));
  const auto& copied = pair.alpha.stats->peers[0].resynced_bytes;
  const uint64_t before = copied;
  CHECK(pair.world.run_until([&] { return copied > before; }, 60'000'000));
  CHECK(copied - before < 12 * kMiB);
  pair.alpha.crash(io::SimCrash::kPower);
  pair.pass(10'000);
  pair.beta.make_up_to_date(kUuid + 0x70);
  Client second(pair.beta);
  CHECK(second.serve_and_connect());
  CHECK_EQ(second.write(2 * kMiB, std::byte{9}, kBlock), 0u);
  CHECK_EQ(pair.alpha.attach(), 0);
  engine::MetadataPatch behind;
  behind.consistent = false;
  CHECK_EQ(pair.alpha.patch(behind), 0);
  CHECK(pair.begin(pair.beta, pair.alpha));
  CHECK_EQ(second.write(15 * kMiB, std::byte{8}, kBlock), 0u);
  CHECK(pair.finish());
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK(pair.has(pair.alpha, 2 * kMiB, std::byte{9}, kBlock));
  CHECK(pair.has(pair.alpha, 15 * kMiB, std::byte{8}, kBlock));
}

TEST(a_target_takes_over_the_generations_that_its_source_has_left_behind) {
  Pair pair(27);
  CHECK(pair.in_sync());
  const uint64_t before = pair.beta.engine->superblock().current_uuid;
  engine::MetadataPatch later;
  later.current_uuid = kUuid + 6;
  later.add_history = {kUuid + 4, kUuid + 2, before};
  CHECK_EQ(pair.alpha.patch(later), 0);
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  CHECK_EQ(fixture::establish(pair.alpha, 0, ResyncRole::kSource, before), 0);
  engine::EstablishPlan plan;
  plan.resync = ResyncRole::kTarget;
  plan.exchange_bitmaps = true;
  // What was told first: the source has begun its present generation since.
  plan.peer_current_uuid = kUuid + 4;
  plan.peer_history = {kUuid + 2, before};
  fixture::Done done;
  pair.beta.engine->establish(0, pair.beta.incarnation, plan, done.completion);
  pair.beta.wait(done);
  CHECK_EQ(done.error, 0);
  CHECK(pair.finish());
  const meta::Superblock& state = pair.beta.engine->superblock();
  CHECK_EQ(state.current_uuid, kUuid + 6);
  for (const uint64_t uuid : {kUuid + 4, kUuid + 2, before}) {
    const auto& history = state.history_uuids;
    CHECK_EQ(std::count(history.begin(), history.end(), uuid), 1);
  }
}

// As after a crash: much counts as out of sync, and little in it differs.
TEST(a_compared_resync_sends_only_what_differs) {
  Pair pair(61);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  for (uint32_t mib = 0; mib < 32; ++mib) {
    CHECK_EQ(client.write(mib * kMiB, std::byte(mib), kMiB), 0u);
  }
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  pair.pass(10'000);
  for (uint32_t mib = 0; mib < 32; ++mib) {
    CHECK_EQ(client.write(mib * kMiB, std::byte(mib), kMiB), 0u);
  }
  CHECK_EQ(client.write(5 * kMiB + 512, std::byte{0xaa}, 512), 0u);
  CHECK_EQ(client.write(31 * kMiB, std::byte{0xbb}, kBlock), 0u);
  CHECK_EQ(client.trim(9 * kMiB, kMiB), 0u);
  engine::MetadataPatch behind;
  behind.consistent = false;
  CHECK_EQ(pair.beta.patch(behind), 0);
  const uint64_t sent = pair.alpha.stats->peers[0].sent_bytes;
  CHECK(pair.begin(pair.alpha, pair.beta, true));
  CHECK(pair.finish());
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK(pair.alpha.stats->peers[0].sent_bytes - sent < 3u * kMiB);
}

TEST(writes_in_a_compared_resync_leave_identical_copies) {
  for (uint64_t seed = 71; seed < 81; ++seed) {
    Pair pair(seed);
    CHECK(pair.in_sync());
    Client client(pair.alpha);
    CHECK(client.serve_and_connect());
    CHECK(pair.part_and_write(client, 0, 16 * kMiB, std::byte{1}));
    pair.slow(pair.beta);
    CHECK(pair.begin(pair.alpha, pair.beta, true));
    io::SimRandom& random = pair.world.random();
    for (uint32_t count = 0; count < 60; ++count) {
      const auto sectors = static_cast<uint32_t>(random.between(1, 64));
      const uint64_t at = random.between(0, 16 * kMiB / 512 - sectors) * 512;
      CHECK_EQ(client.write(at, std::byte(random.between(0, 2)), sectors * 512), 0u);
    }
    CHECK(pair.finish());
    CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  }
}

// What cannot be read counts as different, and is written anew.
TEST(a_block_that_cannot_be_read_is_copied_in_a_compared_resync) {
  Pair pair(81);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK(pair.part_and_write(client, 0, 4 * kMiB, std::byte{1}));
  pair.world.behaviour(pair.beta.disk).read_error = -EIO;
  CHECK(pair.begin(pair.alpha, pair.beta, true));
  CHECK(pair.finish());
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
}
