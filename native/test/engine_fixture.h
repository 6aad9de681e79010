// Two or more engines in one simulated world, each with a disk holding fresh metadata, and the
// waiters, events and clients the engine tests need.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/parts.h"
#include "io/sim_io.h"
#include "meta_fixture.h"

namespace fixture {

struct Done {
  engine::Completion completion;
  bool done = false;
  int error = -1;
  Done() {
    completion.owner = this;
    completion.done = [](engine::Completion& told, int code, const char*) {
      auto& self = *static_cast<Done*>(told.owner);
      self.done = true;
      self.error = code;
    };
  }
};

struct Events : engine::EventSink {
  std::vector<std::string> log;
  uint32_t started = 0;
  uint32_t finished = 0;
  uint32_t closed = 0;
  uint32_t generations = 0;
  bool disk_lost = false;
  uint32_t io_errors = 0;
  uint64_t told_uuid = 0;  // currentUuid as the owner knows it
  std::vector<std::string> controls;

  void control(uint32_t, uint32_t, std::span<const std::byte> text) override {
    controls.emplace_back(reinterpret_cast<const char*>(text.data()), text.size());
  }
  void link_closed(uint32_t, uint32_t, engine::Loss, const char* detail) override {
    closed += 1;
    log.emplace_back(detail);
  }
  void resync_started(uint32_t, uint32_t) override { started += 1; }
  void resync_finished(uint32_t, uint32_t) override { finished += 1; }
  void generation_changed() override { generations += 1; }
  void clients_changed(uint32_t) override {}
  void disk_failed(const char* what, int) override {
    disk_lost = true;
    log.emplace_back(what);
  }
  void io_error(const char* what, int) override {
    io_errors += 1;
    log.emplace_back(what);
  }
  void metadata_changed(const meta::Superblock& superblock) override {
    told_uuid = superblock.current_uuid;
  }
};

constexpr uint64_t kDiskBytes = 64u << 20;

// What is on a copy's disk at first; kExternal: its metadata is on a disk of its own.
enum class Fresh : uint8_t { kFormatted, kBlank, kExternal };

// One node: its Io lives on over crashes, the engine does not.
struct Copy {
  io::SimWorld& world;
  io::SimIo io;
  io::DiskId disk;
  io::DiskId meta_disk;  // the same when internal
  std::string name;
  std::vector<std::string> peers;
  engine::Protocol protocol = engine::Protocol::kC;
  Events events;
  std::unique_ptr<engine::Statistics> stats;
  std::unique_ptr<engine::Engine> engine;
  uint32_t incarnation = 0;
  engine::IoErrorPolicy on_io_error = engine::IoErrorPolicy::kDetach;
  uint64_t disk_timeout_us = 0;
  uint64_t boot_id = 1;  // another after each loss of power

  Copy(io::SimWorld& in, std::string node, std::vector<std::string> others,
       Fresh fresh = Fresh::kFormatted)
      : world(in),
        io(in),
        disk(in.make_disk(kDiskBytes, 512)),
        meta_disk(fresh == Fresh::kExternal ? in.make_disk(kDiskBytes, 512) : disk),
        name(std::move(node)),
        peers(std::move(others)) {
    if (fresh != Fresh::kBlank) format();
  }

  ~Copy() {
    if (engine != nullptr) crash(io::SimCrash::kPower);
  }

  bool internal() const { return meta_disk == disk; }

  void format() {
    Superblock state;
    state.metadata_id = 42;
    state.layout = compute_layout(internal(), kDiskBytes, kDiskBytes, 7, 512).value();
    state.resource = "r0";
    state.node = name;
    SuperblockStore store(io, meta_disk);
    ActivityLog log(io, meta_disk);
    Bitmap bitmap(io, meta_disk);
    store.current() = state;
    struct Batch : io::BatchHandler {
      ActivityLog* log = nullptr;
      void batch_end() override { log->batch_end(); }
      void woken() override {}
    } batch;
    batch.log = &log;
    io.set_handler(&batch);
    Waiting formatted[3];
    bitmap.format(state.layout, 42, PageState::kNone, formatted[0].waiter);
    log.format(state.layout, 42, formatted[1].waiter);
    world.run_until([&] { return formatted[0].done && formatted[1].done; }, 10'000'000);
    store.commit(formatted[2].waiter);
    world.run_until([&] { return formatted[2].done && store.idle() && io.in_flight() == 0; },
                    10'000'000);
    io.set_handler(nullptr);
  }

  int attach(uint64_t al_extents = 0, uint32_t uuids = 4) {
    stats = std::make_unique<engine::Statistics>();
    engine = std::make_unique<engine::Engine>(io, events, *stats);
    if (!engine->init().ok()) return -1;
    const int error = attach_again(al_extents);
    if (error == 0) supply(uuids);
    return error;
  }

  int attach_again(uint64_t al_extents = 0) {
    engine::AttachSpec spec;
    spec.resource = "r0";
    spec.node = name;
    spec.peers = peers;
    spec.data_disk = disk;
    spec.meta_disk = meta_disk;
    spec.internal = internal();
    spec.data_disk_bytes = spec.meta_disk_bytes = kDiskBytes;
    spec.options.al_extents = al_extents;
    spec.options.on_io_error = on_io_error;
    spec.options.disk_timeout_us = disk_timeout_us;
    spec.protocol = protocol;
    spec.boot_id = boot_id;
    Done done;
    engine->attach(spec, done.completion);
    wait(done);
    return done.error;
  }

  int detach(bool force) {
    Done done;
    engine->detach(force, done.completion);
    wait(done);
    return done.error;
  }

  void supply(uint32_t uuids) {
    for (; uuids > 0; --uuids) {
      const uint64_t uuid = next_uuid();
      engine->supply_uuids({&uuid, 1});
    }
  }

  static uint64_t next_uuid() {
    static uint64_t last = 0xabc0000;
    last += 16;
    return last;
  }

  bool wait(Done& done) {
    return world.run_until([&] { return done.done; }, 60'000'000);
  }

  int close() {
    Done done;
    engine->close(done.completion);
    wait(done);
    engine.reset();
    return done.error;
  }

  void crash(io::SimCrash how) {
    world.crash(io, how);
    if (how == io::SimCrash::kPower) lose_power();
    leaked().push_back(std::move(engine));
    io.set_handler(nullptr);
  }
  void lose_power() {
    boot_id += 1;
    world.power_loss(disk);
    if (!internal()) world.power_loss(meta_disk);
  }
  // A crashed engine's parts still point at operations in flight: it is kept, never run again.
  static std::vector<std::unique_ptr<engine::Engine>>& leaked() {
    static auto* const engines = new std::vector<std::unique_ptr<engine::Engine>>();
    return *engines;
  }

  int patch(const engine::MetadataPatch& wanted) {
    Done done;
    engine->update_metadata(wanted, done.completion);
    wait(done);
    return done.error;
  }

  void make_up_to_date(uint64_t uuid) {
    engine::MetadataPatch wanted;
    wanted.current_uuid = uuid;
    wanted.consistent = wanted.was_up_to_date = true;
    patch(wanted);
  }

  uint64_t out_of_sync(uint32_t slot) const { return stats->peers[slot].out_of_sync_bytes; }
};

// A client that speaks just enough NBD over a simulated socket.
struct Client {
  Copy& copy;
  io::SimIo io;
  io::SocketId listener = io::kNoSocket;
  io::SocketId socket = io::kNoSocket;
  io::Op send_op;
  io::Op receive_op;
  bool sent = false;
  int32_t received = 0;
  std::vector<std::byte> outgoing;
  iovec outgoing_part{};
  std::byte incoming[16];
  iovec incoming_part{};

  explicit Client(Copy& server) : copy(server), io(server.world) {
    send_op.owner = receive_op.owner = this;
    send_op.complete = [](io::Op& op, int32_t) { static_cast<Client*>(op.owner)->sent = true; };
    receive_op.complete = [](io::Op& op, int32_t result) {
      static_cast<Client*>(op.owner)->received = result;
    };
  }

  bool serve_and_connect() {
    listener = copy.world.listen(copy.io);
    Done served;
    copy.engine->serve(listener, "r0", served.completion);
    copy.wait(served);
    return served.error == 0 && connect(listener);
  }

  bool connect(io::SocketId where) {
    socket = copy.world.connect(io, where);
    std::byte greeting[18];
    if (!receive(greeting, sizeof greeting)) return false;
    std::byte hello[4 + 16] = {};
    store_be32(hello, 3);  // FIXED_NEWSTYLE, NO_ZEROES
    store_be64(hello + 4, 0x49484156454F5054);
    store_be32(hello + 12, 1);  // NBD_OPT_EXPORT_NAME
    std::byte answer[10];
    return send(hello, sizeof hello) && receive(answer, sizeof answer);
  }

  bool send(const void* data, uint32_t length) {
    sent = false;
    iovec part{const_cast<void*>(data), length};
    io.send(socket, &part, 1, send_op);
    return copy.world.run_until([&] { return sent; }, 60'000'000);
  }

  bool receive(void* data, uint32_t length) {
    auto* at = static_cast<std::byte*>(data);
    while (length > 0) {
      received = INT32_MIN;
      iovec part{at, length};
      io.receive(socket, &part, 1, receive_op);
      if (!copy.world.run_until([&] { return received != INT32_MIN; }, 60'000'000)) return false;
      if (received <= 0) return false;
      at += received;
      length -= static_cast<uint32_t>(received);
    }
    return true;
  }

  void request(uint16_t type, uint64_t offset, uint32_t length, const void* data,
               uint16_t flags = 0) {
    std::vector<std::byte> bytes = header(type, flags, offset, length);
    const auto* from = static_cast<const std::byte*>(data);
    if (data != nullptr) bytes.insert(bytes.end(), from, from + length);
    send(bytes.data(), static_cast<uint32_t>(bytes.size()));
  }
  static std::vector<std::byte> header(uint16_t type, uint16_t flags, uint64_t offset,
                                       uint32_t length) {
    std::vector<std::byte> bytes(28);
    store_be32(bytes.data(), 0x25609513);
    store_be16(bytes.data() + 4, flags);
    store_be16(bytes.data() + 6, type);
    store_be64(bytes.data() + 8, offset + 1);  // cookie
    store_be64(bytes.data() + 16, offset);
    store_be32(bytes.data() + 24, length);
    return bytes;
  }

  // False when the device takes it, or answers it, only later: `sent` and finish_reply() tell.
  bool try_request(uint16_t type, uint64_t offset, const std::vector<std::byte>& data,
                   uint64_t most_us) {
    outgoing = header(type, 0, offset, static_cast<uint32_t>(data.size()));
    outgoing.insert(outgoing.end(), data.begin(), data.end());
    sent = false;
    outgoing_part = {outgoing.data(), outgoing.size()};
    io.send(socket, &outgoing_part, 1, send_op);
    return copy.world.run_until([&] { return sent; }, most_us);
  }
  bool try_reply(uint64_t most_us) {
    received = INT32_MIN;
    incoming_part = {incoming, sizeof incoming};
    io.receive(socket, &incoming_part, 1, receive_op);
    if (!copy.world.run_until([&] { return received != INT32_MIN; }, most_us)) return false;
    return finish_reply() == 0;
  }
  uint32_t finish_reply() {
    const bool came = copy.world.run_until([&] { return received != INT32_MIN; }, 60'000'000);
    if (!came || received <= 0) return UINT32_MAX;
    const auto have = static_cast<uint32_t>(received);
    if (have < sizeof incoming && !receive(incoming + have, sizeof incoming - have)) {
      return UINT32_MAX;
    }
    return load_be32(incoming + 4);
  }

  // The NBD error of the next reply; UINT32_MAX when none came.
  uint32_t reply() {
    std::byte bytes[16];
    if (!receive(bytes, sizeof bytes)) return UINT32_MAX;
    return load_be32(bytes + 4);
  }

  uint32_t write(uint64_t offset, std::byte fill, uint32_t length) {
    const std::vector<std::byte> data(length, fill);
    request(1, offset, length, data.data());
    return reply();
  }
  uint32_t write_durable(uint64_t offset, std::byte fill, uint32_t length) {
    const std::vector<std::byte> data(length, fill);
    request(1, offset, length, data.data(), 1);  // FUA
    return reply();
  }
  uint32_t trim(uint64_t offset, uint32_t length) {
    request(4, offset, length, nullptr);
    return reply();
  }
  uint32_t flush() {
    request(3, 0, 0, nullptr);
    return reply();
  }
  std::vector<std::byte> read(uint64_t offset, uint32_t length) {
    request(0, offset, length, nullptr);
    std::vector<std::byte> data(length);
    if (reply() != 0 || !receive(data.data(), length)) data.clear();
    return data;
  }
};

// A link between the two, and nothing established yet.
inline bool connect(io::SimWorld& world, Copy& a, uint32_t slot_of_b, Copy& b, uint32_t slot_of_a) {
  const auto [end_a, end_b] = world.connect_pair(a.io, b.io);
  Done done_a;
  Done done_b;
  a.engine->connect_link(slot_of_b, end_a, ++a.incarnation, done_a.completion);
  b.engine->connect_link(slot_of_a, end_b, ++b.incarnation, done_b.completion);
  world.run_until([&] { return done_a.done && done_b.done; }, 10'000'000);
  return done_a.error == 0 && done_b.error == 0;
}

inline int establish(Copy& copy, uint32_t slot, engine::ResyncRole resync, uint64_t peer_uuid,
                     bool compare = false, uint64_t peer_sequence = 0) {
  engine::EstablishPlan plan;
  plan.resync = resync;
  plan.exchange_bitmaps = resync != engine::ResyncRole::kNone;
  plan.compare = compare;
  plan.peer_current_uuid = peer_uuid;
  plan.peer_write_sequence = peer_sequence;
  Done done;
  copy.engine->establish(slot, copy.incarnation, plan, done.completion);
  copy.wait(done);
  return done.error;
}

inline bool same_data(io::SimWorld& world, Copy& a, Copy& b) {
  const uint64_t size =
      compute_layout(true, kDiskBytes, kDiskBytes, 7, 512).value().device_size_bytes;
  const io::SimDisk& one = world.disk(a.disk);
  const io::SimDisk& two = world.disk(b.disk);
  constexpr uint64_t kPage = io::SimDisk::kPageBytes;
  static const std::byte zeroes[kPage] = {};
  for (uint64_t number = 0; number * kPage < size; number++) {
    const std::byte* mine = one.peek(number);
    const std::byte* other = two.peek(number);
    if (mine == other) continue;  // never written, both
    const uint64_t length = std::min(kPage, size - number * kPage);
    const void* first = mine == nullptr ? zeroes : mine;
    if (std::memcmp(first, other == nullptr ? zeroes : other, length) != 0) return false;
  }
  return true;
}

}  // namespace fixture
