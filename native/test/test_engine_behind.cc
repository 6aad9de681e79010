// A Primary whose own copy is behind (SyncTarget) and that loses its source: nothing is
// acknowledged, nothing stale is read, and everything goes on when the source is there again.
#include "check.h"
#include "engine_fixture.h"

using namespace blkmirror;
using engine::ResyncRole;
using fixture::Client;
using fixture::Copy;

namespace {

constexpr uint64_t kOldUuid = 0x1111111111111110;
constexpr uint64_t kSourceUuid = 0x2222222222222220;
constexpr uint32_t kNbdEio = 5;
constexpr uint64_t kSynced = 0;           // beta's data is there before the resync stops
constexpr uint64_t kLacking = 32u << 20;  // and here it is not

// Alpha is Primary and resyncs from beta, which alone has the data at kLacking.
struct Behind {
  io::SimWorld world;
  Copy alpha;
  Copy beta;
  Client client;
  bool compare = false;

  explicit Behind(engine::Protocol protocol = engine::Protocol::kC)
      : world(7), alpha(world, "alpha", {"beta"}), beta(world, "beta", {"alpha"}), client(alpha) {
    alpha.protocol = beta.protocol = protocol;
  }

  void fill(Copy& copy, uint64_t offset, uint8_t fill) {
    const std::vector<std::byte> data(65536, std::byte{fill});
    world.disk(copy.disk).write(offset, data.data(), 65536, true);
  }
  bool begin() {
    if (alpha.attach() != 0 || beta.attach() != 0) return false;
    alpha.make_up_to_date(kOldUuid);
    beta.make_up_to_date(kSourceUuid);
    fill(alpha, kLacking, 0xee);
    for (const uint64_t offset : {kSynced, kLacking}) fill(beta, offset, 7);
    engine::MetadataPatch patch;
    patch.consistent = false;
    if (alpha.patch(patch) != 0) return false;
    engine::MetadataPatch marks;
    marks.peers.push_back({});
    marks.peers[0].full_sync = true;
    marks.peers[0].bitmap_uuid = kOldUuid;
    if (beta.patch(marks) != 0 || !join()) return false;
    const bool copied = world.run_until(
        [&] { return alpha.stats->peers[0].resynced_bytes >= 8u << 20; }, 600'000'000);
    alpha.engine->pause_resync(0, true);
    world.run_until([] { return false; }, 2'000'000);
    return copied && client.serve_and_connect();
  }
  // Alpha has let its disk go: beta serves its clients.
  bool join_diskless() {
    if (!fixture::connect(world, alpha, 0, beta, 0)) return false;
    engine::EstablishPlan plan;
    plan.peer_diskless = true;
    plan.peer_current_uuid = kSourceUuid;
    fixture::Done done;
    beta.engine->establish(0, beta.incarnation, plan, done.completion);
    beta.wait(done);
    return done.error == 0 && fixture::establish(alpha, 0, ResyncRole::kNone, kSourceUuid) == 0;
  }
  bool join() {
    if (!fixture::connect(world, alpha, 0, beta, 0)) return false;
    const uint64_t uuid = beta.engine->superblock().current_uuid;
    const uint32_t started = alpha.events.started;
    if (fixture::establish(alpha, 0, ResyncRole::kTarget, uuid, compare) != 0) return false;
    if (fixture::establish(beta, 0, ResyncRole::kSource, kOldUuid) != 0) return false;
    return world.run_until([&] { return alpha.events.started > started; }, 10'000'000);
  }
  // Both ends know it, and nothing of what is under way arrives.
  void cut() {
    world.set_partition(alpha.io, beta.io, true);
    alpha.engine->close_link(0, alpha.incarnation);
    beta.engine->close_link(0, beta.incarnation);
    world.run_until([] { return false; }, 100'000);
    world.set_partition(alpha.io, beta.io, false);
  }
  bool finish() {
    alpha.engine->pause_resync(0, false);
    return world.run_until([&] { return alpha.events.finished > 0; }, 600'000'000);
  }
  uint64_t uuid(Copy& copy) { return copy.engine->superblock().current_uuid; }
};

std::byte first(const std::vector<std::byte>& data) {
  return data.empty() ? std::byte{0} : data[0];
}

}  // namespace

TEST(a_primary_without_its_source_waits_and_goes_on) {
  Behind pair;
  CHECK(pair.begin());
  Client& client = pair.client;
  CHECK_EQ(client.write(kSynced + 4096, std::byte{1}, 4096), 0u);
  CHECK(first(client.read(kLacking, 4096)) == std::byte{7});
  pair.cut();
  // What is in sync here can be read, and nothing is acknowledged.
  CHECK(first(client.read(kSynced, 4096)) == std::byte{7});
  CHECK(client.try_request(1, 8192, std::vector<std::byte>(4096, std::byte{2}), 1'000'000));
  CHECK(!client.try_reply(1'000'000));
  CHECK(pair.alpha.stats->suspended);
  CHECK_EQ(pair.alpha.stats->exposed_uuid.load(), kSourceUuid);
  CHECK(pair.join());
  CHECK_EQ(client.finish_reply(), 0u);
  CHECK(!pair.alpha.stats->suspended);
  CHECK_EQ(pair.alpha.stats->exposed_uuid.load(), 0u);
  // No generation began on either side: nothing parted.
  CHECK_EQ(pair.uuid(pair.alpha), kOldUuid);
  CHECK_EQ(pair.uuid(pair.beta), kSourceUuid);
  CHECK(pair.finish());
  CHECK_EQ(pair.uuid(pair.alpha), kSourceUuid);
  CHECK(first(client.read(8192, 4096)) == std::byte{2});
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
}

TEST(a_read_that_needs_the_source_waits_for_it) {
  Behind pair;
  CHECK(pair.begin());
  pair.cut();
  pair.client.request(0, kLacking, 4096, nullptr);
  CHECK(!pair.client.try_reply(1'000'000));
  CHECK(pair.join());
  CHECK_EQ(pair.client.finish_reply(), 0u);
}

TEST(writes_that_waited_are_executed_in_their_order) {
  for (const auto protocol : {engine::Protocol::kA, engine::Protocol::kB, engine::Protocol::kC}) {
    Behind pair(protocol);
    CHECK(pair.begin());
    pair.world.set_partition(pair.alpha.io, pair.beta.io, true);
    // In flight at the loss, on one block, with a flush between.
    for (const uint8_t fill : {3, 4}) {
      const std::vector<std::byte> data(8192, std::byte{fill});
      pair.client.request(1, kLacking + 4096, 8192, data.data());
      pair.client.request(3, 0, 0, nullptr);
    }
    // Not even in protocol A does the own copy count.
    CHECK(!pair.client.try_reply(500'000));
    pair.cut();
    CHECK(pair.join());
    CHECK_EQ(pair.client.finish_reply(), 0u);
    for (int i = 0; i < 3; ++i) CHECK_EQ(pair.client.reply(), 0u);
    CHECK(first(pair.client.read(kLacking + 4096, 4096)) == std::byte{4});
    CHECK(pair.finish());
    CHECK(first(pair.client.read(kLacking + 4096, 4096)) == std::byte{4});
    CHECK(first(pair.client.read(kLacking, 4096)) == std::byte{7});
    CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  }
}

// What a resync and reads hold at the source until the target has spoken leaves room for the writes
// that come before what it says.
TEST(a_source_of_many_blocks_and_reads_takes_writes) {
  constexpr uint32_t kPiece = limits::kPieceBytes;
  Behind pair;
  pair.compare = true;
  CHECK(pair.begin());
  const uint64_t next = pair.alpha.stats->peers[0].resynced_bytes;
  pair.world.behaviour(pair.alpha.disk).minimum_us = 200'000;
  pair.world.behaviour(pair.alpha.disk).maximum_us = 200'000;
  pair.alpha.engine->pause_resync(0, false);
  pair.world.run_until([] { return false; }, 100'000);
  Client reader(pair.alpha);
  CHECK(reader.connect(pair.client.listener));
  constexpr uint32_t kReads = 8;
  for (uint32_t i = 0; i < kReads; ++i) {
    reader.request(0, next + uint64_t{i} * kPiece, kPiece, nullptr);
  }
  pair.world.run_until([] { return false; }, 20'000);
  const std::vector<std::byte> data(kPiece, std::byte{5});
  CHECK(pair.client.try_request(1, kSynced, data, 1'000'000));
  CHECK(pair.client.try_reply(2'000'000));
  std::vector<std::byte> read(kPiece);
  for (uint32_t i = 0; i < kReads; ++i) {
    CHECK_EQ(reader.reply(), 0u);
    CHECK(reader.receive(read.data(), kPiece));
  }
  CHECK_EQ(pair.alpha.events.closed, 0u);
}

TEST(without_a_source_for_long_requests_fail) {
  Behind pair;
  CHECK(pair.begin());
  pair.cut();
  const uint64_t before = pair.world.now_us();
  CHECK_EQ(pair.client.write(kSynced, std::byte{1}, 4096), kNbdEio);
  CHECK(pair.world.now_us() - before >= 5'000'000);
  CHECK_EQ(pair.client.flush(), kNbdEio);
  CHECK(pair.client.read(kLacking, 4096).empty());
  // What the failed write left here is not read for data: the source has not got it.
  CHECK(first(pair.client.read(kSynced + 8192, 4096)) == std::byte{7});
  CHECK_EQ(pair.uuid(pair.alpha), kOldUuid);
}

TEST(a_source_that_went_on_alone_is_refused) {
  Behind pair;
  CHECK(pair.begin());
  pair.cut();
  engine::MetadataPatch patch;
  patch.current_uuid = 0x3333333333333330;
  CHECK_EQ(pair.beta.patch(patch), 0);
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  const uint64_t uuid = pair.uuid(pair.beta);
  CHECK_EQ(fixture::establish(pair.alpha, 0, ResyncRole::kTarget, uuid), ESTALE);
}

TEST(an_administrator_takes_what_is_here) {
  Behind pair;
  CHECK(pair.begin());
  pair.cut();
  CHECK(pair.client.try_request(1, 4096, std::vector<std::byte>(4096, std::byte{5}), 1'000'000));
  CHECK(!pair.client.try_reply(500'000));
  engine::MetadataPatch patch;
  patch.consistent = patch.was_up_to_date = true;
  patch.current_uuid = 0x3333333333333330;
  patch.add_history.push_back(kOldUuid);
  CHECK_EQ(pair.alpha.patch(patch), 0);
  CHECK_EQ(pair.client.finish_reply(), 0u);
  CHECK(first(pair.client.read(kLacking, 4096)) == std::byte{0xee});
  // Acknowledged only under a generation that the other has not.
  CHECK(pair.uuid(pair.alpha) != 0x3333333333333330);
  CHECK_EQ(pair.alpha.engine->superblock().peers[0].bitmap_uuid, 0x3333333333333330u);
}

TEST(a_disk_that_fails_while_waiting_leaves_the_source_to_serve) {
  Behind pair;
  CHECK(pair.begin());
  CHECK_EQ(pair.client.write(kSynced + 4096, std::byte{1}, 4096), 0u);
  pair.cut();
  CHECK_EQ(pair.alpha.detach(true), 0);
  CHECK_EQ(pair.alpha.stats->exposed_uuid.load(), kSourceUuid);
  CHECK(pair.client.try_request(1, 8192, std::vector<std::byte>(4096, std::byte{6}), 1'000'000));
  CHECK(pair.join_diskless());
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK(first(pair.client.read(kLacking, 4096)) == std::byte{7});
}

// What its clients wrote meanwhile is not marked on the disk that is attached again.
TEST(a_disk_attached_again_is_read_once_its_source_is_there) {
  Behind pair;
  CHECK(pair.begin());
  CHECK_EQ(pair.alpha.detach(true), 0);
  CHECK(pair.join_diskless());
  CHECK_EQ(pair.client.write(kSynced + 8192, std::byte{6}, 4096), 0u);
  CHECK_EQ(pair.alpha.attach_again(), 0);
  pair.client.request(0, kSynced + 8192, 4096, nullptr);
  CHECK(!pair.client.try_reply(500'000));
  CHECK(pair.join());
  CHECK_EQ(pair.client.finish_reply(), 0u);
  std::vector<std::byte> data(4096);
  CHECK(pair.client.receive(data.data(), 4096));
  CHECK(first(data) == std::byte{6});
}
