// What must hold after each single event of an operation: a world is made anew and stopped one
// event later, from the operation's first event to its last, and then nodes lose their power, their
// connection, or are written to.
#include <cerrno>

#include "check.h"
#include "engine_fixture.h"
#include "sim/engine_pages.h"

using namespace blkmirror;
using engine::ResyncRole;
using fixture::Client;
using fixture::Copy;
using fixture::Done;
using fixture::Fresh;

namespace {

constexpr uint64_t kUuid = 0x4444444444444440;
constexpr uint32_t kBlock = limits::kBlockBytes;
constexpr uint32_t kMostEvents = 20'000;
constexpr uint32_t kEventsAfter = 20;  // of an operation that is over

// Every round leaves engines behind that have crashed.
[[maybe_unused]] const bool kUnpopulated = (sim::use_engine_pages(), true);

// Two copies that are in sync, without a connection.
struct Round {
  io::SimWorld world{7};
  Copy alpha;
  Copy beta;

  explicit Round(Fresh fresh = Fresh::kFormatted, std::vector<std::string> third = {})
      : alpha(world, "alpha", with("beta", third), fresh),
        beta(world, "beta", with("alpha", third), fresh) {}

  static std::vector<std::string> with(const char* other, const std::vector<std::string>& third) {
    std::vector<std::string> names = {other};
    names.insert(names.end(), third.begin(), third.end());
    return names;
  }

  bool attach() {
    if (alpha.attach() != 0 || beta.attach() != 0) return false;
    engine::MetadataPatch same;
    same.consistent = same.was_up_to_date = true;
    same.current_uuid = kUuid;
    same.peers.resize(alpha.peers.size());
    for (uint32_t slot = 0; slot < same.peers.size(); ++slot) {
      same.peers[slot].slot = slot;
      same.peers[slot].full_sync = false;
    }
    return alpha.patch(same) == 0 && beta.patch(same) == 0;
  }
  bool connect() { return fixture::connect(world, alpha, 0, beta, 0); }
  bool establish_in_sync() {
    return connect() && fixture::establish(alpha, 0, ResyncRole::kNone, kUuid) == 0 &&
           fixture::establish(beta, 0, ResyncRole::kNone, kUuid) == 0;
  }
  // alpha becomes the source of beta.
  bool begin_resync(bool compare = false) {
    engine::MetadataPatch behind;
    behind.consistent = false;
    finished_before_ = alpha.events.finished;
    if (beta.patch(behind) != 0 || !connect()) return false;
    return fixture::establish(alpha, 0, ResyncRole::kSource, uuid(beta)) == 0 &&
           fixture::establish(beta, 0, ResyncRole::kTarget, uuid(alpha), compare) == 0;
  }
  bool resync_over() const { return alpha.events.finished > finished_before_; }
  bool finish_resync() {
    return world.run_until([&] { return resync_over(); }, 60'000'000);
  }
  // A copy is Primary for one write that is flushed.
  bool write_alone(Copy& copy, uint64_t offset, uint32_t bytes, std::byte fill) {
    Client client(copy);
    if (!client.serve_and_connect()) return false;
    const bool written = client.write(offset, fill, bytes) == 0 && client.flush() == 0;
    client.io.shutdown(client.socket);
    Done withdrawn;
    copy.engine->withdraw(true, withdrawn.completion);
    return copy.wait(withdrawn) && withdrawn.error == 0 && written;
  }
  void run(uint32_t events) {
    pass(0);
    while (events > 0 && world.step()) events -= 1;
  }
  void pass(uint64_t us) {
    world.run_until([] { return false; }, us);
  }
  bool same(uint64_t offset, uint32_t length) {
    return world.read_back(alpha.disk, offset, length) ==
           world.read_back(beta.disk, offset, length);
  }
  static uint64_t uuid(const Copy& copy) { return copy.engine->superblock().current_uuid; }
  static bool consistent(const Copy& copy) {
    return (copy.engine->superblock().flags & meta::kConsistent) != 0;
  }

 private:
  uint32_t finished_before_ = 0;
};

// A client's write to a Primary that is stopped on its way.
struct Writing {
  Client client;
  explicit Writing(Copy& primary) : client(primary) {}
  ~Writing() { client.copy.world.crash(client.io, io::SimCrash::kProcess); }
  void begin(uint64_t offset, uint32_t length, std::byte fill) {
    client.try_request(1, offset, std::vector<std::byte>(length, fill), 0);
    client.try_reply(0);
  }
  bool acknowledged() const { return client.received > 0; }
};

// round(events, over) tells whether the operation was over after so many.
template <typename Round>
void after_each_event(Round round) {
  uint32_t after = 0;
  for (uint32_t events = 0; after < kEventsAfter; ++events) {
    CHECK(events < kMostEvents);
    bool over = false;
    round(events, over);
    CHECK_OK();
    if (over) after += 1;
  }
}

}  // namespace

// Rule 10: each copy has missed what the other wrote, and before anything is copied each of them
// knows by itself what both have missed, also when they lose their power.
TEST(copying_begins_when_each_copy_knows_what_both_have_missed) {
  constexpr uint64_t kExtent = limits::kExtentBytes;
  uint32_t met = 0;
  after_each_event([&met](uint32_t events, bool& over) {
    Round round;
    CHECK(round.attach());
    CHECK(round.write_alone(round.alpha, 5 * kExtent, kBlock, std::byte{1}));
    CHECK(round.write_alone(round.beta, 3 * kExtent, kBlock, std::byte{2}));
    CHECK(round.begin_resync());
    round.run(events);
    over = round.resync_over();
    const bool begun = round.alpha.events.started + round.beta.events.started > 0;
    const bool copied = round.alpha.stats->peers[0].resynced_bytes > 0;
    for (Copy* copy : {&round.alpha, &round.beta}) {
      copy->crash(io::SimCrash::kPower);
      CHECK_EQ(copy->attach(), 0);
      // Of what it was writing itself the whole extent counts.
      if (begun && !copied) CHECK(copy->out_of_sync(0) >= kExtent + kBlock);
    }
    if (begun && !copied) met += 1;
    CHECK(round.begin_resync());
    CHECK(round.finish_resync());
    CHECK(fixture::same_data(round.world, round.alpha, round.beta));
  });
  CHECK_OK();
  CHECK(met > 0);
}

// Rule 10: a target that says it is consistent has on stable storage what its source had written.
// Where the metadata is on the same disk, its flushes include the data.
TEST(a_target_is_consistent_when_what_was_copied_is_flushed) {
  uint32_t met = 0;
  after_each_event([&met](uint32_t events, bool& over) {
    constexpr uint32_t kBytes = 32 * kBlock;
    Round round(Fresh::kExternal);
    CHECK(round.attach());
    CHECK(round.write_alone(round.alpha, 0, kBytes, std::byte{1}));
    CHECK(round.begin_resync());
    round.run(events);
    over = round.resync_over();
    round.beta.crash(io::SimCrash::kPower);
    CHECK_EQ(round.beta.attach(), 0);
    if (over) CHECK(round.consistent(round.beta));
    if (!round.consistent(round.beta)) return;
    CHECK(round.same(0, kBytes));
    met += 1;
  });
  CHECK_OK();
  CHECK(met > kEventsAfter);
}

// Rule 6: gamma misses a write; once that is acknowledged, each copy that has it is of a newer
// generation, also when it loses its power.
static void keeps_the_generation(Copy Round::*which) {
  after_each_event([which](uint32_t events, bool& over) {
    Round round(Fresh::kFormatted, {"gamma"});
    CHECK(round.attach());
    CHECK(round.establish_in_sync());
    Writing writing(round.alpha);
    CHECK(writing.client.serve_and_connect());
    writing.begin(0, kBlock, std::byte{1});
    round.run(events);
    over = writing.acknowledged();
    const uint64_t uuid = round.uuid(round.alpha);
    Copy& copy = round.*which;
    copy.crash(io::SimCrash::kPower);
    CHECK_EQ(copy.attach(), 0);
    if (!over) return;
    CHECK(uuid != kUuid);
    CHECK_EQ(round.uuid(copy), uuid);
  });
}

TEST(a_primary_that_acknowledged_keeps_the_new_generation) { keeps_the_generation(&Round::alpha); }

TEST(a_secondary_of_an_acknowledged_write_keeps_the_new_generation) {
  keeps_the_generation(&Round::beta);
}

// Rule 9: what came on the old connection is on the disk before the new one opens.
TEST(a_new_connection_opens_when_what_came_on_the_old_one_is_written) {
  uint32_t met = 0;
  after_each_event([&met](uint32_t events, bool& over) {
    constexpr uint32_t kBytes = 64 * kBlock;
    Round round;
    CHECK(round.attach());
    CHECK(round.establish_in_sync());
    Writing writing(round.alpha);
    CHECK(writing.client.serve_and_connect());
    io::SimDiskBehaviour& disk = round.world.behaviour(round.beta.disk);
    disk.minimum_us = 5'000;
    disk.maximum_us = 50'000;
    writing.begin(0, kBytes, std::byte{1});
    round.run(events);
    over = writing.acknowledged();
    const auto before = round.world.read_back(round.beta.disk, 0, kBytes);
    CHECK(round.connect());
    const auto opened = round.world.read_back(round.beta.disk, 0, kBytes);
    round.pass(200'000);
    CHECK(round.world.read_back(round.beta.disk, 0, kBytes) == opened);
    if (opened != before) met += 1;
  });
  CHECK_OK();
  CHECK(met > 0);
}

// Rule 9: what was agreed on a connection that is gone is nothing on the next one.
TEST(a_plan_of_an_older_connection_is_refused) {
  after_each_event([](uint32_t events, bool& over) {
    Round round;
    CHECK(round.attach());
    CHECK(round.connect());
    const uint32_t older = round.alpha.incarnation;
    const auto [mine, other] = round.world.connect_pair(round.alpha.io, round.beta.io);
    Done opened;
    Done opened_there;
    round.alpha.engine->connect_link(0, mine, ++round.alpha.incarnation, opened.completion);
    round.beta.engine->connect_link(0, other, ++round.beta.incarnation, opened_there.completion);
    round.run(events);
    over = opened.done && opened_there.done;
    engine::EstablishPlan plan;
    plan.peer_current_uuid = kUuid;
    Done established;
    round.alpha.engine->establish(0, older, plan, established.completion);
    CHECK(round.alpha.wait(established));
    CHECK_EQ(established.error, ESTALE);
    round.alpha.engine->close_link(0, older);
    CHECK(round.alpha.wait(opened));
    CHECK(round.beta.wait(opened_there));
    CHECK_EQ(fixture::establish(round.alpha, 0, ResyncRole::kNone, kUuid), 0);
  });
}

// Rules 5 and 12: nothing is written to a block from where it was read at the source until the
// target has written it, or compared it and found it the same.
static void survives_a_write_at_any_moment(bool compare) {
  after_each_event([compare](uint32_t events, bool& over) {
    constexpr uint32_t kBytes = 16 * kBlock;
    Round round;
    CHECK(round.attach());
    CHECK(round.write_alone(round.alpha, 0, kBytes, std::byte{1}));
    CHECK(round.write_alone(round.beta, kBytes, kBlock, std::byte{3}));
    Writing writing(round.alpha);
    CHECK(writing.client.serve_and_connect());
    // What is written arrives, and is written there, while the source reads.
    io::SimDiskBehaviour& disk = round.world.behaviour(round.alpha.disk);
    disk.minimum_us = 500;
    disk.maximum_us = 3'000;
    CHECK(round.begin_resync(compare));
    round.run(events);
    over = round.resync_over();
    writing.begin(4 * kBlock, kBlock, std::byte{2});
    CHECK(round.finish_resync());
    CHECK_EQ(writing.client.finish_reply(), 0u);
    CHECK(round.world.read_back(round.alpha.disk, 4 * kBlock, 1)[0] == std::byte{2});
    CHECK(round.same(0, kBytes + kBlock));
  });
}

TEST(a_write_at_any_moment_of_a_resync_reaches_both_copies) {
  survives_a_write_at_any_moment(false);
}

TEST(a_write_at_any_moment_of_a_compared_resync_reaches_both_copies) {
  survives_a_write_at_any_moment(true);
}
