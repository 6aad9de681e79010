// Two or three nodes in a simulated world, and the control plane's part between them: who is
// Primary, what two copies that meet do (DESIGN section 6, rules 6 and 7), what must be durable
// before, UUIDs supplied in time or late.
#pragma once

#include <array>
#include <functional>

#include "engine_fixture.h"
#include "random_seeds.h"
#include "sim/random_client.h"

namespace fixture {

struct MemberLink {
  uint32_t incarnation = 0;
  bool up = false;
  bool established = false;
  uint32_t peer_life = 0;  // of the engine at the other end
  engine::ResyncRole role = engine::ResyncRole::kNone;
  io::SocketId socket = io::kNoSocket;
};

struct Member final : engine::EventSink {
  io::SimWorld& world;
  io::SimIo io;
  io::DiskId disk;
  const uint64_t disk_bytes;
  const std::string name;
  const std::vector<std::string> peers;
  engine::Protocol protocol = engine::Protocol::kC;
  uint64_t al_extents = 0;
  uint64_t timeout_us = 300'000;
  uint64_t uuid_delay_us = 1000;
  std::array<MemberLink, 2> links;  // by slot
  std::unique_ptr<engine::Statistics> stats;
  std::unique_ptr<engine::Engine> engine;
  Superblock known;  // as the last event told
  bool primary = false;
  bool may_fail = false;  // its disk is about to
  bool failed = false;
  io::SocketId listener = io::kNoSocket;
  io::Timer uuid_timer;
  io::Timer patience_timer;               // without a disk, since a connection was lost
  std::function<void()> out_of_patience;  // what is held may fail from here on
  uint64_t resyncs = 0;
  uint32_t life = 0;     // raised by every attach
  uint64_t boot_id = 1;  // raised by every loss of power

  Member(io::SimWorld& in, uint64_t bytes, std::string node, std::vector<std::string> others)
      : world(in),
        io(in),
        disk(in.make_disk(bytes, 512)),
        disk_bytes(bytes),
        name(std::move(node)),
        peers(std::move(others)) {
    uuid_timer.owner = this;
    uuid_timer.fire = [](io::Timer& timer) { static_cast<Member*>(timer.owner)->supply_uuid(); };
    patience_timer.owner = this;
    patience_timer.fire = [](io::Timer& timer) {
      static_cast<Member*>(timer.owner)->out_of_patience();
    };
    format();
  }
  ~Member() {
    if (engine != nullptr) crash(io::SimCrash::kProcess);
  }

  Layout layout() const { return compute_layout(true, disk_bytes, disk_bytes, 7, 512).value(); }
  uint64_t device_bytes() const { return layout().device_size_bytes; }

  void control(uint32_t, uint32_t, std::span<const std::byte>) override {}
  void link_closed(uint32_t slot, uint32_t incarnation, engine::Loss loss,
                   const char* detail) override {
    trace(std::string("lost a link: ") + detail);
    if (loss == engine::Loss::kProtocolError) die(name + ": protocol error: " + detail);
    if (links[slot].incarnation != incarnation) return;
    links[slot] = MemberLink{incarnation};
    if (diskless() && !patience_timer.link.linked()) {
      io.arm(patience_timer, io.now_us() + timeout_us);
    }
  }
  void resync_started(uint32_t, uint32_t) override {}
  void resync_finished(uint32_t slot, uint32_t incarnation) override {
    if (links[slot].incarnation != incarnation) return;
    links[slot].role = engine::ResyncRole::kNone;
    resyncs += 1;
    trace("finished a resync");
  }
  void generation_changed() override {
    io.arm(uuid_timer, io.now_us() + world.random().between(1, uuid_delay_us));
  }
  void clients_changed(uint32_t) override {}
  void disk_failed(const char* what, int) override {
    if (!may_fail) die(name + ": the disk failed: " + what);
    failed = true;
    trace(std::string("disk failed: ") + what);
  }
  void io_error(const char* what, int) override { trace(std::string("disk error: ") + what); }
  void metadata_changed(const meta::Superblock& superblock) override { known = superblock; }

  void trace(const std::string& what) const {
    if (tracing()) std::printf("%10lu %s: %s\n", world.now_us(), name.c_str(), what.c_str());
  }
  static bool& tracing() {
    static bool on = false;
    return on;
  }

  void supply_uuid() {
    const uint64_t uuid = Copy::next_uuid();
    engine->supply_uuids({&uuid, 1});
  }

  void format() {
    Superblock state;
    state.metadata_id = 42 + static_cast<uint32_t>(disk);
    state.layout = layout();
    state.resource = "r0";
    state.node = name;
    SuperblockStore store(io, disk);
    ActivityLog log(io, disk);
    Bitmap bitmap(io, disk);
    store.current() = state;
    Waiting formatted[3];
    bitmap.format(state.layout, state.metadata_id, PageState::kNone, formatted[0].waiter);
    log.format(state.layout, state.metadata_id, formatted[1].waiter);
    until([&] { return formatted[0].done && formatted[1].done; }, "formatting");
    store.commit(formatted[2].waiter);
    until([&] { return formatted[2].done && io.in_flight() == 0; }, "formatting");
  }

  void until(const std::function<bool()>& predicate, const char* what) {
    if (!world.run_until(predicate, 120'000'000)) die(name + " is stuck: " + what);
  }
  // False when the engine went away, or the command failed.
  bool done(Done& command, const char* what) {
    until([&] { return command.done; }, what);
    return command.error == 0;
  }

  void attach(uint32_t uuids) {
    links = {};
    may_fail = failed = false;
    life += 1;
    stats = std::make_unique<engine::Statistics>();
    engine = std::make_unique<engine::Engine>(io, *this, *stats);
    if (!engine->init().ok()) die("no memory");
    engine::AttachSpec spec;
    spec.resource = "r0";
    spec.node = name;
    spec.peers = peers;
    spec.data_disk = spec.meta_disk = disk;
    spec.data_disk_bytes = spec.meta_disk_bytes = disk_bytes;
    spec.options.al_extents = al_extents;
    spec.options.timeout_us = timeout_us;
    spec.protocol = protocol;
    spec.boot_id = boot_id;
    Done command;
    engine->attach(spec, command.completion);
    if (!done(command, "attaching")) die(name + ": attach failed");
    for (uint32_t i = 0; i < uuids; ++i) supply_uuid();
    trace("attached, uuid " + std::to_string(engine->superblock().current_uuid) + " flags " +
          std::to_string(engine->superblock().flags) + " out of sync " +
          std::to_string(stats->peers[0].out_of_sync_bytes));
  }

  void close() {
    trace("closes");
    Done command;
    engine->close(command.completion);
    if (!done(command, "closing")) die(name + ": close failed");
    if (!engine->closed()) die(name + ": not closed");
    until([&] { return io.in_flight() == 0; }, "ending");
    engine.reset();
    io.disarm(uuid_timer);
    io.disarm(patience_timer);
    primary = false;
    links = {};
  }

  void crash(io::SimCrash how) {
    trace(how == io::SimCrash::kPower ? "loses power" : "crashes");
    world.crash(io, how);
    if (how == io::SimCrash::kPower) world.power_loss(disk);
    if (how == io::SimCrash::kPower) boot_id += 1;
    Copy::leaked().push_back(std::move(engine));
    primary = false;
    links = {};
  }

  void patch(const engine::MetadataPatch& wanted, const char* what, bool must = true) {
    Done command;
    engine->update_metadata(wanted, command.completion);
    if (!done(command, what) && must) die(name + ": " + what + " failed");
  }

  void serve() {
    engine::MetadataPatch wanted;
    wanted.primary_indicator = true;
    patch(wanted, "becoming Primary");
    listener = world.listen(io);
    Done command;
    engine->serve(listener, "r0", command.completion);
    if (!done(command, "serving")) die(name + ": serve failed");
    primary = true;
    trace("serves");
  }

  void withdraw() {
    Done command;
    engine->withdraw(true, command.completion);
    if (!done(command, "withdrawing")) die(name + ": withdraw failed");
    engine::MetadataPatch wanted;
    wanted.primary_indicator = false;
    patch(wanted, "becoming Secondary");
    primary = false;
    trace("serves no longer");
  }

  uint32_t slot_of(const Member& other) const { return peers[0] == other.name ? 0 : 1; }
  MemberLink& link(const Member& other) { return links[slot_of(other)]; }
  // Lost its disk and serves from a peer.
  bool diskless() const { return failed && primary; }
  // Of a Primary without a disk: the peer has all that its clients have seen.
  bool may_use(const Member& other) const {
    const uint64_t uuid = other.known.current_uuid;
    return (uuid == known.current_uuid || uuid == stats->exposed_uuid) && out_of_sync(other) == 0 &&
           (other.known.flags & meta::kConsistent) != 0;
  }
  uint64_t out_of_sync(const Member& other) const {
    return stats->peers[slot_of(other)].out_of_sync_bytes;
  }
  // Whatever is acknowledged on this node is there as well.
  bool mirrors_to(Member& other) {
    const uint32_t slot = slot_of(other);
    return links[slot].established && links[slot].role == engine::ResyncRole::kNone &&
           stats->peers[slot].receiving && other.engine != nullptr &&
           links[slot].peer_life == other.life &&
           (other.engine->superblock().flags & meta::kConsistent) != 0;
  }
};

enum class Verdict : uint8_t { kInSync, kTarget, kSource, kServed, kWaits, kSplitBrain };

struct Judgement {
  Verdict verdict = Verdict::kWaits;  // of the first node
  bool mark_all = false;
};

// As src/rules/handshake.ts, less what the simulation does not do.
class Rules {
 public:
  static Judgement judge(const Member& own, const Member& peer) {
    if (own.diskless()) return {own.may_use(peer) ? Verdict::kServed : Verdict::kWaits};
    const Superblock& a = own.known;
    const Superblock& b = peer.known;
    const bool a_new = a.current_uuid == meta::kJustCreatedUuid;
    const bool b_new = b.current_uuid == meta::kJustCreatedUuid;
    if (a_new && b_new) return {};
    if (a_new || b_new) {
      const Member& source = a_new ? peer : own;
      const Member& target = a_new ? own : peer;
      const bool covered = record(source, target).bitmap_uuid == meta::kJustCreatedUuid;
      return behind(own, peer, a_new, covered);
    }
    if (a.current_uuid == b.current_uuid) return equal(own, peer);
    const uint32_t own_behind = evidence(own, peer);
    const uint32_t peer_behind = evidence(peer, own);
    if (own_behind != peer_behind) {
      const bool who = own_behind > peer_behind;
      return behind(own, peer, who, std::max(own_behind, peer_behind) == 3);
    }
    return {Verdict::kSplitBrain};
  }

 private:
  static const meta::PeerRecord& record(const Member& own, const Member& peer) {
    return own.known.peers[own.slot_of(peer)];
  }
  static bool consistent(const Member& node) { return (node.known.flags & meta::kConsistent) != 0; }
  static bool current(const Member& node) {
    return consistent(node) && (node.known.flags & meta::kWasUpToDate) != 0;
  }

  static uint32_t evidence(const Member& copy, const Member& ahead) {
    const uint64_t uuid = copy.known.current_uuid;
    if (record(ahead, copy).bitmap_uuid == uuid) return 3;
    for (const meta::PeerRecord& other : ahead.known.peers) {
      if (other.bitmap_uuid == uuid) return 2;
    }
    const auto& history = ahead.known.history_uuids;
    return std::find(history.begin(), history.end(), uuid) != history.end() ? 1 : 0;
  }

  static Judgement behind(const Member& own, const Member& peer, bool own_is_behind, bool covered) {
    const Member& source = own_is_behind ? peer : own;
    const Member& target = own_is_behind ? own : peer;
    if (!consistent(source)) return {};
    if (target.primary && consistent(target)) return {Verdict::kSplitBrain};
    return {own_is_behind ? Verdict::kTarget : Verdict::kSource, !covered};
  }

  static Judgement equal(const Member& own, const Member& peer) {
    if (!consistent(own) && !consistent(peer)) return {};
    const bool marked = own.out_of_sync(peer) > 0 || peer.out_of_sync(own) > 0 ||
                        (record(own, peer).flags & meta::kPeerFullSync) != 0 ||
                        (record(peer, own).flags & meta::kPeerFullSync) != 0;
    if (!marked && current(own) && current(peer)) return {Verdict::kInSync};
    return {rank(own) > rank(peer) ? Verdict::kSource : Verdict::kTarget};
  }
  static std::vector<uint64_t> rank(const Member& node) {
    const uint32_t flags = node.known.flags;
    const bool stayed_up = (flags & meta::kCrashed) == 0;
    const bool kept = (flags & meta::kCrashedMachine) == 0;
    const bool by_sequence = node.protocol == engine::Protocol::kA;
    return {consistent(node),
            node.primary,
            current(node),
            kept || node.protocol != engine::Protocol::kC,
            stayed_up && !by_sequence,
            (flags & meta::kCrashedPrimary) != 0,
            node.known.write_sequence,
            stayed_up,
            uint64_t{255} - static_cast<uint8_t>(node.name[0])};
  }
};

// One try of two members to connect and establish.
class Meeting {
 public:
  Meeting(Member& a, Member& b) : members_{&a, &b}, world_(a.world) {}

  // False when something came between; then the connection is closed.
  bool run() {
    if (open() && judge() && prepare() && establish()) return true;
    for (uint32_t i = 0; i < 2; ++i) {
      if (!own(i).link(peer(i)).up) continue;
      own(i).engine->close_link(slot(i), own(i).link(peer(i)).incarnation);
    }
    return false;
  }

 private:
  Member& own(uint32_t i) { return *members_[i]; }
  Member& peer(uint32_t i) { return *members_[1 - i]; }
  uint32_t slot(uint32_t i) { return own(i).slot_of(peer(i)); }
  bool up() { return own(0).link(own(1)).up && own(1).link(own(0)).up; }
  // Some time goes by; false when the connection went, too.
  bool pass(uint64_t most_us) {
    world_.run_until([&] { return !up(); }, world_.random().between(0, most_us));
    return up();
  }

  bool open() {
    const auto [end_a, end_b] = world_.connect_pair(own(0).io, own(1).io);
    const io::SocketId ends[] = {end_a, end_b};
    bool opened = true;
    for (uint32_t i = 0; i < 2; ++i) {
      const uint32_t incarnation = own(i).link(peer(i)).incarnation + 1;
      Done command;
      own(i).engine->connect_link(slot(i), ends[i], incarnation, command.completion);
      if (!own(i).done(command, "opening a connection")) opened = false;
      if (own(i).link(peer(i)).up) die("the old connection was not closed");
      own(i).link(peer(i)) = MemberLink{incarnation, opened};
      own(i).link(peer(i)).socket = ends[i];
    }
    return opened && pass(1000);
  }

  bool judge() {
    for (uint32_t i = 0; i < 2; ++i) told_[i] = own(i).known;
    judgement_ = Rules::judge(own(0), own(1));
    own(0).trace("meets " + own(1).name + ": verdict " +
                 std::to_string(static_cast<int>(judgement_.verdict)) +
                 (judgement_.mark_all ? " in full" : "") + ", uuids " +
                 std::to_string(told_[0].current_uuid) + " " +
                 std::to_string(told_[1].current_uuid));
    if (judgement_.verdict == Verdict::kSplitBrain) die("split brain");
    if (judgement_.verdict == Verdict::kWaits && own(0).diskless()) return false;
    if (judgement_.verdict == Verdict::kWaits) die("no source");
    return pass(500);
  }

  engine::ResyncRole role_of(uint32_t i) const {
    const bool copied =
        judgement_.verdict == Verdict::kSource || judgement_.verdict == Verdict::kTarget;
    if (!copied) return engine::ResyncRole::kNone;
    const bool source = (judgement_.verdict == Verdict::kSource) == (i == 0);
    return source ? engine::ResyncRole::kSource : engine::ResyncRole::kTarget;
  }

  // What must be durable before the verdict is acted on.
  bool prepare() {
    if (judgement_.verdict == Verdict::kServed) return pass(2000);
    const bool differ = told_[0].current_uuid != told_[1].current_uuid;
    for (uint32_t i = 0; i < 2; ++i) {
      engine::MetadataPatch wanted;
      wanted.if_current_uuid = told_[i].current_uuid;
      engine::PeerPatch change;
      change.slot = slot(i);
      change.generation = told_[1 - i].generation;
      const engine::ResyncRole role = role_of(i);
      if (role == engine::ResyncRole::kNone) change.bitmap_uuid = 0;
      if (role == engine::ResyncRole::kTarget) wanted.consistent = false;
      if (role == engine::ResyncRole::kSource && differ) {
        change.bitmap_uuid = told_[1 - i].current_uuid;
      }
      if (judgement_.mark_all) change.full_sync = true;
      wanted.peers.push_back(change);
      Done patched;
      own(i).engine->update_metadata(wanted, patched.completion);
      if (!own(i).done(patched, "preparing a connection") || !up()) return false;
    }
    return pass(2000);
  }

  bool establish() {
    for (uint32_t i = 0; i < 2; ++i) {
      if (own(i).known.current_uuid != told_[i].current_uuid) return false;
    }
    const uint32_t first = world_.random().chance(2) ? 0 : 1;
    for (const uint32_t i : {first, 1 - first}) {
      engine::EstablishPlan plan;
      plan.resync = role_of(i);
      plan.exchange_bitmaps = plan.resync != engine::ResyncRole::kNone;
      plan.compare = !judgement_.mark_all && (own(i).link(peer(i)).incarnation & 1) != 0;
      plan.peer_diskless = peer(i).diskless();
      plan.peer_current_uuid = told_[1 - i].current_uuid;
      plan.peer_write_sequence = told_[1 - i].write_sequence;
      MemberLink& link = own(i).link(peer(i));
      link.role = plan.resync;
      Done command;
      own(i).engine->establish(slot(i), link.incarnation, plan, command.completion);
      if (!own(i).done(command, "establishing") || !up()) return false;
      link.established = true;
      link.peer_life = peer(i).life;
      own(i).io.disarm(own(i).patience_timer);
      if (!pass(1000)) return false;
    }
    return true;
  }

  Member* members_[2];
  io::SimWorld& world_;
  Superblock told_[2];
  Judgement judgement_;
};

inline bool join(Member& a, Member& b) {
  return a.engine != nullptr && b.engine != nullptr && Meeting(a, b).run();
}

}  // namespace fixture
