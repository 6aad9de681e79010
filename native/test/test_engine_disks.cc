// Disks that report errors: what the clients see, what the peers get, how the copy comes back.
#include "check.h"
#include "engine_pair.h"

using namespace blkmirror;
using fixture::Client;
using fixture::Copy;
using fixture::kUuid;
using fixture::Pair;

namespace {

constexpr uint32_t kNbdEio = 5;

// Alpha has no disk any more and beta, which serves it, is connected anew.
bool join_diskless(Pair& pair, uint64_t alpha_uuid) {
  if (!fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0)) return false;
  engine::EstablishPlan plan;
  plan.peer_diskless = true;
  plan.peer_current_uuid = alpha_uuid;
  fixture::Done done;
  pair.beta.engine->establish(0, pair.beta.incarnation, plan, done.completion);
  pair.beta.wait(done);
  const uint64_t uuid = pair.state(pair.beta).current_uuid;
  return done.error == 0 && fixture::establish(pair.alpha, 0, engine::ResyncRole::kNone, uuid) == 0;
}

}  // namespace

TEST(a_write_error_on_the_primary_is_hidden_by_the_peer) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  pair.disk().write_error = -EIO;
  CHECK_EQ(client.write(4096, std::byte{2}, 4096), 0u);
  CHECK(pair.alpha.events.disk_lost);
  CHECK_EQ(pair.alpha.events.closed, 0u);
  CHECK(pair.beta_has(4096, 2));
  // A generation that the lost copy has not, on the peer, and its bits.
  CHECK(pair.state(pair.beta).current_uuid != kUuid);
  CHECK(pair.state(pair.beta).peers[0].bitmap_uuid == kUuid);
  CHECK_EQ(client.write(8u << 20, std::byte{3}, 8192), 0u);
  CHECK_EQ(client.flush(), 0u);
  CHECK_EQ(client.trim(4096, 4096), 0u);
  CHECK_EQ(pair.beta.out_of_sync(0), 8192u + 4096u);
  const auto data = client.read(8u << 20, 4096);
  CHECK(data.size() == 4096 && data[0] == std::byte{3});
}

TEST(a_failed_flush_or_log_is_hidden_by_the_peer) {
  for (const bool flush : {true, false}) {
    Pair pair;
    CHECK(pair.in_sync());
    Client client(pair.alpha);
    CHECK(client.serve_and_connect());
    CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
    (flush ? pair.disk().flush_error : pair.disk().write_error) = -EIO;
    if (flush) {
      CHECK_EQ(client.flush(), 0u);
    } else {
      CHECK_EQ(client.write(16u << 20, std::byte{2}, 4096), 0u);
    }
    CHECK(pair.alpha.events.disk_lost);
    CHECK(pair.state(pair.beta).current_uuid != kUuid);
    CHECK_EQ(client.write(4096, std::byte{3}, 4096), 0u);
    CHECK(pair.beta_has(4096, 3));
  }
}

TEST(a_read_error_is_answered_by_the_peer_and_repaired) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{7}, 65536), 0u);
  const std::vector<std::byte> rot(4096, std::byte{0xee});
  pair.world.disk(pair.alpha.disk).write(4096, rot.data(), 4096, true);
  pair.disk().read_error = -EIO;
  pair.disk().error_begin = 4096;
  pair.disk().error_end = 8192;
  const auto data = client.read(0, 16384);
  CHECK(data.size() == 16384 && data[4096] == std::byte{7});
  CHECK(!pair.alpha.events.disk_lost);
  CHECK_EQ(pair.alpha.events.io_errors, 1u);
  CHECK(pair.world.read_back(pair.alpha.disk, 4096, 1)[0] == std::byte{7});
  pair.disk() = {};
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
}

TEST(a_repair_that_fails_detaches) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{7}, 8192), 0u);
  pair.disk().read_error = pair.disk().write_error = -EIO;
  pair.disk().error_begin = 4096;
  pair.disk().error_end = 8192;
  const auto data = client.read(0, 8192);
  CHECK(data.size() == 8192 && data[4096] == std::byte{7});
  CHECK(pair.alpha.events.disk_lost);
}

TEST(without_a_peer_requests_wait_and_then_fail) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.beta.crash(io::SimCrash::kProcess);
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  pair.disk().write_error = -EIO;
  const uint64_t before = pair.world.now_us();
  CHECK_EQ(client.write(4096, std::byte{2}, 4096), kNbdEio);
  CHECK(pair.world.now_us() - before >= 5'900'000);
  CHECK(client.read(0, 4096).empty());
  CHECK_EQ(client.flush(), kNbdEio);
}

TEST(a_diskless_primary_survives_a_new_connection) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.disk().write_error = -EIO;
  CHECK_EQ(client.write(4096, std::byte{2}, 4096), 0u);
  const uint64_t uuid = pair.state(pair.alpha).current_uuid;
  CHECK(uuid == pair.state(pair.beta).current_uuid);
  pair.world.set_partition(pair.alpha.io, pair.beta.io, true);
  const std::vector<std::byte> data(4096, std::byte{9});
  client.request(1, 8192, 4096, data.data());
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  pair.beta.engine->close_link(0, pair.beta.incarnation);
  pair.world.run_until([] { return false; }, 100'000);
  pair.world.set_partition(pair.alpha.io, pair.beta.io, false);
  CHECK(join_diskless(pair, uuid));
  CHECK_EQ(client.reply(), 0u);
  CHECK(pair.beta_has(8192, 9));
  CHECK_EQ(pair.beta.out_of_sync(0), 8192u);
  CHECK_EQ(client.read(8192, 4096).size(), 4096u);
}

// Whether beta got a generation is not known when its report is lost with the connection.
TEST(a_diskless_primary_is_served_by_a_generation_that_was_not_reported) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.disk().write_error = -EIO;
  const std::vector<std::byte> data(4096, std::byte{9});
  client.request(1, 8192, 4096, data.data());
  const auto rotated = [&] { return pair.state(pair.beta).current_uuid != kUuid; };
  CHECK(pair.world.run_until(rotated, 10'000'000));
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  const uint64_t first = pair.state(pair.beta).current_uuid;
  CHECK_EQ(pair.alpha.events.told_uuid, first);
  CHECK_EQ(pair.alpha.stats->exposed_uuid.load(), kUuid);
  CHECK(join_diskless(pair, first));
  CHECK_EQ(pair.alpha.stats->exposed_uuid.load(), first);
  // The next one does not even get there.
  const auto again = [&] { return pair.state(pair.alpha).current_uuid != first; };
  CHECK(pair.world.run_until(again, 10'000'000));
  pair.beta.engine->close_link(0, pair.beta.incarnation);
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  CHECK_EQ(pair.state(pair.beta).current_uuid, first);
  CHECK(pair.alpha.events.told_uuid != first);
  CHECK(join_diskless(pair, pair.alpha.events.told_uuid));
  CHECK_EQ(client.reply(), 0u);
  CHECK(pair.beta_has(8192, 9));
  CHECK(pair.state(pair.beta).current_uuid == pair.alpha.stats->exposed_uuid.load());
}

// Its client gone, and its answer waiting for a generation that no peer reported, a write was sent
// again after a later one to the same place.
TEST(a_write_nobody_waits_for_does_not_undo_a_later_one) {
  Pair pair;
  CHECK(pair.in_sync());
  Client gone(pair.alpha);
  CHECK(gone.serve_and_connect());
  pair.disk().write_error = -EIO;
  const std::vector<std::byte> older(4096, std::byte{9});
  gone.request(1, 8192, 4096, older.data());
  const auto rotated = [&] { return pair.state(pair.beta).current_uuid != kUuid; };
  CHECK(pair.world.run_until(rotated, 10'000'000));
  pair.world.set_partition(pair.alpha.io, pair.beta.io, true);
  pair.world.set_partition(pair.beta.io, pair.alpha.io, true);
  gone.io.shutdown(gone.socket);
  Client client(pair.alpha);
  CHECK(client.connect(gone.listener));
  const std::vector<std::byte> newer(4096, std::byte{8});
  client.request(1, 8192, 4096, newer.data());
  pair.world.run_until([] { return false; }, 100'000);
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  pair.beta.engine->close_link(0, pair.beta.incarnation);
  pair.world.run_until([] { return false; }, 100'000);
  pair.world.set_partition(pair.alpha.io, pair.beta.io, false);
  pair.world.set_partition(pair.beta.io, pair.alpha.io, false);
  CHECK(join_diskless(pair, pair.alpha.events.told_uuid));
  CHECK_EQ(client.reply(), 0u);
  pair.world.run_until([] { return false; }, 1'000'000);
  CHECK(pair.beta_has(8192, 8));
}

TEST(pass_on_tells_the_client_and_keeps_the_disk) {
  Pair pair;
  pair.alpha.on_io_error = engine::IoErrorPolicy::kPassOn;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  pair.disk().write_error = -ENOSPC;
  pair.disk().error_begin = 4096;
  pair.disk().error_end = 8192;
  CHECK(client.write(4096, std::byte{2}, 4096) != 0);
  CHECK(!pair.alpha.events.disk_lost);
  CHECK_EQ(pair.alpha.events.io_errors, 1u);
  CHECK_EQ(pair.alpha.out_of_sync(0), 4096u);
  CHECK_EQ(client.write(0, std::byte{3}, 4096), 0u);
}

TEST(a_disk_that_hangs_is_left_to_the_kernel) {
  Pair pair;
  pair.alpha.disk_timeout_us = 500'000;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  pair.disk().minimum_us = pair.disk().maximum_us = 30'000'000;
  const uint64_t before = pair.world.now_us();
  CHECK_EQ(client.write(4096, std::byte{2}, 4096), 0u);
  CHECK(pair.alpha.events.disk_lost);
  CHECK(pair.world.now_us() - before < 1'500'000);
  CHECK_EQ(client.read(0, 8192).size(), 8192u);
  // While the old disk holds operations there is no other.
  CHECK_EQ(pair.alpha.attach_again(), EBUSY);
  CHECK_EQ(client.write(8192, std::byte{3}, 4096), 0u);
  CHECK(pair.beta_has(4096, 2));
}

TEST(a_read_that_hangs_is_answered_by_the_peer) {
  Pair pair;
  pair.alpha.disk_timeout_us = 500'000;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{6}, 65536), 0u);
  pair.disk().minimum_us = pair.disk().maximum_us = 10'000'000;
  const auto data = client.read(0, 65536);
  CHECK(data.size() == 65536 && data[65535] == std::byte{6});
  CHECK(pair.alpha.events.disk_lost);
  // What the kernel fills late is nobody else's.
  pair.world.run_until([] { return false; }, 20'000'000);
  CHECK_EQ(client.read(0, 65536).size(), 65536u);
}

TEST(a_copy_knows_whether_its_machine_kept_what_it_wrote) {
  Pair pair;
  Copy& beta = pair.beta;
  CHECK(pair.in_sync());
  beta.crash(io::SimCrash::kProcess);
  CHECK_EQ(beta.attach(), 0);
  CHECK_EQ(pair.state(beta).flags & meta::kCrashFlags, meta::kCrashed);
  beta.crash(io::SimCrash::kPower);
  CHECK_EQ(beta.attach(), 0);
  constexpr uint32_t kWithMachine = meta::kCrashed | meta::kCrashedMachine;
  CHECK_EQ(pair.state(beta).flags & meta::kCrashFlags, kWithMachine);
  // Killed again, it still lacks what it lost; resynced, it does not.
  beta.crash(io::SimCrash::kProcess);
  CHECK_EQ(beta.attach(), 0);
  CHECK_EQ(pair.state(beta).flags & meta::kCrashFlags, kWithMachine);
  engine::MetadataPatch clear;
  clear.clear_crashed = true;
  CHECK_EQ(beta.patch(clear), 0);
  CHECK_EQ(pair.state(beta).flags & meta::kCrashFlags, 0u);
  // Where the machine's start is not known, nothing is.
  beta.boot_id = 0;
  for (uint32_t i = 0; i < 2; ++i) {
    beta.crash(io::SimCrash::kProcess);
    CHECK_EQ(beta.attach(), 0);
    CHECK_EQ(pair.state(beta).flags & meta::kCrashFlags, kWithMachine);
  }
}

TEST(a_copy_whose_disk_failed_may_lack_what_it_had_written) {
  for (const bool failed : {true, false}) {
    Pair pair;
    CHECK(pair.in_sync());
    Client client(pair.alpha);
    CHECK(client.serve_and_connect());
    CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
    if (failed) {
      pair.disk().flush_error = -EIO;
      CHECK_EQ(client.flush(), 0u);
    } else {
      CHECK_EQ(pair.alpha.detach(false), 0);
    }
    pair.disk() = {};
    pair.world.run_until([] { return false; }, 100'000);
    CHECK_EQ(pair.alpha.attach_again(), 0);
    CHECK_EQ((pair.state(pair.alpha).flags & meta::kCrashedMachine) != 0, failed);
  }
}

TEST(a_detached_primary_attaches_again_and_is_resynced) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 65536), 0u);
  CHECK_EQ(pair.alpha.detach(false), 0);
  CHECK(!pair.alpha.events.disk_lost);
  CHECK_EQ(client.write(4096, std::byte{2}, 4096), 0u);
  CHECK_EQ(client.write(20u << 20, std::byte{3}, 4096), 0u);
  CHECK_EQ(pair.alpha.attach_again(), 0);
  CHECK((pair.state(pair.alpha).flags & meta::kConsistent) == 0);
  // Held until the resync is established.
  const std::vector<std::byte> data(4096, std::byte{4});
  client.request(1, 24u << 20, 4096, data.data());
  pair.world.run_until([] { return false; }, 50'000);
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  const uint64_t uuid = pair.state(pair.beta).current_uuid;
  const uint32_t before = pair.alpha.events.finished;
  CHECK_EQ(fixture::establish(pair.alpha, 0, engine::ResyncRole::kTarget, uuid), 0);
  CHECK_EQ(fixture::establish(pair.beta, 0, engine::ResyncRole::kSource, kUuid), 0);
  CHECK_EQ(client.reply(), 0u);
  CHECK(pair.world.run_until([&] { return pair.alpha.events.finished > before; }, 600'000'000));
  CHECK(pair.state(pair.alpha).current_uuid == pair.state(pair.beta).current_uuid);
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK_EQ(client.write(28u << 20, std::byte{5}, 4096), 0u);
  CHECK(pair.world.read_back(pair.alpha.disk, 28u << 20, 1) ==
        pair.world.read_back(pair.beta.disk, 28u << 20, 1));
}

TEST(the_last_copy_is_detached_by_force_only) {
  Pair pair;
  CHECK_EQ(pair.alpha.attach(), 0);
  pair.alpha.make_up_to_date(kUuid);
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(pair.alpha.detach(false), EBUSY);
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  CHECK_EQ(pair.alpha.detach(true), 0);
  CHECK_EQ(client.write(0, std::byte{1}, 4096), kNbdEio);
}

TEST(an_attach_that_fails_leaves_the_primary_served) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(pair.alpha.detach(false), 0);
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  pair.disk().read_error = -EIO;
  CHECK_EQ(pair.alpha.attach_again(), EIO);
  CHECK_EQ(client.write(4096, std::byte{2}, 4096), 0u);
  pair.disk() = {};
  CHECK_EQ(pair.alpha.attach_again(), 0);
}
