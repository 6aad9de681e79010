// NBD sessions over the simulated world with a device in memory: data, order, malformed requests,
// limits of slots and buffers, clients that vanish, stopping.

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/endian.h"
#include "check.h"
#include "io/sim_io.h"
#include "nbd/protocol.h"
#include "nbd/server.h"
#include "nbd_memory_backend.h"

using namespace blkmirror;
using namespace blkmirror::io;
using namespace blkmirror::nbd;

namespace {

constexpr uint64_t kSize = 128u << 20;
constexpr uint64_t kPatience = 60'000'000;  // virtual µs

std::string be32(uint32_t v) {
  char b[4];
  store_be32(b, v);
  return {b, 4};
}
std::string be64(uint64_t v) {
  char b[8];
  store_be64(b, v);
  return {b, 8};
}

std::string request(Command command, uint64_t handle, uint64_t offset, uint32_t length,
                    uint16_t flags = 0) {
  char head[4];
  store_be16(head, flags);
  store_be16(head + 2, static_cast<uint16_t>(command));
  return be32(kRequestMagic) + std::string(head, 4) + be64(handle) + be64(offset) + be32(length);
}

std::string reply(uint64_t handle, uint32_t error = 0) {
  return be32(kSimpleReplyMagic) + be32(error) + be64(handle);
}

std::string pattern(size_t length, uint32_t seed) {
  std::string bytes(length, '\0');
  for (size_t i = 0; i < length; i++) {
    bytes[i] = static_cast<char>((i * 2654435761u + seed * 40503u) >> 13);
  }
  return bytes;
}

// One end of a connection that sends what it is given and collects what comes.
class Client {
 public:
  Client(SimIo& io, SocketId socket) : io_(io), socket_(socket) {
    send_.owner = receive_.owner = this;
    send_.complete = [](Op& op, int32_t result) {
      auto& self = *static_cast<Client*>(op.owner);
      if (result < 0) self.refused = true;
      self.sending_.clear();
      self.pump();
    };
    receive_.complete = [](Op& op, int32_t result) {
      auto& self = *static_cast<Client*>(op.owner);
      if (result <= 0) self.ended = true;
      if (result > 0) self.got.append(self.space_.data(), static_cast<size_t>(result));
      self.pump();
    };
    pump();
  }
  void say(const std::string& bytes) {
    queued_ += bytes;
    pump();
  }
  void listen(bool on) {
    listening_ = on;
    pump();
  }
  void leave() {
    if (!gone_) io_.shutdown(socket_);
    gone_ = true;
  }
  bool idle() const { return queued_.empty() && sending_.empty(); }

  std::string got;
  bool ended = false;
  bool refused = false;

 private:
  void pump() {
    if (!send_.impl.pending && !queued_.empty() && !refused && !gone_) {
      sending_.swap(queued_);
      out_ = {sending_.data(), sending_.size()};
      io_.send(socket_, &out_, 1, send_);
    }
    if (!receive_.impl.pending && listening_ && !ended) {
      in_ = {space_.data(), space_.size()};
      io_.receive(socket_, &in_, 1, receive_);
    }
  }

  SimIo& io_;
  SocketId socket_;
  Op send_;
  Op receive_;
  std::string queued_;
  std::string sending_;
  std::vector<char> space_ = std::vector<char>(100'000);
  iovec out_{};
  iovec in_{};
  bool listening_ = true;
  bool gone_ = false;
};

struct Setting : BatchHandler {
  explicit Setting(uint64_t seed, uint32_t pool_bytes = 8u << 20, uint64_t bytes = kSize)
      : world(seed), io(world), client_io(world), backend(io, bytes), server(io, pool, backend) {
    BM_ASSERT(pool.init(pool_bytes).ok());
    io.set_handler(this);
    listener = world.listen(io);
    server.set_client_change([](void* owner) { static_cast<Setting*>(owner)->changes++; }, this);
    Export exported;
    exported.name = "r0";
    exported.size_bytes = bytes;
    server.start(listener, exported);
  }
  ~Setting() {
    if (server.running()) stop();
    world.crash(client_io, SimCrash::kProcess);
    world.crash(io, SimCrash::kProcess);
  }
  void batch_end() override { server.batch_end(); }
  void woken() override {}

  Client& connect() {
    clients.push_back(std::make_unique<Client>(client_io, world.connect(client_io, listener)));
    return *clients.back();
  }
  // A client past its handshake, with nothing received.
  Client& join() {
    Client& client = connect();
    client.say(be32(3) + "IHAVEOPT" + be32(1) + be32(2) + "r0");
    run([&] { return client.got.size() == 28; });
    if (client.got.size() != 28) check::fail(__FILE__, __LINE__, "no handshake");
    client.got.clear();
    return client;
  }
  bool run(const std::function<bool()>& until) { return world.run_until(until, kPatience); }
  bool run_to(const Client& client, size_t bytes) {
    return run([&] { return client.got.size() >= bytes || client.ended; });
  }
  void settle() {
    world.run_until([] { return false; }, 200'000);
  }
  void stop() {
    bool done = false;
    server.stop([](void* owner) { *static_cast<bool*>(owner) = true; }, &done);
    BM_ASSERT(!done);
    backend.let_go();
    BM_ASSERT(run([&] { return done; }));
  }
  bool all_returned() const { return pool.free_bytes() == pool.region_bytes(); }

  SimWorld world;
  SimIo io;
  SimIo client_io;
  BufferPool pool;
  MemoryBackend backend;
  Server server;
  SocketId listener;
  uint32_t changes = 0;
  std::vector<std::unique_ptr<Client>> clients;
};

}  // namespace

TEST(nbd_session_writes_and_reads_back) {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    Setting s(seed);
    Client& client = s.join();
    CHECK_OK();
    const std::string data = pattern(300'032, 1);
    client.say(request(Command::kWrite, 1, 512, 300'032) + data);
    CHECK(s.run_to(client, 16));
    CHECK(client.got == reply(1));
    client.got.clear();
    client.say(request(Command::kRead, 2, 512, 300'032));
    CHECK(s.run_to(client, 16 + 300'032));
    CHECK(client.got == reply(2) + data);
    CHECK_EQ(s.server.client_count(), 1);
    CHECK_EQ(s.changes, 1);
    int32_t pid = 0;
    CHECK_EQ(s.server.client_pids(&pid, 1), 1);
    CHECK_EQ(pid, static_cast<int32_t>(1000 + s.client_io.index()));
    s.settle();
    CHECK(s.all_returned());
  }
}

TEST(nbd_session_answers_many_small_requests) {
  for (uint64_t seed = 1; seed <= 10; seed++) {
    Setting s(seed);
    Client& client = s.join();
    CHECK_OK();
    std::string all;
    for (uint32_t i = 0; i < 2000; i++) {
      all += request(Command::kWrite, i, i * 4096, 4096) + pattern(4096, i);
    }
    client.say(all);
    CHECK(s.run_to(client, 2000 * 16));
    CHECK(client.got.size() == 2000 * 16);
    for (uint32_t i = 0; i < 2000; i++) {
      const std::string expected = pattern(4096, i);
      CHECK(std::memcmp(s.backend.at(i * 4096), expected.data(), 4096) == 0);
    }
    CHECK(s.backend.most_in_flight <= limits::kRequestsPerClient);
    CHECK(s.backend.most_in_flight > 8);
  }
}

TEST(nbd_session_cuts_pieces_at_extents) {
  Setting s(1);
  Client& client = s.join();
  CHECK_OK();
  const uint64_t offset = (4u << 20) - 4096;
  client.say(request(Command::kTrim, 1, offset, 12u << 20));
  CHECK(s.run_to(client, 16));
  CHECK(client.got == reply(1));
  CHECK_EQ(s.backend.seen.size(), 4);
  CHECK_EQ(s.backend.seen[0].length, 4096);
  CHECK_EQ(s.backend.seen[1].length, 4u << 20);
  CHECK_EQ(s.backend.seen[3].length, (4u << 20) - 4096);
  s.backend.seen.clear();
  client.got.clear();
  client.say(request(Command::kWrite, 2, offset, 8192) + pattern(8192, 3));
  CHECK(s.run_to(client, 16));
  CHECK_EQ(s.backend.seen.size(), 2);
  CHECK_EQ(s.backend.seen[0].length, 4096);
}

TEST(nbd_session_passes_flags_on) {
  Setting s(2);
  Client& client = s.join();
  CHECK_OK();
  client.say(request(Command::kWrite, 1, 0, 512, kFlagFua) + pattern(512, 1));
  client.say(request(Command::kFlush, 2, 0, 0));
  client.say(request(Command::kTrim, 3, 0, 4096));
  client.say(request(Command::kWriteZeroes, 4, 0, 4096));
  client.say(request(Command::kWriteZeroes, 5, 0, 4096, kFlagNoHole | kFlagFua));
  CHECK(s.run_to(client, 5 * 16));
  const auto& seen = s.backend.seen;
  CHECK_EQ(seen.size(), 5);
  CHECK(seen[0].durable && seen[0].kind == PieceKind::kWrite);
  CHECK(seen[1].kind == PieceKind::kFlush && seen[1].length == 0);
  CHECK(seen[2].kind == PieceKind::kZero && seen[2].may_unmap && !seen[2].durable);
  CHECK(seen[3].may_unmap);
  CHECK(!seen[4].may_unmap && seen[4].durable);
}

TEST(nbd_session_answers_malformed_requests) {
  const struct {
    std::string bytes;
    uint32_t error;
  } table[] = {
      {request(Command{5}, 9, 0, 0), 22},
      {request(Command::kRead, 9, 0, 512, 1 << 2), 22},
      {request(Command::kRead, 9, kSize, 512), 22},
      {request(Command::kTrim, 9, kSize - 512, 1024), 22},
      {request(Command::kWriteZeroes, 9, kSize, 512), 28},
      {request(Command::kWrite, 9, kSize - 512, 1024) + pattern(1024, 1), 28},
      {request(Command::kWrite, 9, 100, 512) + pattern(512, 1), 22},
      {request(Command::kWrite, 9, 0, 100) + pattern(100, 1), 22},
      {request(Command::kWrite, 9, 0, 33u << 20) + pattern(33u << 20, 1), 22},
      {request(Command::kRead, 9, 0, 33u << 20), 22},
      {request(Command::kWriteZeroes, 9, 0, 512, kFlagFastZero), 95},
      {request(Command::kFlush, 9, 0, 512), 22},
      {request(Command::kRead, 9, 0, 0), 0},
      {request(Command::kWrite, 9, 0, 0), 0},
      {request(Command::kTrim, 9, 0, 0), 0},
      {request(Command::kWriteZeroes, 9, 512, 0), 0},
  };
  Setting s(3);
  Client& client = s.join();
  CHECK_OK();
  for (const auto& row : table) {
    client.got.clear();
    client.say(row.bytes + request(Command::kFlush, 10, 0, 0));
    CHECK(s.run_to(client, 32));
    CHECK(client.got == reply(9, row.error) + reply(10));
    CHECK(!client.ended);
  }
  for (const auto& seen : s.backend.seen) CHECK_EQ(seen.kind, PieceKind::kFlush);
}

TEST(nbd_session_hangs_up_on_a_lost_stream) {
  const std::string bad[] = {
      std::string(28, 'x'),
      request(Command::kWrite, 1, 0, 0xffffff00),
  };
  for (const std::string& bytes : bad) {
    Setting s(4);
    Client& client = s.join();
    CHECK_OK();
    client.say(bytes);
    CHECK(s.run([&] { return client.ended; }));
    CHECK(client.got.empty());
    s.settle();
    CHECK_EQ(s.server.client_count(), 0);
    CHECK_EQ(s.changes, 2);
  }
}

TEST(nbd_session_disconnect_finishes_what_was_asked) {
  Setting s(5);
  Client& client = s.join();
  CHECK_OK();
  s.backend.delay_us = 50'000;
  client.say(request(Command::kWrite, 1, 0, 4096) + pattern(4096, 1) +
             request(Command::kRead, 2, 8192, 4096) + request(Command::kDisconnect, 3, 0, 0) +
             request(Command::kWrite, 4, 4096, 4096) + pattern(4096, 2));
  CHECK(s.run([&] { return client.ended; }));
  CHECK(client.got == reply(1) + reply(2) + std::string(4096, '\0'));
  CHECK_EQ(s.backend.seen.size(), 2);
  s.settle();
  CHECK(s.all_returned());
}

TEST(nbd_session_client_vanishes_mid_request) {
  for (uint64_t seed = 1; seed <= 10; seed++) {
    Setting s(seed);
    Client& client = s.join();
    CHECK_OK();
    s.backend.held = true;
    client.say(request(Command::kWrite, 1, 0, 4096) + pattern(4096, 1) +
               request(Command::kWrite, 2, 0, 600'064) + pattern(300'000, 2));
    CHECK(s.run([&] { return s.backend.seen.size() == 2; }));
    s.settle();
    client.leave();
    s.settle();
    CHECK_EQ(s.backend.in_flight, 2);
    CHECK_EQ(s.server.client_count(), 1);  // until the backend is done with its buffers
    s.backend.let_go();
    s.settle();
    CHECK_EQ(s.backend.seen.size(), 2);  // nothing of the incomplete piece
    CHECK_EQ(s.server.client_count(), 0);
    CHECK(s.all_returned());
  }
}

TEST(nbd_session_read_errors) {
  Setting s(6);
  Client& client = s.join();
  CHECK_OK();
  s.backend.fail_offset = 8192;
  s.backend.fail_error = EIO;
  client.say(request(Command::kRead, 1, 0, 32u << 20) + request(Command::kRead, 2, 4096, 4096));
  CHECK(s.run_to(client, 16 + 16 + 4096));
  CHECK(client.got == reply(1, 5) + reply(2) + std::string(4096, '\0'));
  client.got.clear();
  s.backend.fail_offset = 20u << 20;  // far behind the first piece: too late for an answer
  client.say(request(Command::kRead, 3, 0, 32u << 20));
  CHECK(s.run([&] { return client.ended; }));
  CHECK(client.got.size() < (21u << 20));
  CHECK(client.got.substr(0, 16) == reply(3));
  s.settle();
  CHECK(s.all_returned());
}

TEST(nbd_session_write_and_zero_errors_answer_once) {
  Setting s(7);
  Client& client = s.join();
  CHECK_OK();
  s.backend.fail_offset = 700'000;
  s.backend.fail_error = ENOSPC;
  client.say(request(Command::kWrite, 1, 0, 2u << 20) + pattern(2u << 20, 1));
  CHECK(s.run_to(client, 16));
  CHECK(client.got == reply(1, 28));
  client.got.clear();
  client.say(request(Command::kWriteZeroes, 2, 0, kSize));
  client.say(request(Command::kFlush, 3, 0, 0));
  CHECK(s.run_to(client, 32));
  CHECK_EQ(client.got.size(), 32);
  CHECK(client.got.find(reply(2, 28)) != std::string::npos);
  CHECK(client.got.find(reply(3)) != std::string::npos);
  s.settle();
  CHECK(s.all_returned());
}

TEST(nbd_session_large_reads_stream_in_order) {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    Setting s(seed, 1u << 20);  // a pool far smaller than the reads
    Client& client = s.join();
    CHECK_OK();
    const std::string data = pattern(20u << 20, 7);
    std::memcpy(s.backend.at(0), data.data(), data.size());
    std::vector<size_t> places;
    client.say(request(Command::kRead, 1, 4096, 16u << 20) +
               request(Command::kRead, 2, 512, 9u << 20) + request(Command::kRead, 3, 0, 512));
    const size_t total = (16u << 20) + (9u << 20) + 512 + 48;
    CHECK(s.run_to(client, total));
    CHECK_EQ(client.got.size(), total);
    std::string rest = client.got;
    for (uint32_t answers = 0; answers < 3; answers++) {
      const uint64_t handle = load_be64(rest.data() + 8);
      const uint64_t offset = handle == 1 ? 4096 : handle == 2 ? 512 : 0;
      const size_t length = handle == 1 ? 16u << 20 : handle == 2 ? 9u << 20 : 512;
      CHECK(rest.compare(16, length, data, offset, length) == 0);
      rest.erase(0, 16 + length);
    }
    s.settle();
    CHECK(s.all_returned());
  }
}

TEST(nbd_session_waits_for_buffers_and_goes_on) {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    Setting s(seed, 256u << 10);  // one large buffer, or 64 small ones, for all
    std::vector<Client*> clients;
    for (int i = 0; i < 4; i++) clients.push_back(&s.join());
    CHECK_OK();
    for (uint32_t i = 0; i < 4; i++) {
      std::string all;
      for (uint32_t n = 0; n < 20; n++) {
        const uint64_t offset = i * (16u << 20) + n * (256u << 10);
        all += request(Command::kWrite, n, offset, 256u << 10) + pattern(256u << 10, i * 100 + n);
        all += request(Command::kRead, 100 + n, offset, 4096);
      }
      clients[i]->say(all);
    }
    for (uint32_t i = 0; i < 4; i++) {
      CHECK(s.run_to(*clients[i], 20 * 16 + 20 * (16 + 4096)));
      CHECK(!clients[i]->ended);
      const std::string expected = pattern(256u << 10, i * 100 + 19);
      const uint64_t offset = i * (16u << 20) + 19 * (256u << 10);
      CHECK(std::memcmp(s.backend.at(offset), expected.data(), expected.size()) == 0);
    }
    s.settle();
    CHECK(s.all_returned());
  }
}

TEST(nbd_session_slow_reader_does_not_starve_others) {
  Setting s(8);
  Client& slow = s.join();
  Client& other = s.join();
  CHECK_OK();
  slow.listen(false);
  std::string all;
  for (uint32_t i = 0; i < 200; i++) all += request(Command::kRead, i, 0, 1u << 20);
  slow.say(all);
  s.settle();
  CHECK(s.pool.free_bytes() >= 4u << 20);
  for (uint32_t i = 0; i < 100; i++) other.say(request(Command::kRead, i, 0, 65'536));
  CHECK(s.run_to(other, 100 * (16 + 65'536)));
  slow.listen(true);
  CHECK(s.run_to(slow, 200 * (16 + (1u << 20))));
  s.settle();
  CHECK(s.all_returned());
}

// However many they are, and whatever came first.
TEST(nbd_session_clients_that_never_read_leave_buffers_to_others) {
  for (const uint32_t count : {3u, 20u, limits::kClients - 1}) {
    Setting s(count);
    std::vector<Client*> stuck;
    for (uint32_t i = 0; i < count; i++) {
      stuck.push_back(&s.join());
      CHECK_OK();
      stuck[i]->listen(false);
      for (uint32_t n = 0; n < 8; n++) {
        stuck[i]->say(request(Command::kRead, n, uint64_t{n} << 20, 1u << 20));
      }
      s.settle();
    }
    Client& other = s.join();
    CHECK_OK();
    const std::string data = pattern(256u << 10, count);
    for (uint32_t n = 0; n < 20; n++) {
      other.say(request(Command::kWrite, n, 0, 256u << 10) + data);
      other.say(request(Command::kRead, 100 + n, 0, 256u << 10));
    }
    CHECK(s.run_to(other, 20 * (16 + 16 + (256u << 10))));
    CHECK(!other.ended);
    CHECK(std::memcmp(s.backend.at(0), data.data(), data.size()) == 0);
    for (Client* client : stuck) client->listen(true);
    for (Client* client : stuck) CHECK(s.run_to(*client, 8 * (16 + (1u << 20))));
    s.settle();
    CHECK(s.all_returned());
  }
}

TEST(nbd_session_a_read_is_not_sent_before_it_is_read) {
  Setting s(9);
  Client& client = s.join();
  CHECK_OK();
  s.backend.held = true;
  client.say(request(Command::kRead, 1, 0, 4096));
  s.settle();
  CHECK(client.got.empty());
  s.backend.let_go();
  CHECK(s.run_to(client, 4112));
}

TEST(nbd_server_limits_its_clients) {
  Setting s(10);
  std::vector<Client*> clients;
  for (uint32_t i = 0; i < limits::kClients + 5; i++) clients.push_back(&s.connect());
  CHECK(s.run([&] {
    return std::all_of(clients.begin(), clients.end(),
                       [](const Client* c) { return c->got.size() == 18 || c->ended; });
  }));
  const auto refused =
      std::count_if(clients.begin(), clients.end(), [](const Client* c) { return c->ended; });
  CHECK_EQ(refused, 5);
  clients[0]->leave();
  s.settle();
  CHECK(s.run_to(s.connect(), 18));
}

TEST(nbd_server_stops_with_requests_in_flight_and_starts_again) {
  Setting s(11);
  Client& client = s.join();
  Client& greeted = s.connect();
  CHECK(s.run_to(greeted, 18));
  s.backend.held = true;
  client.say(request(Command::kWrite, 1, 0, 4096) + pattern(4096, 1) +
             request(Command::kRead, 2, 0, 16u << 20) +
             request(Command::kWriteZeroes, 3, 0, 128u << 20));
  CHECK(s.run([&] { return s.backend.in_flight > 2; }));
  s.stop();
  CHECK(!s.server.running());
  s.settle();
  CHECK(client.ended);
  CHECK(greeted.ended);
  CHECK(client.got.empty());
  CHECK(s.all_returned());
  s.listener = s.world.listen(s.io);
  Export exported;
  exported.size_bytes = 4096;
  exported.minimum_block = 4096;
  s.server.start(s.listener, exported);
  CHECK(s.run_to(s.connect(), 18));
}

TEST(nbd_server_goes_with_a_crash) {
  SimWorld world(12);
  SimIo io(world);
  SimIo client_io(world);
  BufferPool pool;
  CHECK(pool.init(256u << 10).ok());
  MemoryBackend backend(io, kSize);
  struct Handler : BatchHandler {
    Server* server = nullptr;
    void batch_end() override { server->batch_end(); }
    void woken() override {}
  } handler;
  io.set_handler(&handler);
  {
    Server server(io, pool, backend);
    handler.server = &server;
    Export exported;
    exported.size_bytes = kSize;
    const SocketId listener = world.listen(io);
    server.start(listener, exported);
    backend.delay_us = 1'000;
    Client first(client_io, world.connect(client_io, listener));
    Client second(client_io, world.connect(client_io, listener));
    for (Client* client : {&first, &second}) {
      client->say(be32(3) + "IHAVEOPT" + be32(1) + be32(0));
      client->say(request(Command::kWrite, 1, 0, 1u << 20) + pattern(1u << 20, 1));
    }
    CHECK(world.run_until([&] { return backend.seen.size() >= 3; }, kPatience));
    world.crash(io, SimCrash::kPower);
    world.crash(client_io, SimCrash::kProcess);
  }
  CHECK_EQ(pool.free_bytes(), pool.region_bytes());
}

TEST(nbd_session_garbage_at_random) {
  for (uint64_t seed = 1; seed <= 60; seed++) {
    Setting s(seed, 512u << 10, 8u << 20);
    SimRandom random(seed);
    std::vector<Client*> clients;
    for (int i = 0; i < 3; i++) clients.push_back(&s.join());
    CHECK_OK();
    for (int round = 0; round < 40; round++) {
      Client& client = *clients[random.next() % clients.size()];
      const auto command = Command{static_cast<uint16_t>(random.next() % 8)};
      const uint64_t offset = random.next() % (9u << 20) / 512 * 512;
      const auto length = static_cast<uint32_t>(random.next() % (1u << 20) / 512 * 512);
      const auto flags = static_cast<uint16_t>(random.chance(4) ? random.next() % 32 : 0);
      if (command == Command::kDisconnect && !random.chance(8)) continue;
      client.say(request(command, round, offset, length, flags));
      if (command == Command::kWrite) client.say(pattern(length, round));
      if (random.chance(30)) client.say("garbage that is surely not a request at all");
      if (random.chance(40)) client.leave();
      if (random.chance(3)) s.world.run_until([] { return false; }, random.next() % 2000);
    }
    s.settle();
    for (Client* client : clients) client->leave();
    CHECK(s.run([&] { return s.server.client_count() == 0; }));
    CHECK(s.all_returned());
  }
}
