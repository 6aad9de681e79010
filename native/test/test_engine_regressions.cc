// Faults that random histories and reading have found in the engine, each told as shortly as it
// can be.
#include "check.h"
#include "engine_fixture.h"

using namespace blkmirror;
using engine::ResyncRole;
using fixture::Client;
using fixture::Copy;
using fixture::Done;

namespace {

constexpr uint64_t kUuid = 0x2222222222222220;

struct Pair {
  io::SimWorld world{11};
  Copy alpha{world, "alpha", {"beta"}};
  Copy beta{world, "beta", {"alpha"}};

  bool attach(uint64_t al_extents = 0) {
    if (alpha.attach(al_extents) != 0 || beta.attach(al_extents) != 0) return false;
    alpha.make_up_to_date(kUuid);
    return true;
  }
  // alpha becomes the source of beta.
  bool begin_resync(uint64_t beta_uuid = meta::kJustCreatedUuid) {
    const uint64_t uuid = alpha.engine->superblock().current_uuid;
    return fixture::connect(world, alpha, 0, beta, 0) &&
           fixture::establish(alpha, 0, ResyncRole::kSource, beta_uuid) == 0 &&
           fixture::establish(beta, 0, ResyncRole::kTarget, uuid) == 0;
  }
  bool in_sync() {
    if (!attach() || !begin_resync()) return false;
    return world.run_until([&] { return alpha.events.finished == 1; }, 600'000'000);
  }
  void pass(uint64_t us) {
    world.run_until([] { return false; }, us);
  }
  void slow(Copy& copy, uint32_t us) {
    world.behaviour(copy.disk).minimum_us = world.behaviour(copy.disk).maximum_us = us;
  }
};

}  // namespace

// A write admitted between the verdict "in sync" and establish() reached the peer never, and was
// acknowledged without a new generation.
TEST(in_sync_is_refused_when_a_write_came_between) {
  Pair pair;
  CHECK(pair.in_sync());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  pair.pass(10'000);
  pair.slow(pair.alpha, 50'000);
  const std::vector<std::byte> data(4096, std::byte{7});
  client.request(1, 8192, 4096, data.data());
  pair.pass(1000);
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  CHECK_EQ(pair.alpha.out_of_sync(0), 4096u);
  CHECK_EQ(fixture::establish(pair.alpha, 0, ResyncRole::kNone, kUuid), ESTALE);
  CHECK_EQ(client.reply(), 0u);
  CHECK(pair.alpha.engine->superblock().current_uuid != kUuid);
}

TEST(another_generation_is_not_in_sync) {
  Pair pair;
  CHECK(pair.in_sync());
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  pair.pass(10'000);
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  CHECK_EQ(fixture::establish(pair.alpha, 0, ResyncRole::kNone, kUuid + 2), ESTALE);
}

// The last flush of a resync ended in the next connection's resync and declared the copy
// consistent at its beginning.
TEST(the_end_of_a_resync_holds_up_the_next_connection) {
  Pair pair;
  CHECK(pair.attach());
  CHECK(pair.begin_resync());
  CHECK(pair.world.run_until([&] { return pair.beta.events.started == 1; }, 10'000'000));
  pair.world.behaviour(pair.beta.disk).flush_us = 2'000'000;
  CHECK(pair.world.run_until([&] { return pair.beta.out_of_sync(0) == 0; }, 60'000'000));
  pair.pass(1000);
  CHECK_EQ(pair.beta.events.finished, 0u);
  pair.beta.engine->close_link(0, pair.beta.incarnation);
  pair.pass(10'000);
  const auto [end_a, end_b] = pair.world.connect_pair(pair.alpha.io, pair.beta.io);
  Done opened_a;
  Done opened_b;
  pair.alpha.engine->connect_link(0, end_a, ++pair.alpha.incarnation, opened_a.completion);
  pair.beta.engine->connect_link(0, end_b, ++pair.beta.incarnation, opened_b.completion);
  pair.pass(1'000'000);
  CHECK(!opened_b.done);
  CHECK(pair.beta.wait(opened_b));
  CHECK_EQ(opened_b.error, 0);
  CHECK((pair.beta.engine->superblock().flags & meta::kConsistent) == 0);
}

// The target has taken the generation over, its word of that is lost: what the source
// acknowledges alone from then on must be another generation.
TEST(a_target_lost_at_the_very_end_shares_nothing_new) {
  Pair pair;
  CHECK(pair.attach());
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  CHECK(pair.begin_resync());
  CHECK(pair.world.run_until([&] { return pair.beta.events.finished == 1; }, 60'000'000));
  pair.world.set_partition(pair.alpha.io, pair.beta.io, true);
  CHECK_EQ(pair.alpha.events.finished, 0u);
  CHECK_EQ(client.write(0, std::byte{2}, 4096), 0u);
  CHECK(pair.alpha.engine->superblock().current_uuid !=
        pair.beta.engine->superblock().current_uuid);
}

// The source of a resync has blocks on their way at every moment: promotion must not wait for one
// without.
TEST(a_sync_source_serves_at_once) {
  Pair pair;
  CHECK(pair.attach());
  CHECK(pair.begin_resync());
  CHECK(pair.world.run_until([&] { return pair.beta.events.started == 1; }, 10'000'000));
  pair.slow(pair.beta, 3'000'000);
  pair.pass(100'000);
  const uint64_t before = pair.world.now_us();
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK(pair.world.now_us() - before < 500'000);
}

TEST(without_a_uuid_writes_wait_until_one_is_supplied) {
  Pair pair;
  CHECK_EQ(pair.alpha.attach(0, 0), 0);
  pair.alpha.make_up_to_date(kUuid);
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  const std::vector<std::byte> data(4096, std::byte{7});
  client.request(1, 8192, 4096, data.data());
  pair.pass(1'000'000);
  CHECK(pair.alpha.stats->suspended.load());
  pair.alpha.supply(1);
  CHECK_EQ(client.reply(), 0u);
  CHECK(!pair.alpha.stats->suspended.load());
}

// The return of the peer lets an answer go, whose range lets the next write begin: not before the
// exchange of the bitmaps has.
TEST(a_write_that_waits_for_an_answered_one_begins_after_the_peer_is_back) {
  Pair pair;
  CHECK_EQ(pair.alpha.attach(0, 0), 0);
  CHECK_EQ(pair.beta.attach(), 0);
  pair.alpha.make_up_to_date(kUuid);
  CHECK(pair.begin_resync());
  CHECK(pair.world.run_until([&] { return pair.alpha.events.finished == 1; }, 600'000'000));
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  pair.beta.engine->close_link(0, pair.beta.incarnation);
  const std::vector<std::byte> older(65536, std::byte{7});
  const std::vector<std::byte> newer(65536, std::byte{8});
  client.request(1, 65536, 65536, older.data());
  for (uint32_t i = 0; i < 8; ++i) client.request(1, 65536, 65536, newer.data());
  pair.pass(1'000'000);
  CHECK(pair.alpha.stats->suspended.load());
  CHECK(pair.begin_resync(kUuid));
  for (uint32_t i = 0; i < 9; ++i) CHECK_EQ(client.reply(), 0u);
  CHECK(pair.world.run_until([&] { return pair.alpha.events.finished == 2; }, 600'000'000));
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK(pair.world.read_back(pair.beta.disk, 65536, 1)[0] == std::byte{8});
}

// Answers that waited for a UUID kept a close from ever ending.
TEST(a_suspended_device_closes) {
  Pair pair;
  CHECK_EQ(pair.alpha.attach(0, 0), 0);
  pair.alpha.make_up_to_date(kUuid);
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  const std::vector<std::byte> data(4096, std::byte{7});
  client.request(1, 8192, 4096, data.data());
  client.request(3, 0, 0, nullptr);
  pair.pass(100'000);
  CHECK(pair.alpha.stats->suspended.load());
  CHECK_EQ(pair.alpha.close(), 0);
  CHECK_EQ(pair.alpha.attach(), 0);
  CHECK_EQ(pair.alpha.stats->hot_extents.load(), 0u);
}

// Each attach made everything out of sync again.
TEST(an_interrupted_full_resync_goes_on_after_a_crash) {
  Pair pair;
  CHECK(pair.attach(1));
  CHECK(pair.begin_resync());
  pair.slow(pair.beta, 50'000);
  CHECK(pair.world.run_until([&] { return pair.beta.out_of_sync(0) < 20u << 20; }, 60'000'000));
  pair.beta.crash(io::SimCrash::kProcess);
  CHECK_EQ(pair.beta.attach(1), 0);
  CHECK(pair.beta.out_of_sync(0) > 0);
  CHECK(pair.beta.out_of_sync(0) < 48u << 20);
}

// A Secondary that heard of a generation from the Primary believed, once promoted, that it needed
// one of its own, and found no reason for it.
TEST(a_secondary_that_followed_a_generation_can_be_promoted) {
  io::SimWorld world(5);
  Copy alpha(world, "alpha", {"beta", "gamma"});
  Copy beta(world, "beta", {"alpha", "gamma"});
  CHECK_EQ(alpha.attach(), 0);
  CHECK_EQ(beta.attach(), 0);
  alpha.make_up_to_date(kUuid);
  engine::MetadataPatch same;
  same.consistent = same.was_up_to_date = true;
  same.current_uuid = kUuid;
  same.peers.resize(2);
  for (uint32_t slot = 0; slot < 2; ++slot) {
    same.peers[slot].slot = slot;
    same.peers[slot].full_sync = false;
  }
  CHECK_EQ(alpha.patch(same), 0);
  CHECK_EQ(beta.patch(same), 0);
  CHECK(fixture::connect(world, alpha, 0, beta, 0));
  CHECK_EQ(fixture::establish(alpha, 0, ResyncRole::kNone, kUuid), 0);
  CHECK_EQ(fixture::establish(beta, 0, ResyncRole::kNone, kUuid), 0);
  Client client(alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.write(0, std::byte{1}, 4096), 0u);
  const uint64_t uuid = alpha.engine->superblock().current_uuid;
  CHECK(uuid != kUuid);
  CHECK_EQ(beta.engine->superblock().current_uuid, uuid);
  CHECK(beta.out_of_sync(1) > 0);
  Done withdrawn;
  alpha.engine->withdraw(true, withdrawn.completion);
  CHECK(alpha.wait(withdrawn));
  Client second(beta);
  CHECK(second.serve_and_connect());
  CHECK_EQ(second.write(0, std::byte{2}, 4096), 0u);
  CHECK(fixture::same_data(world, alpha, beta));
}

// Zeroes that must be durable are flushed: when that fails, the disk is detached.
TEST(a_failed_flush_of_zeroes_detaches) {
  Pair pair;
  CHECK_EQ(pair.alpha.attach(), 0);
  pair.alpha.make_up_to_date(kUuid);
  Client client(pair.alpha);
  CHECK(client.serve_and_connect());
  CHECK_EQ(client.trim(0, 65536), 0u);
  pair.world.behaviour(pair.alpha.disk).flush_error = -EIO;
  std::byte request[28] = {};
  store_be32(request, 0x25609513);
  store_be16(request + 4, 1);  // FUA
  store_be16(request + 6, 6);  // WRITE_ZEROES
  store_be32(request + 24, 65536);
  CHECK(client.send(request, sizeof request));
  CHECK_EQ(client.reply(), 5u);
  CHECK(pair.alpha.events.disk_lost);
}

// More zeroes than writes in flight: those in the backlog were never answered after a failure.
TEST(what_waits_in_line_is_refused_when_the_disk_fails) {
  Pair pair;
  CHECK_EQ(pair.alpha.attach(), 0);
  pair.alpha.make_up_to_date(kUuid);
  Client first(pair.alpha);
  CHECK(first.serve_and_connect());
  CHECK_EQ(first.trim(0, 65536), 0u);
  pair.slow(pair.alpha, 100'000);
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(pair.alpha));
    CHECK(clients.back()->connect(first.listener));
    for (uint32_t n = 0; n < 250; ++n) clients.back()->request(4, 4096 * n, 512, nullptr);
  }
  pair.world.behaviour(pair.alpha.disk).write_error = -EIO;
  pair.world.behaviour(pair.alpha.disk).flush_error = -EIO;
  first.request(3, 0, 0, nullptr);
  CHECK_EQ(first.reply(), 5u);
  CHECK(pair.alpha.events.disk_lost);
  CHECK_EQ(pair.alpha.close(), 0);
}

// What came while a device went down was begun, and cut off by its end.
TEST(a_closing_device_begins_nothing_new) {
  Pair pair;
  CHECK(pair.in_sync());
  for (const uint64_t later_us : {0, 500, 1500, 3000}) {
    if (pair.alpha.engine == nullptr) CHECK_EQ(pair.alpha.attach(), 0);
    Done closed;
    Done connected;
    Done served;
    Done patched;
    pair.alpha.engine->close(closed.completion);
    pair.pass(later_us);
    const auto [mine, other] = pair.world.connect_pair(pair.alpha.io, pair.beta.io);
    pair.alpha.engine->connect_link(0, mine, ++pair.alpha.incarnation, connected.completion);
    pair.alpha.engine->serve(pair.world.listen(pair.alpha.io), "r0", served.completion);
    engine::MetadataPatch wanted;
    wanted.outdated = true;
    pair.alpha.engine->update_metadata(wanted, patched.completion);
    CHECK(pair.alpha.wait(closed));
    CHECK_EQ(closed.error, 0);
    CHECK(connected.error > 0);
    CHECK(served.error > 0);
    CHECK(patched.error > 0);
    pair.beta.io.close_socket(other);
    pair.alpha.engine.reset();
  }
}

// A generation without an identifier closed its connection and left the frame counted as being
// applied: the next connection never opened, and a close never ended.
TEST(a_bad_generation_costs_its_connection_only) {
  Pair pair;
  CHECK(pair.in_sync());
  pair.beta.engine->close_link(0, pair.beta.incarnation);
  pair.pass(10'000);
  io::SimIo stranger(pair.world);
  const auto [theirs, ours] = pair.world.connect_pair(stranger, pair.beta.io);
  Done connected;
  pair.beta.engine->connect_link(0, ours, ++pair.beta.incarnation, connected.completion);
  CHECK(pair.beta.wait(connected));
  CHECK_EQ(fixture::establish(pair.beta, 0, ResyncRole::kNone, kUuid), 0);
  const uint32_t closed = pair.beta.events.closed;
  peer::FrameHeader header;
  header.type = peer::FrameType::kNewUuid;
  header.sequence = 1;
  std::byte bytes[peer::kFrameHeaderBytes];
  peer::encode(header, bytes);
  io::Op sent;
  sent.complete = [](io::Op&, int32_t) {};
  iovec part{bytes, sizeof bytes};
  stranger.send(theirs, &part, 1, sent);
  CHECK(pair.world.run_until([&] { return pair.beta.events.closed > closed; }, 10'000'000));
  CHECK_EQ(pair.beta.engine->superblock().current_uuid, kUuid);
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  CHECK_EQ(pair.beta.close(), 0);
}

// A write came in part before this side was established. What was received after that went into
// the stream, was counted as the rest of the payload, and the disk got what the buffer held
// before.
TEST(a_write_that_comes_while_it_is_established_is_whole) {
  constexpr uint32_t kLength = 65536;
  Pair pair;
  CHECK(pair.in_sync());
  pair.beta.engine->close_link(0, pair.beta.incarnation);
  pair.pass(10'000);
  io::SimIo stranger(pair.world);
  const auto [theirs, ours] = pair.world.connect_pair(stranger, pair.beta.io);
  Done connected;
  pair.beta.engine->connect_link(0, ours, ++pair.beta.incarnation, connected.completion);
  CHECK(pair.beta.wait(connected));
  peer::FrameHeader header;
  header.type = peer::FrameType::kData;
  header.sequence = 1;
  header.payload_bytes = kLength;
  std::vector<std::byte> frame(peer::kFrameHeaderBytes + kLength, std::byte{9});
  peer::encode(
      header, std::span<std::byte, peer::kFrameHeaderBytes>(frame.data(), peer::kFrameHeaderBytes));
  const auto send = [&](size_t from, size_t to) {
    io::Op sent;
    sent.complete = [](io::Op&, int32_t) {};
    iovec part{frame.data() + from, to - from};
    stranger.send(theirs, &part, 1, sent);
    pair.pass(10'000);
  };
  send(0, 1000);
  CHECK_EQ(fixture::establish(pair.beta, 0, ResyncRole::kNone, kUuid), 0);
  send(1000, 50'000);
  send(50'000, frame.size());
  const std::vector<std::byte> wanted(kLength, std::byte{9});
  CHECK(pair.world.read_back(pair.beta.disk, 0, kLength) == wanted);
}
