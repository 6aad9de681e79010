// The simulated world: what survives a power loss, order and back-pressure of streams, partitions,
// crashes, timers, and that a seed fixes the run.

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "io/sim_io.h"

using namespace blkmirror;
using namespace blkmirror::io;

namespace {

struct Pending {
  Op op;
  bool done = false;
  int32_t result = 0;
  Pending() {
    op.owner = this;
    op.complete = [](Op& op, int32_t result) {
      auto* self = static_cast<Pending*>(op.owner);
      self->done = true;
      self->result = result;
    };
  }
};

struct Page {
  alignas(4096) std::byte data[4096];
  explicit Page(int fill) { std::memset(data, fill, sizeof data); }
};

bool all_are(const std::vector<std::byte>& bytes, int value) {
  for (const std::byte byte : bytes) {
    if (byte != static_cast<std::byte>(value)) return false;
  }
  return true;
}

void run(SimWorld& world, const Pending& pending) {
  world.run_until([&] { return pending.done; }, 10'000'000);
  if (!pending.done) check::fail(__FILE__, __LINE__, "the operation did not complete");
}

void write_page(SimWorld& world, SimIo& io, DiskId disk, uint64_t offset, int fill, bool durable) {
  const Page page(fill);
  Pending write;
  io.write(disk, offset, page.data, 4096, durable, write.op);
  run(world, write);
  if (write.result != 0) check::fail(__FILE__, __LINE__, "the write failed");
}

}  // namespace

TEST(sim_disk_reads_back_what_was_written) {
  SimWorld world(1);
  SimIo io(world);
  const DiskId disk = world.make_disk(1 << 20, 512);
  write_page(world, io, disk, 8192, 7, false);
  CHECK_OK();
  Page page(0);
  Pending read;
  io.read(disk, 8192, page.data, 4096, read.op);
  run(world, read);
  CHECK_EQ(read.result, 0);
  CHECK(page.data[4095] == std::byte{7});
  Pending zero;
  io.zero(disk, 8192, 512, ZeroMode::kMayUnmap, zero.op);
  run(world, zero);
  CHECK(all_are(world.read_back(disk, 8192, 512), 0));
  CHECK(all_are(world.read_back(disk, 8704, 3584), 7));
}

TEST(sim_disk_keeps_flushed_and_durable_writes) {
  for (uint64_t seed = 0; seed < 50; seed++) {
    SimWorld world(seed);
    SimIo io(world);
    const DiskId disk = world.make_disk(1 << 20, 512);
    write_page(world, io, disk, 0, 1, false);
    write_page(world, io, disk, 0, 2, false);
    Pending flush;
    io.flush(disk, flush.op);
    run(world, flush);
    write_page(world, io, disk, 4096, 3, true);
    CHECK_OK();
    world.power_loss(disk);
    CHECK(all_are(world.read_back(disk, 0, 4096), 2));
    CHECK(all_are(world.read_back(disk, 4096, 4096), 3));
  }
}

TEST(sim_disk_may_lose_or_keep_any_version_not_flushed) {
  bool seen[3] = {};
  for (uint64_t seed = 0; seed < 100; seed++) {
    SimWorld world(seed);
    SimIo io(world);
    const DiskId disk = world.make_disk(1 << 20, 4096);
    write_page(world, io, disk, 0, 1, false);
    write_page(world, io, disk, 0, 2, false);
    CHECK_OK();
    world.power_loss(disk);
    const auto bytes = world.read_back(disk, 0, 4096);
    const int value = static_cast<int>(bytes[0]);
    CHECK(value <= 2);
    CHECK(all_are(bytes, value));  // a block of this disk is never torn
    seen[value] = true;
  }
  CHECK(seen[0]);
  CHECK(seen[1]);
  CHECK(seen[2]);
}

TEST(sim_disk_injects_errors_in_a_range) {
  SimWorld world(3);
  SimIo io(world);
  const DiskId disk = world.make_disk(1 << 20, 512);
  world.behaviour(disk).write_error = -EIO;
  world.behaviour(disk).error_begin = 4096;
  world.behaviour(disk).error_end = 8192;
  write_page(world, io, disk, 0, 1, false);
  CHECK_OK();
  const Page page(1);
  Pending bad;
  io.write(disk, 4096, page.data, 4096, false, bad.op);
  run(world, bad);
  CHECK_EQ(bad.result, -EIO);
  Pending beyond;
  io.write(disk, 1 << 20, page.data, 4096, false, beyond.op);
  run(world, beyond);
  CHECK_EQ(beyond.result, -EIO);
}

TEST(sim_stream_arrives_in_order_with_back_pressure) {
  SimWorld world(4);
  SimIo a(world);
  SimIo b(world);
  const auto ends = world.connect_pair(a, b);
  std::vector<std::byte> sent(3 << 20);
  for (size_t i = 0; i < sent.size(); i++) sent[i] = static_cast<std::byte>(i * 7 + (i >> 10));
  size_t submitted = 0;
  std::vector<std::byte> got;
  std::vector<std::byte> space(100'000);
  Pending send;
  send.done = true;
  Pending receive;
  receive.done = true;
  iovec out[1];
  iovec in[2] = {{space.data(), 1000}, {space.data() + 1000, space.size() - 1000}};
  const auto pump = [&] {
    if (send.done && submitted < sent.size()) {
      out[0] = {sent.data() + submitted, 64 << 10};
      submitted += 64 << 10;
      send.done = false;
      a.send(ends.first, out, 1, send.op);
    }
    if (receive.done) {
      got.insert(got.end(), space.begin(), space.begin() + receive.result);
      receive.done = false;
      if (got.size() < sent.size()) b.receive(ends.second, in, 2, receive.op);
    }
    return got.size() == sent.size();
  };
  CHECK(world.run_until(pump, 1'000'000));
  CHECK(got == sent);
  CHECK_EQ(b.in_flight(), 0);
}

TEST(sim_shutdown_and_close_end_the_other_side) {
  SimWorld world(5);
  SimIo a(world);
  SimIo b(world);
  const auto ends = world.connect_pair(a, b);
  char bytes[4] = {'a', 'b', 'c', 'd'};
  iovec out[1] = {{bytes, 4}};
  Pending send;
  a.send(ends.first, out, 1, send.op);
  run(world, send);
  a.shutdown(ends.first);
  a.shutdown(ends.first);
  a.close_socket(ends.first);
  size_t total = 0;
  char space[8];
  iovec in[1] = {{space, 8}};
  while (true) {
    Pending receive;
    b.receive(ends.second, in, 1, receive.op);
    run(world, receive);
    CHECK_OK();
    CHECK(receive.result >= 0);
    if (receive.result == 0) break;
    total += static_cast<size_t>(receive.result);
  }
  CHECK_EQ(total, 4);
  Pending late;
  b.send(ends.second, out, 1, late.op);
  run(world, late);
  CHECK_EQ(late.result, -EPIPE);
  b.close_socket(ends.second);
}

TEST(sim_accept_takes_connections_and_can_be_cancelled) {
  SimWorld world(6);
  SimIo server(world);
  SimIo client(world);
  const SocketId listener = world.listen(server);
  Pending accept;
  server.accept(listener, accept.op);
  const SocketId end = world.connect(client, listener);
  CHECK(end != kNoSocket);
  run(world, accept);
  CHECK(accept.result >= 0);
  const SocketId accepted{static_cast<uint32_t>(accept.result)};
  CHECK_EQ(server.peer_pid(accepted), static_cast<int32_t>(1000 + client.index()));
  accept.done = false;
  server.accept(listener, accept.op);
  server.cancel(accept.op);
  run(world, accept);
  CHECK_EQ(accept.result, -ECANCELED);
  server.close_socket(listener);
  CHECK(world.connect(client, listener) == kNoSocket);
}

TEST(sim_partition_holds_data_until_it_heals) {
  SimWorld world(7);
  SimIo a(world);
  SimIo b(world);
  const auto ends = world.connect_pair(a, b);
  world.set_partition(a, b, true);
  char byte = 'x';
  iovec out[1] = {{&byte, 1}};
  Pending send;
  a.send(ends.first, out, 1, send.op);
  run(world, send);
  char space = 0;
  iovec in[1] = {{&space, 1}};
  Pending receive;
  b.receive(ends.second, in, 1, receive.op);
  CHECK(!world.run_until([&] { return receive.done; }, 5'000'000));
  world.set_partition(a, b, false);
  run(world, receive);
  CHECK_EQ(receive.result, 1);
  CHECK(space == 'x');
  world.reset(ends.first);
  receive.done = false;
  b.receive(ends.second, in, 1, receive.op);
  run(world, receive);
  CHECK_EQ(receive.result, -ECONNRESET);
}

TEST(sim_crash_drops_operations_and_resets_peers) {
  SimWorld world(8);
  const DiskId disk = world.make_disk(1 << 20, 512);
  SimIo survivor(world);
  SocketId end = kNoSocket;
  {
    SimIo io(world);
    const auto ends = world.connect_pair(io, survivor);
    end = ends.second;
    const Page page(9);
    Pending write;
    char space[1];
    iovec in[1] = {{space, 1}};
    Pending receive;
    Timer timer;
    timer.fire = [](Timer&) { std::abort(); };
    io.write(disk, 0, page.data, 4096, false, write.op);
    io.receive(ends.first, in, 1, receive.op);
    io.arm(timer, world.now_us() + 5);
    world.crash(io, SimCrash::kProcess);
    CHECK(!write.op.impl.pending);
    CHECK_EQ(io.in_flight(), 0);
  }
  char space[1];
  iovec in[1] = {{space, 1}};
  Pending receive;
  survivor.receive(end, in, 1, receive.op);
  run(world, receive);
  CHECK_EQ(receive.result, -ECONNRESET);
  for (uint32_t sector = 0; sector < 8; sector++) {
    const auto bytes = world.read_back(disk, sector * 512, 512);
    CHECK(all_are(bytes, 0) || all_are(bytes, 9));
  }
}

TEST(sim_power_crash_is_silent) {
  SimWorld world(9);
  SimIo a(world);
  SimIo b(world);
  const auto ends = world.connect_pair(a, b);
  char space[1];
  iovec in[1] = {{space, 1}};
  Pending receive;
  b.receive(ends.second, in, 1, receive.op);
  world.crash(a, SimCrash::kPower);
  CHECK(!world.run_until([&] { return receive.done; }, 60'000'000));
  b.shutdown(ends.second);
  run(world, receive);
  CHECK_EQ(receive.result, 0);
}

TEST(sim_timers_fire_in_order_and_batches_end) {
  struct Node : BatchHandler {
    std::string trace;
    void batch_end() override { trace += '.'; }
    void woken() override { trace += 'w'; }
  };
  SimWorld world(10);
  SimIo io(world);
  Node node;
  io.set_handler(&node);
  Timer timers[3];
  for (Timer& timer : timers) timer.owner = &node;
  timers[0].fire = [](Timer& t) { static_cast<Node*>(t.owner)->trace += '0'; };
  timers[1].fire = [](Timer& t) { static_cast<Node*>(t.owner)->trace += '1'; };
  timers[2].fire = [](Timer& t) { static_cast<Node*>(t.owner)->trace += '2'; };
  const uint64_t now_us = io.now_us();
  io.arm(timers[0], now_us + 30);
  io.arm(timers[1], now_us + 20);
  io.arm(timers[2], now_us + 10);
  io.arm(timers[2], now_us + 40);
  io.wake();
  io.wake();
  io.disarm(timers[0]);
  while (world.step()) {
  }
  CHECK_EQ(node.trace, std::string("w.1.2."));
  CHECK_EQ(io.now_us(), now_us + 40);
}

TEST(sim_same_seed_same_run) {
  const auto trace = [](uint64_t seed) {
    SimWorld world(seed);
    SimIo io(world);
    const DiskId disk = world.make_disk(1 << 20, 512);
    const Page page(1);
    Pending writes[8];
    for (Pending& write : writes) io.write(disk, 0, page.data, 512, false, write.op);
    std::string times;
    while (world.step()) times += std::to_string(world.now_us()) + " ";
    return times;
  };
  CHECK_EQ(trace(11), trace(11));
  CHECK(trace(11) != trace(12));
}
