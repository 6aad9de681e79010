// fencing = resource-and-stonith as the engine sees it: from the loss of a peer until the
// decision no client's request is begun or acknowledged.
#include "check.h"
#include "engine_fixture.h"

using namespace blkmirror;
using fixture::Client;
using fixture::Copy;

namespace {

constexpr uint64_t kUuid = 0x1111111111111110;
constexpr uint64_t kLongUs = 60'000'000;

struct Fenced {
  io::SimWorld world;
  Copy alpha;
  Copy beta;
  Client client;
  Fenced()
      : world(1), alpha(world, "alpha", {"beta"}), beta(world, "beta", {"alpha"}), client(alpha) {}

  // Both in sync, one write done, then beta killed with another write in flight.
  bool lose_beta() {
    if (alpha.attach() != 0 || beta.attach() != 0) return false;
    alpha.make_up_to_date(kUuid);
    if (!establish(engine::ResyncRole::kSource, meta::kJustCreatedUuid, 1)) return false;
    alpha.engine->suspend_on_loss(true);
    if (!client.serve_and_connect() || client.write(0, std::byte{1}, 4096) != 0) return false;
    beta.crash(io::SimCrash::kProcess);
    ask(4096, std::byte{2});
    return world.run_until([&] { return alpha.stats->suspended.load(); }, kLongUs);
  }
  bool establish(engine::ResyncRole role, uint64_t beta_uuid, uint32_t finished) {
    if (!fixture::connect(world, alpha, 0, beta, 0)) return false;
    const uint64_t uuid = alpha.engine->superblock().current_uuid;
    if (fixture::establish(alpha, 0, role, beta_uuid) != 0) return false;
    if (fixture::establish(beta, 0, engine::ResyncRole::kTarget, uuid) != 0) return false;
    return world.run_until([&] { return alpha.events.finished >= finished; }, kLongUs);
  }
  void ask(uint64_t offset, std::byte fill) {
    std::vector<std::byte> data(4096, fill);
    client.request(1, offset, 4096, data.data());
  }
  // Nothing is answered for a long time.
  bool silent() {
    const uint64_t answered = alpha.stats->writes.load();
    world.run_until([] { return false; }, kLongUs);
    return alpha.stats->writes.load() == answered && alpha.stats->suspended.load();
  }
  uint64_t current() { return alpha.engine->superblock().current_uuid; }
};

}  // namespace

TEST(nothing_is_acknowledged_until_the_decision) {
  Fenced pair;
  CHECK(pair.lose_beta());
  pair.ask(8192, std::byte{3});
  CHECK(pair.silent());
  CHECK(pair.current() == kUuid);
  pair.alpha.engine->resume(0, pair.alpha.incarnation);
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK(pair.current() != kUuid);
  CHECK_EQ(pair.client.write(12288, std::byte{4}, 4096), 0u);
  CHECK(!pair.alpha.stats->suspended.load());
}

TEST(a_request_that_comes_while_suspended_is_not_begun) {
  Fenced pair;
  CHECK(pair.lose_beta());
  pair.ask(1u << 20, std::byte{9});
  CHECK(pair.silent());
  CHECK(pair.world.read_back(pair.alpha.disk, 1u << 20, 1)[0] != std::byte{9});
  pair.alpha.engine->resume_all();
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK(pair.world.read_back(pair.alpha.disk, 1u << 20, 1)[0] == std::byte{9});
}

TEST(a_decision_about_another_loss_is_ignored) {
  Fenced pair;
  CHECK(pair.lose_beta());
  pair.alpha.engine->resume(0, pair.alpha.incarnation + 1);
  CHECK(pair.silent());
  CHECK(pair.current() == kUuid);
}

TEST(a_peer_that_comes_back_ends_it_without_a_new_generation) {
  Fenced pair;
  CHECK(pair.lose_beta());
  pair.ask(8192, std::byte{3});
  CHECK(pair.silent());
  CHECK_EQ(pair.beta.attach(), 0);
  CHECK(pair.establish(engine::ResyncRole::kSource, kUuid, 2));
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK(pair.current() == kUuid);
  CHECK(fixture::same_data(pair.world, pair.alpha, pair.beta));
  // Lost again, it is decided again: what was said of the first loss does not count.
  const uint32_t first = pair.alpha.incarnation - 1;
  pair.beta.crash(io::SimCrash::kProcess);
  pair.ask(16384, std::byte{5});
  CHECK(pair.world.run_until([&] { return pair.alpha.stats->suspended.load(); }, kLongUs));
  pair.alpha.engine->resume(0, first);
  CHECK(pair.silent());
}

TEST(without_the_policy_io_goes_on_and_taking_it_back_resumes) {
  Fenced pair;
  CHECK(pair.lose_beta());
  CHECK(pair.silent());
  pair.alpha.engine->suspend_on_loss(false);
  CHECK_EQ(pair.client.reply(), 0u);
  CHECK(pair.current() != kUuid);
}

TEST(a_close_while_suspended_answers_with_errors) {
  Fenced pair;
  CHECK(pair.lose_beta());
  pair.ask(8192, std::byte{3});
  CHECK(pair.silent());
  fixture::Done closed;
  pair.alpha.engine->close(closed.completion);
  CHECK(pair.alpha.wait(closed));
  CHECK_EQ(closed.error, 0);
  CHECK(pair.current() == kUuid);
}
