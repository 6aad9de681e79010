// Random histories of two or three nodes in the simulated world, each from a seed: clients write
// all the time while nodes crash, links break and roles change; every answer is checked against a
// model, and in the end all copies are identical and everything ends cleanly.
#include "check.h"
#include "random_cluster.h"
#include "random_seeds.h"

using namespace blkmirror;
using fixture::die;
using fixture::Member;
using sim::ClientHabits;
using sim::Model;
using sim::RandomClient;

namespace {

constexpr uint64_t kSeeds = 20;
constexpr uint32_t kTries = 200;  // to connect
constexpr uint64_t kMostUs = 120'000'000;

class History final : public sim::Violations {
 public:
  explicit History(uint64_t seed)
      : protocol_(static_cast<engine::Protocol>(seed % 3)), world_(seed), random_(seed * 7919 + 1) {
    wide_ = random_.chance(2);
    const uint64_t bytes = (wide_ ? between(28, 44) : between(8, 16)) << 20;
    const bool three = random_.chance(5);
    const std::vector<std::string> names = {"alpha", "beta", "gamma"};
    for (uint32_t i = 0; i < (three ? 3u : 2u); ++i) {
      std::vector<std::string> others;
      for (uint32_t j = 0; j < (three ? 3u : 2u); ++j) {
        if (j != i) others.push_back(names[j]);
      }
      nodes_.push_back(std::make_unique<Member>(world_, bytes, names[i], others));
    }
    supply_ = random_.chance(4) ? 1 : 4;
    for (auto& node : nodes_) {
      node->protocol = protocol_;
      node->out_of_patience = [this] { allow_errors(true); };
      node->al_extents = random_.chance(6) ? 0 : between(1, 4);
      node->timeout_us = between(100, wide_ ? 200 : 800) * 1000;
      node->uuid_delay_us = supply_ == 1 ? 200'000 : 1000;
    }
    device_bytes_ = nodes_[0]->device_bytes();
    model_ = std::make_unique<Model>(device_bytes_);
    model_->keep_history(protocol_ == engine::Protocol::kA);
    for (uint64_t left = between(1, 4); left > 0; --left) add_client(left == 1);
  }

  void run() {
    begin();
    for (uint64_t left = between(5, 12); left > 0; --left) {
      pass(between(1, 60) * 1000);
      event();
      if (random_.chance(3)) heal();
      if (random_.chance(6)) quiesce();
    }
    heal();
    quiesce();
    end();
  }

 private:
  uint64_t between(uint64_t low, uint64_t high) { return random_.between(low, high); }
  Member& primary() { return *nodes_[primary_]; }
  io::SimCrash any_crash() {
    return random_.chance(2) ? io::SimCrash::kPower : io::SimCrash::kProcess;
  }
  void say(const std::string& what) {
    if (Member::tracing()) std::printf("%10lu ---- %s\n", world_.now_us(), what.c_str());
  }

  void add_client(bool last) {
    ClientHabits habits;
    habits.depth = static_cast<uint32_t>(between(1, 16));
    habits.pause_us = static_cast<uint32_t>(between(1, 4000));
    habits.hot_bytes = random_.chance(4) ? 0 : between(1, 6) << 20;
    habits.wide = wide_;
    habits.slow = last && random_.chance(4);
    if (random_.chance(12)) {  // enough to exhaust the pool
      habits.large_one_in = 2;
      habits.large_bytes = 4u << 20;
      habits.depth = 12;
      habits.pause_us = 50'000;
    }
    clients_.push_back(std::make_unique<RandomClient>(world_, *this, habits));
  }

  void pass(uint64_t us) {
    world_.run_until([] { return false; }, us);
  }
  void until(const std::function<bool()>& predicate, const char* what) {
    if (!world_.run_until(predicate, kMostUs)) die(std::string("stuck: ") + what);
  }

  void begin() {
    for (auto& node : nodes_) node->attach(supply_);
    engine::MetadataPatch fresh;
    fresh.current_uuid = fixture::Copy::next_uuid();
    fresh.consistent = fresh.was_up_to_date = true;
    primary().patch(fresh, "a first generation");
    if (random_.chance(2)) heal();
    promote(0);
  }

  void promote(size_t index) {
    begin_serving(index);
    for (auto& client : clients_) {
      connect(*client);
      client->start();
    }
  }
  void begin_serving(size_t index) {
    primary_ = index;
    part_secondaries();
    primary().serve();
  }
  // A Secondary in sync takes over from a Primary that is gone. In protocol A it may lack the last
  // writes that were acknowledged, but it has them in order: what it shows is what counts.
  void take_over(size_t index, const char* when) {
    if (protocol_ != engine::Protocol::kA) {
      promote(index);
      check_all(when);
      return;
    }
    begin_serving(index);
    const io::SimDisk& disk = world_.disk(primary().disk);
    std::string wrong = model_->check_lagging(disk, false);
    if (wrong.empty()) model_ = model_->rebase(disk, wrong);
    if (!wrong.empty()) die(std::string("not in order ") + when + ": " + wrong);
    for (auto& client : clients_) {
      connect(*client);
      client->start();
    }
  }
  // Only a Primary's connections are kept: what Secondaries owe each other is not told here.
  void part_secondaries() {
    for (auto& one : nodes_) {
      for (auto& other : nodes_) {
        const bool secondaries =
            one != other && one.get() != &primary() && &primary() != other.get();
        if (!secondaries || one->engine == nullptr || !one->link(*other).up) continue;
        one->engine->close_link(one->slot_of(*other), one->link(*other).incarnation);
      }
    }
  }
  void violated(const std::string& what) override {
    say("violated");
    die(what);
  }
  void connect(RandomClient& client) {
    if (client.connect(primary().listener, *model_, primary().io.host())) return;
    die("the device's socket does not accept");
  }
  void drop_clients() {
    for (auto& client : clients_) client->drop();
  }

  // Every node runs and is in sync, without disturbance from here on.
  void heal() {
    say("heal");
    for (auto& node : nodes_) {
      world_.behaviour(node->disk) = {};
      if (node->engine == nullptr) node->attach(supply_);
    }
    for (uint32_t tries = 0; !healed(); ++tries) {
      if (tries == kTries) die("does not come into sync");
      if (tries > 5) pass(between(0, 50'000));
      for (auto& node : nodes_) {
        if (node.get() != &primary() && !established(*node)) fixture::join(primary(), *node);
      }
      world_.run_until([&] { return healed() || broken(); }, kMostUs);
      if (!healed() && !broken()) die("stuck: a resync does not end");
    }
  }
  bool established(Member& node) {
    return primary().link(node).established && node.link(primary()).established;
  }
  bool in_sync(Member& node) {
    return established(node) && primary().mirrors_to(node) &&
           node.link(primary()).role == engine::ResyncRole::kNone;
  }
  bool healed() {
    for (auto& node : nodes_) {
      if (node.get() != &primary() && !in_sync(*node)) return false;
    }
    return true;
  }
  bool broken() {
    for (auto& node : nodes_) {
      if (node.get() != &primary() && !established(*node)) return true;
    }
    return false;
  }

  void event() {
    Member& other = some_secondary();
    switch (between(0, 13)) {
      case 0:
        return break_link(other);
      case 1:
        return cut(other);
      case 2:
      case 3:
        return crash_secondary(other);
      case 4:
        return slow_disk();
      case 5:
        return interrupt_resyncs(other);
      case 6:
        return fail_over(other);
      case 7:
        return close_secondary(other);
      case 8:
        return switch_over(other);
      case 9:
        return lose_all_power();
      case 10:
        return serve_while_target(other);
      case 11:
        return fail_disk(other);
      case 12:
        return fail_primary_disk(other);
      default:
        return restart_primary();
    }
  }

  Member& some_secondary() {
    size_t index = between(0, nodes_.size() - 1);
    if (index == primary_) index = (index + 1) % nodes_.size();
    return *nodes_[index];
  }

  void break_link(Member& other) {
    say("break the link");
    if (primary().link(other).up && random_.chance(2)) {
      world_.reset(primary().link(other).socket);
    } else if (primary().link(other).up) {
      Member& who = random_.chance(2) ? primary() : other;
      Member& far = &who == &primary() ? other : primary();
      if (who.engine == nullptr) return;  // lost its power, unnoticed
      who.engine->close_link(who.slot_of(far), who.link(far).incarnation);
    }
    pass(between(0, 20'000));
    if (random_.chance(2)) fixture::join(primary(), other);
  }

  void cut(Member& other) {
    say("cut the network");
    world_.set_partition(primary().io, other.io, true);
    pass(random_.chance(2) ? between(1, 50'000) : between(100'000, 2'000'000));
    world_.set_partition(primary().io, other.io, false);
    if (random_.chance(2) && other.engine != nullptr) fixture::join(primary(), other);
  }

  void crash_secondary(Member& other) {
    say("crash a Secondary");
    if (other.engine == nullptr) return;
    other.crash(any_crash());
    pass(between(0, 800'000));
    other.attach(supply_);
    if (random_.chance(2)) fixture::join(primary(), other);
  }

  void slow_disk() {
    say("another disk latency");
    io::SimDiskBehaviour how;
    how.maximum_us = static_cast<uint32_t>(between(100, 20'000));
    how.flush_us = static_cast<uint32_t>(between(10, 60'000));
    Member& node = *nodes_[between(0, nodes_.size() - 1)];
    world_.behaviour(node.disk) = how;
  }

  void interrupt_resyncs(Member& other) {
    say("interrupt resyncs");
    for (uint64_t left = between(1, 6); left > 0; --left) {
      if (other.engine == nullptr) other.attach(supply_);
      if (!established(other)) fixture::join(primary(), other);
      pass(random_.chance(3) ? between(0, 300) : between(0, 30'000));
      switch (between(0, 2)) {
        case 0:
          other.crash(any_crash());
          break;
        case 1:
          if (primary().link(other).up) world_.reset(primary().link(other).socket);
          break;
        default:
          if (primary().link(other).up) {
            primary().engine->close_link(primary().slot_of(other),
                                         primary().link(other).incarnation);
          }
      }
      pass(random_.chance(2) ? 0 : between(0, 5000));
    }
  }

  // The Primary dies, the Secondary that was in sync takes over, the old one comes back.
  void fail_over(Member& other) {
    say("fail over");
    if (other.engine == nullptr || nodes_.size() > 2) return;
    const bool safe = primary().mirrors_to(other);
    Member& old = primary();
    const io::SimCrash how = any_crash();
    drop_clients_and_crash(old, how);
    if (!safe) {
      if (how == io::SimCrash::kPower) model_->lose_volatile();
      pass(between(0, 500'000));
      old.attach(supply_);
      promote(primary_);
      return;
    }
    if (random_.chance(2)) pass(between(0, 1'000'000));
    take_over(&other == nodes_[0].get() ? 0 : 1, "after a failover");
    pass(between(0, 100'000));
    old.attach(supply_);
    pass(between(0, 20'000));
    if (random_.chance(2)) fixture::join(primary(), old);
  }

  void drop_clients_and_crash(Member& node, io::SimCrash how) {
    if (random_.chance(2)) {
      node.crash(how);
      drop_clients();
    } else {
      drop_clients();
      node.crash(how);
    }
  }

  // The disk of a Secondary fails; after its repair it is attached again.
  void fail_disk(Member& other) {
    say("fail a disk");
    if (other.engine == nullptr) return;
    break_disk(other);
    world_.run_until([&] { return other.failed; }, between(1, 200'000));
    repair_disk(other);
  }
  void break_disk(Member& node) {
    node.may_fail = true;
    io::SimDiskBehaviour& how = world_.behaviour(node.disk);
    const bool primary_copy = &node == &primary();
    (primary_copy || random_.chance(2) ? how.flush_error : how.write_error) = -EIO;
  }
  void repair_disk(Member& node) {
    world_.behaviour(node.disk) = {};
    if (node.failed && random_.chance(2)) {
      node.close();
    } else {
      node.crash(io::SimCrash::kProcess);
    }
    pass(between(0, 100'000));
    node.attach(supply_);
  }

  // The Primary's disk fails: the Secondary serves its clients, who see no error, over more than
  // one connection; then it takes over.
  void fail_primary_disk(Member& other) {
    say("fail the Primary's disk");
    if (nodes_.size() > 2 || other.engine == nullptr || !primary().mirrors_to(other)) return;
    Member& old = primary();
    break_disk(old);
    world_.run_until([&] { return old.failed || !old.mirrors_to(other); }, 1'000'000);
    const bool failed = old.failed;
    // With the connection gone first nobody has the data.
    if (!failed || !old.link(other).up) allow_errors(true);
    for (uint64_t left = failed ? between(0, 5) : 0; left > 0; --left) serve_diskless(old, other);
    pass(between(0, 5000));
    drop_clients();
    allow_errors(false);
    if (failed && random_.chance(2)) withdraw_diskless(old);
    repair_disk(old);
    if (failed) {
      take_over(1 - primary_, "after a disk failure");
      return;
    }
    promote(primary_);
    check_all("after a disk failure");
  }
  void allow_errors(bool allowed) {
    for (auto& client : clients_) client->errors_allowed = allowed;
  }
  void serve_diskless(Member& old, Member& other) {
    pass(between(0, 50'000));
    if (random_.chance(2)) return;
    if (old.link(other).up) old.engine->close_link(old.slot_of(other), old.link(other).incarnation);
    for (uint32_t tries = 0; !fixture::join(old, other); ++tries) {
      // In protocol A it may have been lost with what was answered already.
      if (old.out_of_sync(other) != 0) {
        if (protocol_ != engine::Protocol::kA) die("a holder lacks what was answered");
        return;
      }
      if (tries == kTries) die("a Primary without a disk is not served again");
      if (tries > 5) pass(between(0, 50'000));
    }
  }
  void withdraw_diskless(Member& node) {
    fixture::Done command;
    node.engine->withdraw(true, command.completion);
    if (!node.done(command, "withdrawing")) die("a Primary without a disk cannot be demoted");
    node.primary = false;
  }

  void close_secondary(Member& other) {
    say("close a Secondary");
    if (other.engine == nullptr) return;
    other.close();
    pass(between(0, 300'000));
    other.attach(supply_);
    if (random_.chance(2)) fixture::join(primary(), other);
  }

  void switch_over(Member& other) {
    say("switch over");
    heal();
    drop_clients();
    primary().withdraw();
    if (!in_sync(other)) {
      promote(primary_);
      return;
    }
    promote(nodes_[0].get() == &other ? 0 : nodes_[1].get() == &other ? 1 : 2);
    check_all("after a switch");
  }

  void restart_primary() {
    say("restart the Primary");
    const bool crash = random_.chance(2);
    const io::SimCrash how = crash ? any_crash() : io::SimCrash::kProcess;
    if (crash) {
      drop_clients_and_crash(primary(), how);
      if (how == io::SimCrash::kPower) model_->lose_volatile();
    } else {
      if (random_.chance(2)) drop_clients();
      Member& node = primary();
      node.close();
      drop_clients();
    }
    pass(between(0, 500'000));
    primary().attach(supply_);
    const bool alone = nodes_.size() > 2 || how == io::SimCrash::kPower;
    if (!alone && random_.chance(2)) {
      // It may be the target: then it waits, for it would be useless without its source.
      Member& other = *nodes_[1 - primary_];
      if (fixture::join(primary(), other)) until([&] { return in_sync(other); }, "a resync");
    }
    promote(primary_);
    check_all("after a restart");
  }

  void lose_all_power() {
    say("lose all power");
    if (nodes_.size() > 2) return;
    std::vector<Member*> order = {nodes_[0].get(), nodes_[1].get()};
    if (random_.chance(2)) std::swap(order[0], order[1]);
    const bool was_safe = primary().mirrors_to(*nodes_[1 - primary_]);
    drop_clients();
    for (Member* node : order) {
      if (node->engine != nullptr) node->crash(io::SimCrash::kPower);
    }
    model_->lose_volatile();
    for (Member* node : order) node->attach(supply_);
    Member& old = primary();
    Member& other = order[0] == &old ? *order[1] : *order[0];
    if (was_safe && random_.chance(2)) {
      // In sync when the power went: they agree on a source before one is promoted.
      for (uint32_t tries = 0; !established(other) && tries < kTries; ++tries) {
        if (tries > 5) pass(between(0, 50'000));
        fixture::join(old, other);
      }
      until([&] { return in_sync(other); }, "a resync of Secondaries");
      if (random_.chance(2)) primary_ = 1 - primary_;
    }
    promote(primary_);
    check_all("after a power loss");
  }

  // A copy that is behind is promoted while it is brought up to date.
  void serve_while_target(Member& other) {
    say("serve while SyncTarget");
    if (nodes_.size() > 2) return;
    heal();
    other.crash(any_crash());
    pass(between(1000, 100'000));
    other.attach(supply_);
    drop_clients();
    Member& source = primary();
    source.withdraw();
    other.engine->pause_resync(0, random_.chance(2));
    for (uint32_t tries = 0; !established(other) && tries < kTries; ++tries) {
      if (tries > 5) pass(between(0, 50'000));
      fixture::join(source, other);
    }
    primary_ = 1 - primary_;
    promote(primary_);
    pass(between(0, 20'000));
    other.engine->pause_resync(0, false);
    until([&] { return in_sync(source); }, "the resync of a Primary");
  }

  // Nothing is in flight any more; then all copies are the same, and as the model says.
  void quiesce() {
    say("quiesce");
    heal();
    for (auto& client : clients_) client->stop();
    until([&] { return idle(); }, "requests are not answered");
    until([&] { return primary().stats->in_flight == 0; }, "writes are not reported");
    until([&] { return healed() || broken(); }, "a late resync");
    check_all("at rest");
    if (healed()) compare();
    for (auto& client : clients_) client->start();
  }
  bool idle() {
    for (auto& client : clients_) {
      if (!client->idle()) return false;
    }
    return true;
  }

  void check_all(const char* when) {
    constexpr uint32_t kStep = 1u << 20;
    for (uint64_t at = 0; at < device_bytes_; at += kStep) {
      const auto length = static_cast<uint32_t>(std::min<uint64_t>(kStep, device_bytes_ - at));
      const auto data = world_.read_back(primary().disk, at, length);
      const std::string wrong = model_->check(at, data.data(), length, model_->clock());
      if (!wrong.empty()) die(std::string("lost data ") + when + ": " + wrong);
    }
  }

  void compare() {
    for (auto& node : nodes_) {
      if (node.get() == &primary()) continue;
      if (primary().out_of_sync(*node) != 0) die("bits are left on the Primary");
      if (node->out_of_sync(primary()) != 0) die("bits are left on the Secondary");
      for (uint64_t at = 0; at < device_bytes_; at += 1u << 20) {
        const auto length = static_cast<uint32_t>(std::min<uint64_t>(1u << 20, device_bytes_ - at));
        if (world_.read_back(primary().disk, at, length) !=
            world_.read_back(node->disk, at, length)) {
          die("the copies differ at " + std::to_string(at));
        }
      }
    }
  }

  void end() {
    say("end");
    drop_clients();
    for (auto& node : nodes_) node->close();
    for (auto& node : nodes_) {
      node->attach(0);
      if (node->stats->hot_extents != 0) die("an extent is hot after a clean end");
      if ((node->known.flags & meta::kCrashFlags) != 0) {
        die("a clean end counts as a crash");
      }
    }
    for (auto& node : nodes_) node->close();
  }

  const engine::Protocol protocol_;
  io::SimWorld world_;
  io::SimRandom random_;  // of the events; the world has its own
  std::vector<std::unique_ptr<Member>> nodes_;
  bool wide_ = false;  // many extents, a little in each
  size_t primary_ = 0;
  uint32_t supply_ = 4;
  uint64_t device_bytes_ = 0;
  std::unique_ptr<Model> model_;
  std::vector<std::unique_ptr<RandomClient>> clients_;
};

void run_history(uint64_t seed) {
  Member::tracing() = fixture::only_one_seed();
  History history(seed);
  history.run();
}

}  // namespace

TEST(random_histories_lose_nothing) { CHECK_EQ(fixture::run_seeds(kSeeds, run_history), 0u); }
