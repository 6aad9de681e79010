// Two engines over the simulated world, in one thread: replication, loss of a peer, resync.
#include "check.h"
#include "engine_pair.h"

using namespace blkmirror;
using fixture::Client;
using fixture::Copy;
using fixture::kUuid;
using fixture::Pair;

TEST(a_write_reaches_both_copies) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(4096, std::byte{0x5a}, 8192), 0u);
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK(pair.world.read_back(pair.beta.disk, 8192, 1)[0] == std::byte{0x5a});
  CHECK_EQ(pair.alpha.out_of_sync(0), 0u);
}

TEST(an_initial_resync_takes_over_the_generation) {
  Pair pair;
  CHECK(pair.in_sync());
  CHECK(pair.beta.engine->superblock().current_uuid == kUuid);
  CHECK((pair.beta.engine->superblock().flags & meta::kConsistent) != 0);
  CHECK_EQ(pair.alpha.out_of_sync(0), 0u);
  CHECK_EQ(pair.beta.out_of_sync(0), 0u);
}

TEST(trim_and_large_writes_give_identical_copies) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{0x11}, 9u << 20), 0u);
  CHECK_EQ(client.trim(4096 + 512, 5u << 20), 0u);
  CHECK_EQ(client.flush(), 0u);
  const auto data = client.read(0, 16384);
  CHECK_EQ(data.size(), 16384u);
  CHECK(data[4096] == std::byte{0x11});
  CHECK(data[4608] == std::byte{0});
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
}

// A thread with one request or few looks for completions before it sleeps (io/spin.h).
TEST(an_engine_with_many_requests_or_a_resync_is_crowded) {
  Pair pair;
  bool seen = false;
  const auto look = [&] {
    seen = seen || pair.alpha.engine->crowded() || pair.beta.engine->crowded();
    return false;
  };
  CHECK(pair.in_sync());
  CHECK(!pair.alpha.engine->crowded());
  CHECK(!pair.beta.engine->crowded());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.world.set_partition(pair.alpha.io, pair.beta.io, true);
  const std::vector<std::byte> data(4096, std::byte{7});
  for (uint64_t i = 0; i < 4; ++i) client.request(1, i * 4096, 4096, data.data());
  pair.world.run_until(look, 10'000);
  CHECK(!seen);
  client.request(1, 65536, 4096, data.data());
  pair.world.run_until(look, 10'000);
  CHECK(pair.alpha.engine->crowded());
  pair.world.set_partition(pair.alpha.io, pair.beta.io, false);
  pair.world.run_until(look, 1'000'000);
  CHECK(!pair.alpha.engine->crowded());
}

TEST(losing_the_peer_starts_a_generation_and_bits) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  pair.beta.crash(io::SimCrash::kProcess);
  CHECK_EQ(client.write(1u << 20, std::byte{2}, 4096), 0u);
  CHECK(pair.alpha.engine->superblock().current_uuid != kUuid);
  CHECK(pair.alpha.engine->superblock().peers[0].bitmap_uuid == kUuid);
  CHECK_EQ(pair.alpha.out_of_sync(0), 4096u);
  CHECK_EQ(pair.alpha.events.generations, 1u);
  // The first was on its way to the peer, others are not sent.
  CHECK_EQ(client.write(2u << 20, std::byte{3}, 4096), 0u);
  CHECK_EQ(pair.alpha.out_of_sync(0), 8192u);
  CHECK_EQ(pair.alpha.events.generations, 1u);
}

TEST(a_returning_peer_resyncs_by_bitmap_under_writes) {
  Pair pair(7);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.beta.crash(io::SimCrash::kPower);
  for (uint32_t i = 0; i < 40; ++i) {
    CHECK_EQ(client.write(uint64_t{i} * 1237504 / 512 * 512, std::byte(i + 1), 12288), 0u);
  }
  const uint64_t resynced = pair.alpha.stats->peers[0].resynced_bytes;
  CHECK_EQ(pair.beta.attach(), 0);
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  const uint64_t uuid = pair.alpha.engine->superblock().current_uuid;
  CHECK_EQ(fixture::establish(pair.alpha, 0, engine::ResyncRole::kSource, kUuid), 0);
  CHECK_EQ(fixture::establish(pair.beta, 0, engine::ResyncRole::kTarget, uuid), 0);
  for (uint32_t i = 0; i < 40; ++i) {
    CHECK_EQ(client.write(uint64_t{i} * 1237504 / 512 * 512 + 512, std::byte(i + 101), 1024), 0u);
  }
  CHECK(pair.world.run_until([&] { return pair.alpha.events.finished == 2; }, 600'000'000));
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK_EQ(pair.alpha.out_of_sync(0), 0u);
  CHECK(pair.alpha.stats->peers[0].resynced_bytes - resynced < fixture::kDiskBytes);
}

TEST(a_silent_peer_is_lost_within_the_timeout) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.world.set_partition(pair.alpha.io, pair.beta.io, true);
  const uint64_t before = pair.world.now_us();
  CHECK_EQ(client.write(0, std::byte{3}, 4096), 0u);
  CHECK(pair.world.now_us() - before < 7'000'000);
  CHECK_EQ(pair.alpha.out_of_sync(0), 4096u);
}

TEST(a_clean_end_leaves_nothing_hot) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{3}, 4096), 0u);
  CHECK_EQ(pair.alpha.close(), 0);
  CHECK_EQ(pair.beta.close(), 0);
  CHECK_EQ(pair.alpha.attach(), 0);
  CHECK_EQ(pair.alpha.stats->hot_extents.load(), 0u);
  CHECK_EQ(pair.alpha.out_of_sync(0), 0u);
  CHECK((pair.alpha.engine->superblock().flags & meta::kCrashed) == 0);
}

TEST(a_crash_turns_hot_extents_into_bits) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(9u << 20, std::byte{3}, 4096), 0u);
  pair.alpha.crash(io::SimCrash::kPower);
  CHECK_EQ(pair.alpha.attach(), 0);
  CHECK_EQ(pair.alpha.out_of_sync(0), 4u << 20);
  CHECK((pair.alpha.engine->superblock().flags & meta::kCrashed) != 0);
}

TEST(al_extents_starts_cooling) {
  Pair pair;
  CHECK_EQ(pair.alpha.attach(3), 0);
  pair.alpha.make_up_to_date(kUuid);
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  for (uint32_t i = 0; i < 14; ++i) {
    CHECK_EQ(client.write(uint64_t{i} << 22, std::byte{9}, 4096), 0u);
  }
  CHECK(
      pair.world.run_until([&] { return pair.alpha.stats->hot_extents.load() <= 3; }, 10'000'000));
}

TEST(a_local_write_error_that_is_passed_on_reaches_the_client_and_marks_bits) {
  Pair pair;
  pair.alpha.on_io_error = engine::IoErrorPolicy::kPassOn;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  pair.world.behaviour(pair.alpha.disk).write_error = -ENOSPC;
  pair.world.behaviour(pair.alpha.disk).error_end = 1u << 20;
  CHECK_EQ(client.write(8192, std::byte{2}, 4096), 28u);
  CHECK_EQ(pair.alpha.out_of_sync(0), 4096u);
}

TEST(a_full_secondary_is_detached_and_marked) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.world.behaviour(pair.beta.disk).write_error = -ENOSPC;
  CHECK_EQ(client.write(8192, std::byte{2}, 4096), 0u);
  CHECK(pair.beta.events.disk_lost);
  CHECK_EQ(pair.alpha.out_of_sync(0), 4096u);
  pair.world.behaviour(pair.beta.disk).write_error = 0;
  CHECK_EQ(pair.beta.close(), 0);
}

TEST(a_primary_sync_target_reads_from_the_source) {
  Pair pair(3);
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.beta.crash(io::SimCrash::kProcess);
  CHECK_EQ(client.write(0, std::byte{0x77}, 8u << 20), 0u);
  CHECK_EQ(pair.beta.attach(), 0);
  engine::MetadataPatch inconsistent;
  inconsistent.consistent = false;
  CHECK_EQ(pair.beta.patch(inconsistent), 0);
  client.io.shutdown(client.socket);
  fixture::Done withdrawn;
  pair.alpha.engine->withdraw(true, withdrawn.completion);
  CHECK(pair.alpha.wait(withdrawn));
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  const uint64_t uuid = pair.alpha.engine->superblock().current_uuid;
  pair.beta.engine->pause_resync(0, true);
  CHECK_EQ(fixture::establish(pair.alpha, 0, engine::ResyncRole::kSource, kUuid), 0);
  CHECK_EQ(fixture::establish(pair.beta, 0, engine::ResyncRole::kTarget, uuid), 0);
  Client second(pair.beta);
  CHECK(second.serve_and_connect());
  for (uint64_t at = 0; at < (8u << 20); at += 65536) {
    const auto data = second.read(at, 4096);
    CHECK_EQ(data.size(), 4096u);
    CHECK(data[0] == std::byte{0x77});
    CHECK_EQ(second.write(at, std::byte{0x66}, 512), 0u);
    CHECK(second.read(at, 1024)[0] == std::byte{0x66});
    CHECK(second.read(at, 1024)[512] == std::byte{0x77});
  }
  pair.beta.engine->pause_resync(0, false);
  CHECK(pair.world.run_until([&] { return pair.beta.events.finished == 2; }, 600'000'000));
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
}
