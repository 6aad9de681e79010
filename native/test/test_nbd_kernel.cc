// The kernel's session over the simulated world: no handshake, taken over with bytes that the
// former server had read already, parked between two requests, and no client that keeps a device in
// use.
#include <algorithm>
#include <functional>
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

constexpr uint64_t kSize = 64u << 20;
constexpr uint64_t kPatience = 60'000'000;  // virtual µs

std::string request(Command command, uint64_t handle, uint64_t offset, uint32_t length) {
  char bytes[28] = {};
  store_be32(bytes, kRequestMagic);
  store_be16(bytes + 6, static_cast<uint16_t>(command));
  store_be64(bytes + 8, handle);
  store_be64(bytes + 16, offset);
  store_be32(bytes + 24, length);
  return {bytes, sizeof bytes};
}

std::string reply(uint64_t handle) {
  char bytes[16] = {};
  store_be32(bytes, kSimpleReplyMagic);
  store_be64(bytes + 8, handle);
  return {bytes, sizeof bytes};
}

// The kernel's end: sends what it is given, collects what comes.
struct KernelEnd {
  KernelEnd(SimIo& io, SocketId socket) : io(io), socket(socket) {
    send.owner = receive.owner = this;
    send.complete = [](Op& op, int32_t) { static_cast<KernelEnd*>(op.owner)->sending.clear(); };
    receive.complete = [](Op& op, int32_t result) {
      auto& self = *static_cast<KernelEnd*>(op.owner);
      self.ended = result <= 0;
      if (result > 0) self.got.append(self.space.data(), static_cast<size_t>(result));
      if (!self.ended) self.listen();
    };
    listen();
  }
  void listen() {
    in = {space.data(), space.size()};
    io.receive(socket, &in, 1, receive);
  }
  void say(const std::string& bytes) {
    BM_ASSERT(sending.empty());
    sending = bytes;
    out = {sending.data(), sending.size()};
    io.send(socket, &out, 1, send);
  }

  SimIo& io;
  SocketId socket;
  Op send, receive;
  iovec in{}, out{};
  std::string sending, got;
  std::vector<char> space = std::vector<char>(100'000);
  bool ended = false;
};

struct Handed {
  bool done = false;
  SocketId socket = kNoSocket;
  std::string unread;
};

struct Setting : BatchHandler {
  explicit Setting(uint64_t seed)
      : world(seed), io(world), kernel_io(world), backend(io, kSize), server(io, pool, backend) {
    BM_ASSERT(pool.init(8u << 20).ok());
    io.set_handler(this);
    start();
    const SocketId extra = world.listen(io);
    accept.owner = this;
    accept.complete = [](Op& op, int32_t result) {
      static_cast<Setting*>(op.owner)->end = SocketId{static_cast<uint32_t>(result)};
    };
    io.accept(extra, accept);
    kernel = std::make_unique<KernelEnd>(kernel_io, world.connect(kernel_io, extra));
    BM_ASSERT(run([&] { return end != kNoSocket; }));
  }
  ~Setting() {
    if (server.running()) stop();
    world.crash(kernel_io, SimCrash::kProcess);
    world.crash(io, SimCrash::kProcess);
  }
  void batch_end() override { server.batch_end(); }
  void woken() override {}
  void start() {
    Export exported;
    exported.name = "r0";
    exported.size_bytes = kSize;
    server.start(world.listen(io), exported);
  }
  bool run(const std::function<bool()>& until) { return world.run_until(until, kPatience); }
  bool run_to(size_t bytes) {
    return run([&] { return kernel->got.size() >= bytes || kernel->ended; });
  }
  void park(Handed& handed) {
    server.park_kernel(
        [](void* owner, SocketId socket, std::span<const std::byte> unread) {
          auto& at = *static_cast<Handed*>(owner);
          at.done = true;
          at.socket = socket;
          at.unread.assign(reinterpret_cast<const char*>(unread.data()), unread.size());
        },
        &handed);
  }
  void stop() {
    bool done = false;
    server.stop([](void* owner) { *static_cast<bool*>(owner) = true; }, &done);
    backend.let_go();
    BM_ASSERT(run([&] { return done; }));
  }

  SimWorld world;
  SimIo io;
  SimIo kernel_io;
  BufferPool pool;
  MemoryBackend backend;
  Server server;
  Op accept;
  SocketId end = kNoSocket;
  std::unique_ptr<KernelEnd> kernel;
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

TEST(nbd_kernel_needs_no_handshake_and_is_no_client) {
  Setting s(1);
  s.server.admit_kernel(s.end, {});
  CHECK(s.server.has_kernel());
  s.kernel->say(request(Command::kWrite, 1, 4096, 8192) + std::string(8192, 'x'));
  CHECK(s.run_to(16));
  CHECK(s.kernel->got == reply(1));
  CHECK(std::memcmp(s.backend.at(4096), std::string(8192, 'x').data(), 8192) == 0);
  CHECK_EQ(s.server.client_count(), 0u);
}

TEST(nbd_kernel_is_parked_while_it_waits_and_served_again) {
  for (uint64_t seed = 1; seed <= 10; seed++) {
    Setting s(seed);
    s.server.admit_kernel(s.end, {});
    s.kernel->say(request(Command::kFlush, 1, 0, 0));
    CHECK(s.run_to(16));
    Handed handed;
    s.park(handed);
    CHECK(!handed.done);
    CHECK(s.run([&] { return handed.done; }));
    CHECK_EQ(handed.socket, s.end);
    CHECK_EQ(handed.unread, "");
    CHECK(!s.server.has_kernel());
    s.kernel->say(request(Command::kFlush, 2, 0, 0));
    s.server.admit_kernel(handed.socket, bytes_of(handed.unread));
    CHECK(s.run_to(32));
    CHECK(s.kernel->got == reply(1) + reply(2));
    CHECK(!s.kernel->ended);
  }
}

// At every moment of a stream of writes: what was begun is answered, what was read and not begun is
// handed over, and the next server goes on where this one stopped.
TEST(nbd_kernel_loses_nothing_when_it_is_parked_in_a_stream_of_writes) {
  constexpr uint32_t kWrites = 40;
  constexpr uint32_t kLength = 96u << 10;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    Setting s(seed);
    s.server.admit_kernel(s.end, {});
    std::string all, answers;
    for (uint32_t i = 0; i < kWrites; i++) {
      all += request(Command::kWrite, i, i * kLength, kLength) + std::string(kLength, 'a' + i % 26);
      answers += reply(i);
    }
    s.kernel->say(all);
    s.run_to(seed % 20 * 16);
    Handed handed;
    s.park(handed);
    CHECK(s.run([&] { return handed.done; }));
    CHECK_EQ(handed.socket, s.end);
    s.stop();
    s.start();
    s.server.admit_kernel(handed.socket, bytes_of(handed.unread));
    CHECK(s.run_to(answers.size()));
    CHECK_EQ(s.kernel->got.size(), answers.size());
    for (uint32_t i = 0; i < kWrites; i++) {
      CHECK(s.kernel->got.find(reply(i)) != std::string::npos);
      const std::string expected(kLength, static_cast<char>('a' + i % 26));
      CHECK(std::memcmp(s.backend.at(i * kLength), expected.data(), kLength) == 0);
    }
  }
}

TEST(nbd_kernel_that_ends_while_it_is_parked_is_told) {
  Setting s(1);
  s.server.admit_kernel(s.end, {});
  s.kernel->say(request(Command::kWrite, 1, 0, 4096));  // its data never comes
  s.world.run_until([] { return false; }, 100'000);
  Handed handed;
  s.park(handed);
  s.world.run_until([] { return false; }, 100'000);
  CHECK(!handed.done);
  s.kernel_io.shutdown(s.kernel->socket);
  CHECK(s.run([&] { return handed.done; }));
  CHECK_EQ(handed.socket, kNoSocket);
  CHECK(s.run([&] { return !s.server.has_kernel(); }));
}

TEST(nbd_kernel_is_cut_by_a_stop_also_while_it_is_parked) {
  Setting s(1);
  s.server.admit_kernel(s.end, {});
  s.kernel->say(request(Command::kWrite, 1, 0, 4096));
  s.world.run_until([] { return false; }, 100'000);
  Handed handed;
  s.park(handed);
  s.stop();
  CHECK(handed.done);
  CHECK_EQ(handed.socket, kNoSocket);
  CHECK(s.run([&] { return s.kernel->ended; }));
}
