// c-max-rate and c-min-rate: the ceiling of a resync and what it keeps beside an application, by
// the simulated clock.
#include "base/limits.h"
#include "check.h"
#include "engine/rate_limit.h"
#include "engine_pair.h"

using namespace blkmirror;
using engine::RateLimit;
using engine::ResyncRole;
using fixture::Client;

namespace {

constexpr uint32_t kMiB = 1u << 20;
constexpr uint64_t kSecondUs = 1'000'000;
constexpr uint64_t kWindowBytes = uint64_t{limits::kResyncWindow} * limits::kResyncBytes;

struct Rates : fixture::Pair {
  Client client;
  engine::Options options;
  explicit Rates(uint64_t seed) : Pair(seed), client(alpha) {}

  // beta misses what a client has written, and begins to be brought up to date.
  bool begin(uint32_t bytes, bool compare = false) {
    if (!in_sync() || !client.serve_and_connect()) return false;
    beta.engine->set_options(options);
    alpha.engine->close_link(0, alpha.incarnation);
    pass(10'000);
    for (uint64_t at = 0; at < bytes; at += kMiB) {
      if (client.write(at, std::byte{1}, kMiB) != 0) return false;
    }
    engine::MetadataPatch behind;
    behind.consistent = false;
    if (beta.patch(behind) != 0 || !fixture::connect(world, alpha, 0, beta, 0)) return false;
    const uint64_t old = state(beta).current_uuid;
    const uint64_t fresh = state(alpha).current_uuid;
    return fixture::establish(alpha, 0, ResyncRole::kSource, old) == 0 &&
           fixture::establish(beta, 0, ResyncRole::kTarget, fresh, compare) == 0;
  }
  // Also before there is an engine.
  void set(uint64_t most, uint64_t least) {
    options.resync_most_per_second = most;
    options.resync_least_per_second = least;
    if (beta.engine != nullptr) beta.engine->set_options(options);
  }
  void pass(uint64_t us) {
    world.run_until([] { return false; }, us);
  }
  uint64_t copied() const { return beta.stats->peers[0].resynced_bytes; }
  uint64_t copied_in(uint64_t us) {
    const uint64_t before = copied();
    pass(us);
    return copied() - before;
  }
  bool finish() {
    const auto over = [&] { return beta.out_of_sync(0) == 0 && alpha.stats->in_flight == 0; };
    return world.run_until(over, 600 * kSecondUs) && fixture::same_data(world, alpha, beta);
  }
};

bool near(uint64_t bytes, uint64_t wanted) {
  return bytes * 10 >= wanted * 9 && bytes * 10 <= wanted * 11;
}

// So many blocks may be taken at one moment.
uint32_t burst_of(RateLimit& rate, uint64_t now_us) {
  uint32_t blocks = 0;
  while (rate.free_us() <= now_us) {
    rate.take(now_us, limits::kResyncBytes);
    blocks += 1;
  }
  return blocks;
}

}  // namespace

TEST(an_idle_time_saves_up_only_a_moment) {
  RateLimit rate;
  rate.set(100 * kMiB);
  // 20 ms of 100 MiB/s are 2 MiB: eight blocks, and the one that is begun.
  CHECK_EQ(burst_of(rate, 10 * kSecondUs), 9u);
  CHECK_EQ(burst_of(rate, 10 * kSecondUs), 0u);
  CHECK_EQ(burst_of(rate, 70 * kSecondUs), 9u);
  rate.set(kMiB);
  CHECK_EQ(burst_of(rate, 80 * kSecondUs), 1u);
}

TEST(a_limit_that_is_looked_at_late_loses_nothing) {
  RateLimit rate;
  rate.set(10 * kMiB);
  uint64_t bytes = 0;
  for (uint64_t now_us = kSecondUs; now_us < 11 * kSecondUs; now_us += 17'000) {
    bytes += uint64_t{burst_of(rate, now_us)} * limits::kResyncBytes;
  }
  CHECK(near(bytes, 100 * kMiB));
}

TEST(the_ceiling_of_a_resync_is_held) {
  for (const uint64_t rate : {1 * kMiB, 4 * kMiB, 8 * kMiB}) {
    Rates pair(11);
    pair.set(rate, 0);
    CHECK(pair.begin(48 * kMiB));
    pair.pass(kSecondUs);
    CHECK(near(pair.copied_in(4 * kSecondUs), 4 * rate));
    pair.set(0, 0);
    CHECK(pair.finish());
  }
}

TEST(a_ceiling_bounds_every_moment_of_a_resync) {
  Rates pair(12);
  constexpr uint64_t kRate = 8 * kMiB;
  pair.set(kRate, 0);
  CHECK(pair.begin(32 * kMiB));
  constexpr uint64_t kLookUs = 50'000;
  constexpr uint64_t kMost = kRate * (kLookUs + RateLimit::kBurstUs) / kSecondUs;
  for (uint32_t look = 0; look < 60; ++look) {
    CHECK(pair.copied_in(kLookUs) <= kMost + limits::kResyncBytes);
  }
  CHECK(pair.finish());
}

TEST(a_paused_resync_saves_up_nothing) {
  Rates pair(13);
  pair.set(8 * kMiB, 0);
  CHECK(pair.begin(48 * kMiB));
  pair.pass(kSecondUs);
  pair.beta.engine->pause_resync(0, true);
  CHECK(pair.copied_in(60 * kSecondUs) <= kWindowBytes);
  pair.beta.engine->pause_resync(0, false);
  CHECK(near(pair.copied_in(2 * kSecondUs), 16 * kMiB));
  CHECK(pair.finish());
}

TEST(the_ceiling_changes_while_a_resync_runs) {
  Rates pair(14);
  pair.set(256u << 10, 0);
  CHECK(pair.begin(32 * kMiB));
  CHECK(near(pair.copied_in(10 * kSecondUs), 2560u << 10));
  // What the slow rate made it wait for counts no more.
  pair.set(8 * kMiB, 0);
  CHECK(near(pair.copied_in(2 * kSecondUs), 16 * kMiB));
  CHECK(pair.finish());
}

// The disks read all of it, whatever the network is spared.
TEST(what_is_compared_counts_in_full) {
  Rates pair(15);
  pair.set(8 * kMiB, 0);
  CHECK(pair.begin(32 * kMiB, true));
  CHECK(near(pair.copied_in(2 * kSecondUs), 16 * kMiB));
  CHECK(pair.finish());
}

namespace {

// Copied in 4 s, from the third on, beside a client that always writes, on a target so slow that
// blocks wait.
uint64_t copied_under_load(uint64_t most, uint64_t least) {
  Rates pair(16);
  pair.set(most, least);
  if (!pair.begin(48 * kMiB)) return 0;
  pair.world.behaviour(pair.beta.disk).minimum_us = 50'000;
  pair.world.behaviour(pair.beta.disk).maximum_us = 400'000;
  const std::vector<std::byte> data(limits::kBlockBytes, std::byte{3});
  uint64_t before = 0;
  for (uint64_t at = 0; at < 6 * kSecondUs; at += 10'000) {
    if (at == 2 * kSecondUs) before = pair.copied();
    const uint64_t offset = 48 * kMiB + at / 10'000 * limits::kBlockBytes;
    pair.client.request(1, offset, limits::kBlockBytes, data.data());
    pair.pass(10'000);
  }
  const uint64_t copied = pair.copied() - before;
  return pair.finish() ? copied : 0;
}

}  // namespace

TEST(a_resync_keeps_its_least_rate_beside_an_application) {
  const uint64_t yielding = copied_under_load(0, 1024);
  const uint64_t kept = copied_under_load(0, 4 * kMiB);
  const uint64_t never = copied_under_load(0, 0);
  CHECK(yielding > 0);
  CHECK(kept * 10 >= 16ull * kMiB * 9);
  CHECK(2 * yielding < kept);
  CHECK(kept < never);
}

TEST(the_ceiling_goes_before_the_least_rate) {
  CHECK(near(copied_under_load(2 * kMiB, 8 * kMiB), 8 * kMiB));
}
