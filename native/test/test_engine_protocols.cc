// Protocols A, B and C over the simulated world: what an acknowledgement waits for, in which order
// a Secondary applies what it received, and what is left when a node goes in the middle.
#include <algorithm>
#include <cerrno>
#include <iterator>

#include "check.h"
#include "engine_fixture.h"

using namespace blkmirror;
using engine::Protocol;
using fixture::Client;
using fixture::Copy;
using fixture::Done;

namespace {

constexpr uint64_t kUuid = 0x1111111111111110;
constexpr uint32_t kMiB = 1u << 20;
constexpr uint32_t kExtent = limits::kExtentBytes;
constexpr Protocol kAll[] = {Protocol::kA, Protocol::kB, Protocol::kC};

struct Pair {
  io::SimWorld world;
  Copy alpha;
  Copy beta;
  Client client;
  Pair(Protocol protocol, uint64_t seed)
      : world(seed),
        alpha(world, "alpha", {"beta"}),
        beta(world, "beta", {"alpha"}),
        client(alpha) {
    alpha.protocol = beta.protocol = protocol;
  }

  // Both attached, in sync, and alpha serves the client.
  bool start(uint64_t al_extents = 0) {
    if (alpha.attach(al_extents) != 0 || beta.attach() != 0) return false;
    alpha.make_up_to_date(kUuid);
    return resync() && client.serve_and_connect();
  }
  bool resync() {
    if (!fixture::connect(world, alpha, 0, beta, 0)) return false;
    const uint32_t before = alpha.events.finished;
    const uint64_t peer = beta.engine->superblock().current_uuid;
    if (fixture::establish(alpha, 0, engine::ResyncRole::kSource, peer) != 0) return false;
    const meta::Superblock& source = alpha.engine->superblock();
    if (fixture::establish(beta, 0, engine::ResyncRole::kTarget, source.current_uuid, false,
                           source.write_sequence) != 0) {
      return false;
    }
    return world.run_until([&] { return alpha.events.finished > before; }, 600'000'000);
  }
  // In sync again after a clean end of beta, which leaves nothing hot there.
  bool restart_beta() {
    if (beta.close() != 0 || beta.attach() != 0) return false;
    pass(100'000);
    if (!fixture::connect(world, alpha, 0, beta, 0)) return false;
    return fixture::establish(alpha, 0, engine::ResyncRole::kNone, kUuid) == 0 &&
           fixture::establish(beta, 0, engine::ResyncRole::kNone, kUuid) == 0;
  }
  void pass(uint64_t us) {
    world.run_until([] { return false; }, us);
  }
  bool has(Copy& copy, uint64_t offset, std::byte fill, uint32_t length = 4096) {
    for (const std::byte byte : world.read_back(copy.disk, offset, length)) {
      if (byte != fill) return false;
    }
    return true;
  }
  // A loss of power keeps or drops each sector for itself.
  bool has_some(Copy& copy, uint64_t offset, std::byte fill) {
    const auto bytes = world.read_back(copy.disk, offset, 4096);
    return std::find(bytes.begin(), bytes.end(), fill) != bytes.end();
  }
  // The time from the request to its answer.
  uint64_t timed_write(uint64_t offset, std::byte fill) {
    const uint64_t before = world.now_us();
    return client.write(offset, fill, 4096) == 0 ? world.now_us() - before : UINT64_MAX;
  }
  void write_two_extents() {
    for (const uint64_t extent : {0, 1}) {
      CHECK_EQ(client.write(extent * kExtent, std::byte{1}, 4096), 0u);
    }
    CHECK_EQ(alpha.stats->hot_extents.load(), 2u);
  }
  // Asked for, and not waited for.
  bool ask(Client& from, uint64_t offset, std::byte fill) {
    const std::vector<std::byte> data(4096, fill);
    const bool taken = from.try_request(1, offset, data, 100'000);
    pass(50'000);
    return taken;
  }
  void slow_disk(Copy& copy, uint32_t least_us, uint32_t most_us) {
    world.behaviour(copy.disk).minimum_us = least_us;
    world.behaviour(copy.disk).maximum_us = most_us;
  }
  void cut(bool partitioned) { world.set_partition(alpha.io, beta.io, partitioned); }
};

}  // namespace

TEST(c_waits_for_the_write_of_the_peer) {
  Pair pair(Protocol::kC, 1);
  CHECK(pair.start());
  CHECK(pair.timed_write(0, std::byte{1}) < 100'000);
  pair.slow_disk(pair.beta, 1'000'000, 1'000'000);
  CHECK(pair.timed_write(4096, std::byte{2}) >= 1'000'000);
  CHECK(pair.has(pair.beta, 4096, std::byte{2}));
}

TEST(b_waits_for_the_receipt_and_not_for_the_write) {
  Pair pair(Protocol::kB, 2);
  CHECK(pair.start());
  CHECK(pair.timed_write(0, std::byte{1}) < 100'000);
  pair.slow_disk(pair.beta, 1'000'000, 1'000'000);
  CHECK(pair.timed_write(4096, std::byte{2}) < 100'000);
  CHECK(!pair.has(pair.beta, 4096, std::byte{2}));
  // Received is safe from what happens to the Primary.
  pair.alpha.crash(io::SimCrash::kPower);
  pair.pass(2'000'000);
  CHECK(pair.has(pair.beta, 4096, std::byte{2}));
}

TEST(b_waits_for_a_peer_that_receives_nothing) {
  Pair pair(Protocol::kB, 3);
  CHECK(pair.start());
  pair.cut(true);
  CHECK(pair.timed_write(0, std::byte{1}) >= 5'000'000);
  CHECK_EQ(pair.alpha.out_of_sync(0), 4096u);
  CHECK(pair.alpha.engine->superblock().current_uuid != kUuid);
}

TEST(a_waits_for_the_send_buffer_only) {
  Pair pair(Protocol::kA, 4);
  CHECK(pair.start());
  CHECK(pair.timed_write(0, std::byte{1}) < 100'000);
  pair.cut(true);
  CHECK(pair.timed_write(4096, std::byte{2}) < 100'000);
  // The same block again: nothing waits for the peer either.
  CHECK(pair.timed_write(4096, std::byte{3}) < 100'000);
  CHECK_EQ(pair.client.trim(64 * 4096, 4096), 0u);
  CHECK_EQ(pair.client.flush(), 0u);
  CHECK(!pair.has(pair.beta, 4096, std::byte{2}));
  CHECK_EQ(pair.alpha.out_of_sync(0), 0u);
  pair.cut(false);
  pair.pass(1'000'000);
  CHECK(pair.has(pair.beta, 4096, std::byte{3}));
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  CHECK_EQ(pair.alpha.events.closed, 0u);
}

TEST(what_a_lost_peer_has_not_reported_gets_its_bits_in_every_protocol) {
  for (const Protocol protocol : {Protocol::kA, Protocol::kB}) {
    Pair pair(protocol, 5);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 3'000'000, 3'000'000);
    for (uint32_t i = 0; i < 3; ++i) CHECK_EQ(pair.client.write(i * kMiB, std::byte{7}, 8192), 0u);
    CHECK_EQ(pair.alpha.out_of_sync(0), 0u);
    pair.beta.crash(io::SimCrash::kPower);
    CHECK_EQ(pair.client.write(9 * kMiB, std::byte{8}, 4096), 0u);
    CHECK_EQ(pair.alpha.out_of_sync(0), 3u * 8192 + 4096);
    CHECK(pair.alpha.engine->superblock().current_uuid != kUuid);
    pair.slow_disk(pair.beta, 20, 200);
    CHECK_EQ(pair.beta.attach(), 0);
    CHECK(pair.resync());
    CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  }
}

// The page of the log takes a flush to be durable: before that the data is on no disk, and none of
// it is sent.
TEST(no_data_is_written_before_its_extent_is_hot) {
  for (const bool here : {true, false}) {
    Pair pair(Protocol::kC, 11);
    CHECK(pair.start());
    CHECK(pair.restart_beta());
    CHECK_EQ(pair.alpha.stats->hot_extents + pair.beta.stats->hot_extents, 0u);
    Copy& slow = here ? pair.alpha : pair.beta;
    pair.world.behaviour(slow.disk).flush_us = 1'000'000;
    CHECK(pair.ask(pair.client, 5 * kExtent, std::byte{1}));
    pair.pass(500'000);
    CHECK(!pair.has(slow, 5 * kExtent, std::byte{1}));
    CHECK(!pair.has(pair.beta, 5 * kExtent, std::byte{1}));
    CHECK_EQ(pair.client.reply(), 0u);
    CHECK(pair.has(slow, 5 * kExtent, std::byte{1}));
  }
}

// The later of two writes to one place stays, whatever disk takes long for the first.
TEST(overlapping_writes_are_done_one_after_the_other) {
  for (uint32_t run = 0; run < 2 * std::size(kAll); ++run) {
    Pair pair(kAll[run / 2], 12);
    CHECK(pair.start());
    CHECK_EQ(pair.client.write(0, std::byte{1}, 4096), 0u);
    Client second(pair.alpha);
    CHECK(second.connect(pair.client.listener));
    Copy& slow = run % 2 == 0 ? pair.alpha : pair.beta;
    pair.slow_disk(slow, 1'000'000, 1'000'000);
    CHECK(pair.ask(pair.client, 0, std::byte{2}));
    pair.slow_disk(slow, 20, 200);
    CHECK(pair.ask(second, 0, std::byte{3}));
    CHECK_EQ(pair.client.reply(), 0u);
    CHECK_EQ(second.reply(), 0u);
    pair.pass(2'000'000);
    CHECK(pair.has(pair.alpha, 0, std::byte{3}));
    CHECK(pair.has(pair.beta, 0, std::byte{3}));
  }
}

// A flush, or each write's own: in A and B a peer's may come later than the answer.
TEST(what_is_flushed_outlives_a_loss_of_power) {
  constexpr uint32_t kWrites = 8;
  for (uint32_t run = 0; run < 4 * std::size(kAll); ++run) {
    const Protocol protocol = kAll[run / 4];
    Pair pair(protocol, run + 1);
    CHECK(pair.start());
    const bool durable = run % 2 == 0;
    Copy& gone = run % 4 < 2 || protocol != Protocol::kC ? pair.alpha : pair.beta;
    for (uint32_t i = 0; i < kWrites; ++i) {
      const uint32_t error = durable ? pair.client.write_durable(i * kMiB, std::byte{9}, 4096)
                                     : pair.client.write(i * kMiB, std::byte{9}, 4096);
      CHECK_EQ(error, 0u);
    }
    if (!durable) CHECK_EQ(pair.client.flush(), 0u);
    gone.crash(io::SimCrash::kPower);
    for (uint32_t i = 0; i < kWrites; ++i) CHECK(pair.has(gone, i * kMiB, std::byte{9}));
  }
}

TEST(no_extent_cools_before_the_disk_is_flushed) {
  Pair pair(Protocol::kC, 13);
  CHECK(pair.start(1));
  pair.write_two_extents();
  // The bitmap, as the resync left it, is written the first time.
  CHECK(pair.world.run_until([&] { return pair.alpha.stats->hot_extents < 2; }, 5'000'000));
  pair.write_two_extents();
  // The flush of the data comes before that of the bitmap.
  pair.world.behaviour(pair.alpha.disk).flush_us = 3'000'000;
  pair.pass(4'500'000);
  CHECK_EQ(pair.alpha.stats->hot_extents.load(), 2u);
  CHECK(pair.world.run_until([&] { return pair.alpha.stats->hot_extents < 2; }, 20'000'000));
}

TEST(no_extent_cools_before_the_peer_has_reported_it) {
  Pair pair(Protocol::kA, 6);
  CHECK(pair.start(1));
  pair.cut(true);
  for (uint32_t i = 0; i < 8; ++i) {
    CHECK_EQ(pair.client.write(uint64_t{i} * kExtent, std::byte{1}, 4096), 0u);
  }
  pair.pass(2'000'000);
  CHECK(pair.alpha.stats->hot_extents.load() >= 8u);
  pair.cut(false);
  CHECK(pair.world.run_until([&] { return pair.alpha.stats->hot_extents <= 1; }, 5'000'000));
  CHECK_EQ(pair.alpha.events.closed, 0u);
}

TEST(no_extent_cools_while_it_is_written) {
  Pair pair(Protocol::kC, 6);
  CHECK(pair.start(1));
  pair.write_two_extents();
  pair.slow_disk(pair.beta, 1'500'000, 1'500'000);
  const std::vector<std::byte> data(4096, std::byte{2});
  for (const uint64_t extent : {0, 1}) {
    CHECK(pair.client.try_request(1, extent * kExtent, data, 1'000'000));
  }
  pair.pass(1'200'000);
  CHECK_EQ(pair.alpha.stats->hot_extents.load(), 2u);
}

TEST(an_extent_that_was_not_chosen_stays_hot) {
  Pair pair(Protocol::kC, 6);
  CHECK(pair.start(1));
  pair.write_two_extents();
  CHECK(pair.world.run_until([&] { return pair.alpha.stats->hot_extents < 2; }, 5'000'000));
  pair.pass(1'000'000);
  CHECK_EQ(pair.alpha.stats->hot_extents.load(), 1u);
}

TEST(no_extent_cools_before_its_bits_are_durable) {
  Pair pair(Protocol::kC, 6);
  CHECK(pair.start(1));
  pair.cut(true);
  pair.write_two_extents();
  // First the flush of the disk, then a page of the bitmap.
  pair.slow_disk(pair.alpha, 2'000'000, 2'000'000);
  pair.pass(3'500'000);
  CHECK_EQ(pair.alpha.stats->hot_extents.load(), 2u);
  CHECK(pair.world.run_until([&] { return pair.alpha.stats->hot_extents < 2; }, 20'000'000));
}

TEST(a_crashed_primary_has_everything_hot_that_its_peer_may_lack) {
  for (const Protocol protocol : {Protocol::kA, Protocol::kB}) {
    Pair pair(protocol, 7);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 100'000, 100'000);
    for (uint32_t i = 0; i < 6; ++i) {
      CHECK_EQ(pair.client.write(uint64_t{i} * kExtent, std::byte{9}, 4096), 0u);
    }
    pair.alpha.crash(io::SimCrash::kProcess);
    // The Secondary finishes what it received, and takes over.
    Client second(pair.beta);
    CHECK(second.serve_and_connect());
    CHECK_EQ(second.write(7 * kMiB, std::byte{5}, 4096), 0u);
    CHECK_EQ(pair.alpha.attach(), 0);
    for (uint32_t i = 0; i < 6; ++i) CHECK(pair.alpha.out_of_sync(0) >= (i + 1) * 4096u);
    // What only the old Primary had is given up.
    CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
    const uint64_t uuid = pair.beta.engine->superblock().current_uuid;
    CHECK(uuid != kUuid);
    CHECK_EQ(fixture::establish(pair.beta, 0, engine::ResyncRole::kSource, kUuid), 0);
    CHECK_EQ(fixture::establish(pair.alpha, 0, engine::ResyncRole::kTarget, uuid), 0);
    CHECK(pair.world.run_until([&] { return pair.beta.events.finished == 2; }, 600'000'000));
    CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  }
}

// Each write is answered before the next one is asked for: whatever the end of the Primary or the
// Secondary leaves there is a first part of them.
TEST(a_secondary_applies_epochs_in_order) {
  constexpr uint32_t kWrites = 40;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Pair pair(seed % 2 == 0 ? Protocol::kA : Protocol::kB, seed);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 10, 30'000);
    const uint64_t answered = pair.world.random().between(1, kWrites);
    for (uint64_t i = 0; i < answered; ++i) {
      const uint64_t place = i * 37 % kWrites * kMiB;
      const uint32_t error = i % 5 == 4 ? pair.client.trim(place, 4096)
                                        : pair.client.write(place, std::byte(i + 1), 4096);
      CHECK_EQ(error, 0u);
    }
    pair.pass(pair.world.random().between(0, 100'000));
    Copy& gone = seed % 3 == 0 ? pair.alpha : pair.beta;
    gone.crash(io::SimCrash::kProcess);
    if (&gone == &pair.alpha) pair.pass(10'000'000);
    bool ended = false;
    for (uint64_t i = 0; i < answered; ++i) {
      if (i % 5 == 4) continue;  // zeroes are there from the beginning
      const bool there = pair.has(pair.beta, i * 37 % kWrites * kMiB, std::byte(i + 1));
      CHECK(!there || !ended);
      ended = !there;
    }
  }
}

// A flush is a barrier there: nothing asked for after its answer is on the medium of a Secondary
// that loses its power, unless everything that was answered before it is.
TEST(a_flush_is_a_barrier_on_a_secondary_that_loses_its_power) {
  constexpr uint32_t kGroups = 6;
  constexpr uint32_t kGroup = 5;
  uint32_t partly = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Pair pair(seed % 2 == 0 ? Protocol::kA : Protocol::kB, seed);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 10, 20'000);
    pair.world.behaviour(pair.beta.disk).flush_us = 30'000;
    for (uint32_t i = 0; i < kGroups * kGroup; ++i) {
      CHECK_EQ(pair.client.write(uint64_t{i} * kMiB, std::byte(i + 1), 4096), 0u);
      if (i % kGroup == kGroup - 1) CHECK_EQ(pair.client.flush(), 0u);
    }
    const uint64_t first = kGroup * pair.world.random().between(1, kGroups - 1);
    if (seed % 4 < 2) {
      pair.pass(pair.world.random().between(0, 500'000));
    } else {  // as soon as the first write behind a flush has reached the disk
      const auto value = static_cast<std::byte>(first + 1);
      CHECK(pair.world.run_until([&] { return pair.has(pair.beta, first * kMiB, value); },
                                 5'000'000));
    }
    pair.beta.crash(io::SimCrash::kPower);
    uint32_t lowest_lost = kGroups;
    uint32_t highest_there = 0;
    for (uint32_t i = 0; i < kGroups * kGroup; ++i) {
      const uint64_t place = uint64_t{i} * kMiB;
      const bool whole = pair.has(pair.beta, place, std::byte(i + 1));
      if (pair.has_some(pair.beta, place, std::byte(i + 1))) highest_there = i / kGroup;
      if (!whole) lowest_lost = std::min(lowest_lost, i / kGroup);
    }
    CHECK(highest_there <= lowest_lost);
    partly += lowest_lost < kGroups && highest_there > 0 ? 1 : 0;
  }
  CHECK(partly >= 5);
}

TEST(a_durable_write_is_a_barrier_too) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Pair pair(seed % 2 == 0 ? Protocol::kA : Protocol::kB, seed);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 10, 20'000);
    for (uint32_t i = 0; i < 20; ++i) {
      CHECK_EQ(pair.client.write_durable(uint64_t{i} * kMiB, std::byte(i + 1), 4096), 0u);
    }
    pair.pass(pair.world.random().between(0, 200'000));
    pair.beta.crash(io::SimCrash::kPower);
    bool ended = false;
    for (uint32_t i = 0; i < 20; ++i) {
      const uint64_t place = uint64_t{i} * kMiB;
      CHECK(!ended || !pair.has_some(pair.beta, place, std::byte(i + 1)));
      ended = ended || !pair.has(pair.beta, place, std::byte(i + 1));
    }
  }
}

TEST(demotion_waits_for_every_copy_in_every_protocol) {
  for (const Protocol protocol : kAll) {
    Pair pair(protocol, 8);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 200'000, 200'000);
    for (uint32_t i = 0; i < 5; ++i) CHECK_EQ(pair.client.write(i * kMiB, std::byte{4}, 4096), 0u);
    fixture::Done withdrawn;
    pair.alpha.engine->withdraw(true, withdrawn.completion);
    CHECK(pair.alpha.wait(withdrawn));
    CHECK_EQ(withdrawn.error, 0);
    pair.beta.crash(io::SimCrash::kPower);
    for (uint32_t i = 0; i < 5; ++i) CHECK(pair.has(pair.beta, i * kMiB, std::byte{4}));
  }
}

// The peer's disk stands still: writers are held back at a limit, reads go on, nothing is lost.
TEST(a_slow_peer_with_full_buffers_holds_writers_back) {
  for (const Protocol protocol : kAll) {
    Pair pair(protocol, 9);
    CHECK(pair.start());
    pair.alpha.engine->set_options({.timeout_us = 600'000'000});
    pair.beta.engine->set_options({.timeout_us = 600'000'000});
    pair.slow_disk(pair.beta, 20'000'000, 20'000'000);
    Client reader(pair.alpha);
    CHECK(reader.connect(pair.client.listener));
    constexpr uint32_t kWrites = 12;
    uint32_t asked = 0;
    for (; asked < kWrites; ++asked) {  // 48 MiB, more than all buffers together
      const std::vector<std::byte> data(kExtent, std::byte(asked + 1));
      if (!pair.client.try_request(1, uint64_t{asked} * kExtent, data, 3'000'000)) break;
    }
    CHECK(asked < kWrites);
    CHECK(pair.alpha.stats->written_bytes.load() < 20u * kMiB);
    CHECK_EQ(reader.read(0, 4096).size(), 4096u);
    pair.slow_disk(pair.beta, 20, 200);
    CHECK(pair.world.run_until([&] { return pair.client.sent; }, 60'000'000));
    for (uint32_t left = asked + 1; left > 0; --left) CHECK_EQ(pair.client.reply(), 0u);
    pair.pass(30'000'000);
    CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
    CHECK_EQ(pair.alpha.events.closed, 0u);
  }
}

// Many small writes: in A and B each keeps its place until it is reported written.
TEST(unreported_writes_are_limited) {
  for (const Protocol protocol : {Protocol::kA, Protocol::kB}) {
    Pair pair(protocol, 10);
    CHECK(pair.start());
    pair.alpha.engine->set_options({.timeout_us = 600'000'000});
    pair.beta.engine->set_options({.timeout_us = 600'000'000});
    pair.slow_disk(pair.beta, 10'000'000, 10'000'000);
    uint32_t answered = 0;
    for (uint32_t i = 0; i < 2 * limits::kWritesInFlight; ++i) {
      const std::vector<std::byte> data(512, std::byte(i % 250 + 1));
      if (!pair.client.try_request(1, uint64_t{i} * 512, data, 1'000'000)) break;
      if (!pair.client.try_reply(1'000'000)) break;
      answered += 1;
    }
    CHECK(answered > 100);
    CHECK(answered <= limits::kWritesInFlight);
    pair.slow_disk(pair.beta, 20, 200);
    CHECK_EQ(pair.client.finish_reply(), 0u);
    pair.pass(60'000'000);
    CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
    CHECK_EQ(pair.alpha.events.closed, 0u);
  }
}

TEST(a_primary_sync_target_never_reads_what_is_older_than_its_writes) {
  for (const Protocol protocol : {Protocol::kA, Protocol::kB}) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      Pair pair(protocol, seed);
      CHECK(pair.start());
      pair.beta.crash(io::SimCrash::kProcess);
      CHECK_EQ(pair.client.write(0, std::byte{0x77}, 8 * kMiB), 0u);
      CHECK_EQ(pair.beta.attach(), 0);
      engine::MetadataPatch inconsistent;
      inconsistent.consistent = false;
      CHECK_EQ(pair.beta.patch(inconsistent), 0);
      pair.client.io.shutdown(pair.client.socket);
      fixture::Done withdrawn;
      pair.alpha.engine->withdraw(true, withdrawn.completion);
      CHECK(pair.alpha.wait(withdrawn));
      CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
      const uint64_t uuid = pair.alpha.engine->superblock().current_uuid;
      CHECK_EQ(fixture::establish(pair.alpha, 0, engine::ResyncRole::kSource, kUuid), 0);
      CHECK_EQ(fixture::establish(pair.beta, 0, engine::ResyncRole::kTarget, uuid), 0);
      pair.slow_disk(pair.alpha, 10, 30'000);
      Client second(pair.beta);
      CHECK(second.serve_and_connect());
      for (uint64_t at = 0; at < 8 * kMiB; at += 262144) {
        CHECK_EQ(second.write(at, std::byte{0x66}, 512), 0u);
        const auto data = second.read(at, 1024);
        CHECK_EQ(data.size(), 1024u);
        CHECK(data[0] == std::byte{0x66});
        CHECK(data[512] == std::byte{0x77});
      }
      CHECK(pair.world.run_until([&] { return pair.beta.events.finished == 2; }, 600'000'000));
      pair.pass(10'000'000);
      CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
      for (uint64_t at = 0; at < 8 * kMiB; at += 262144) {
        CHECK(pair.has(pair.beta, at, std::byte{0x66}, 512));
      }
    }
  }
}

// What only the Primary's disk has is not left behind with it.
TEST(a_detach_waits_until_the_peer_has_what_is_acknowledged) {
  for (uint32_t run = 0; run < 2 * std::size(kAll); ++run) {
    const Protocol protocol = kAll[run / 2];
    Pair pair(protocol, 91);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 1'000'000, 1'000'000);
    if (protocol != Protocol::kC) CHECK(pair.timed_write(0, std::byte{1}) < 500'000);
    Done detached;
    pair.alpha.engine->detach(false, detached.completion);
    // Meanwhile only what the peer has written is acknowledged.
    const bool more = run % 2 == 1 && protocol != Protocol::kC;
    if (more) CHECK(pair.timed_write(8192, std::byte{2}) >= 1'000'000);
    pair.alpha.wait(detached);
    CHECK_EQ(detached.error, 0);
    if (protocol != Protocol::kC) CHECK(pair.has(pair.beta, 0, std::byte{1}));
    CHECK_EQ(pair.client.write(4096, std::byte{3}, 4096), 0u);
    CHECK(pair.has(pair.beta, 4096, std::byte{3}));
  }
}

TEST(a_detach_is_refused_when_the_peer_is_lost_before_it_has_what_is_acknowledged) {
  for (const Protocol protocol : {Protocol::kA, Protocol::kB}) {
    Pair pair(protocol, 92);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 1'000'000, 1'000'000);
    CHECK_EQ(pair.client.write(0, std::byte{1}, 4096), 0u);
    pair.cut(true);
    Done detached;
    pair.alpha.engine->detach(false, detached.completion);
    pair.alpha.wait(detached);
    CHECK_EQ(detached.error, EBUSY);
    // The disk is there, with all of it.
    CHECK_EQ(pair.client.write(4096, std::byte{2}, 4096), 0u);
    CHECK(pair.has(pair.alpha, 0, std::byte{1}));
    CHECK(pair.has(pair.alpha, 4096, std::byte{2}));
  }
}

// Detached by force, a disk may be the only one that has what is acknowledged: it is not declared
// to be behind its peer before the peer has that.
TEST(an_attach_waits_until_the_peer_has_what_is_acknowledged) {
  for (const Protocol protocol : {Protocol::kA, Protocol::kB}) {
    Pair pair(protocol, 93);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 1'000'000, 1'000'000);
    CHECK(pair.timed_write(0, std::byte{1}) < 500'000);
    CHECK_EQ(pair.alpha.detach(true), 0);
    CHECK(pair.world.run_until([&] { return pair.alpha.engine->detached(); }, 100'000));
    CHECK(!pair.has(pair.beta, 0, std::byte{1}));
    CHECK_EQ(pair.alpha.attach_again(), 0);
    CHECK(pair.has(pair.beta, 0, std::byte{1}));
  }
}

TEST(an_attach_is_refused_when_the_peer_is_lost_before_it_has_what_is_acknowledged) {
  for (const Protocol protocol : {Protocol::kA, Protocol::kB}) {
    Pair pair(protocol, 94);
    CHECK(pair.start());
    pair.slow_disk(pair.beta, 1'000'000, 1'000'000);
    CHECK_EQ(pair.client.write(0, std::byte{1}, 4096), 0u);
    pair.cut(true);
    CHECK_EQ(pair.alpha.detach(true), 0);
    CHECK(pair.world.run_until([&] { return pair.alpha.engine->detached(); }, 100'000));
    CHECK_EQ(pair.alpha.attach_again(), EAGAIN);
    CHECK(pair.world.run_until([&] { return pair.alpha.engine->detached(); }, 100'000));
    // It is as it was, and tells what may differ from the peer.
    pair.alpha.crash(io::SimCrash::kProcess);
    CHECK_EQ(pair.alpha.attach(), 0);
    CHECK((pair.alpha.engine->superblock().flags & meta::kConsistent) != 0);
    CHECK(pair.alpha.engine->superblock().current_uuid ==
          pair.beta.engine->superblock().current_uuid);
    CHECK(pair.has(pair.alpha, 0, std::byte{1}));
  }
}

TEST(a_target_knows_the_write_sequence_of_its_source) {
  Pair pair(Protocol::kA, 95);
  CHECK(pair.start());
  // Alone for a while, then demoted; beta resyncs, is promoted, and writes.
  pair.alpha.engine->close_link(0, pair.alpha.incarnation);
  pair.pass(100'000);
  for (uint32_t i = 0; i < 50; ++i) CHECK_EQ(pair.client.write(i * 4096, std::byte{1}, 4096), 0u);
  pair.client.io.shutdown(pair.client.socket);
  Done withdrawn;
  pair.alpha.engine->withdraw(true, withdrawn.completion);
  CHECK(pair.alpha.wait(withdrawn));
  engine::MetadataPatch secondary;
  secondary.primary_indicator = false;
  CHECK_EQ(pair.alpha.patch(secondary), 0);
  engine::MetadataPatch behind;
  behind.consistent = false;
  CHECK_EQ(pair.beta.patch(behind), 0);
  CHECK(pair.resync());
  Client second(pair.beta);
  CHECK(second.serve_and_connect());
  for (uint32_t i = 0; i < 5; ++i) CHECK_EQ(second.write(i * 4096, std::byte{2}, 4096), 0u);
  pair.pass(1'000'000);
  // It loses what it had reported and not flushed; beta has all of it, and is demoted.
  pair.alpha.crash(io::SimCrash::kPower);
  second.io.shutdown(second.socket);
  Done demoted;
  pair.beta.engine->withdraw(true, demoted.completion);
  CHECK(pair.beta.wait(demoted));
  CHECK_EQ(pair.beta.patch(secondary), 0);
  CHECK_EQ(pair.alpha.attach(), 0);
  const meta::Superblock& older = pair.alpha.engine->superblock();
  const meta::Superblock& newer = pair.beta.engine->superblock();
  CHECK_EQ(older.current_uuid, newer.current_uuid);
  CHECK(older.write_sequence <= newer.write_sequence);
}

TEST(a_disk_that_fails_as_a_write_is_answered_takes_that_write_along) {
  Pair pair(Protocol::kB, 31);
  CHECK_EQ(pair.alpha.attach(), 0);
  CHECK_EQ(pair.beta.attach(), 0);
  pair.alpha.make_up_to_date(kUuid);
  CHECK(pair.client.serve_and_connect());
  const uint64_t offset = 10 * uint64_t{kExtent};
  CHECK_EQ(pair.client.write(offset, std::byte{1}, 4096), 0u);
  // A peer that is being filled cannot repair what is not readable here.
  CHECK(fixture::connect(pair.world, pair.alpha, 0, pair.beta, 0));
  const uint64_t uuid = pair.beta.engine->superblock().current_uuid;
  CHECK_EQ(fixture::establish(pair.alpha, 0, engine::ResyncRole::kSource, uuid), 0);
  CHECK_EQ(fixture::establish(pair.beta, 0, engine::ResyncRole::kTarget, kUuid), 0);
  pair.slow_disk(pair.beta, 3'000'000, 3'000'000);
  CHECK_EQ(pair.client.write(offset, std::byte{2}, 4096), 0u);
  // A read that fails waits for the write of its block, which the peer has not reported then.
  pair.slow_disk(pair.alpha, 100'000, 100'000);
  const std::vector<std::byte> data(4096, std::byte{3});
  pair.client.request(1, offset, 4096, data.data());
  pair.pass(10'000);
  pair.slow_disk(pair.alpha, 1000, 1000);
  io::SimDiskBehaviour& disk = pair.world.behaviour(pair.alpha.disk);
  disk.read_error = -EIO;
  disk.error_begin = offset;
  disk.error_end = offset + 4096;
  Client reader(pair.alpha);
  CHECK(reader.connect(pair.client.listener));
  reader.request(0, offset, 4096, nullptr);
  CHECK(!pair.alpha.events.disk_lost);
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK(pair.alpha.events.disk_lost);
  // Its place serves others.
  CHECK(reader.reply() != 0);
  CHECK_EQ(pair.alpha.close(), 0);
}
