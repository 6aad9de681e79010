// The real Io over files, tmpfs, socket pairs, timers and wake-ups.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "io/uring_io.h"

using namespace blkmirror;
using namespace blkmirror::io;

namespace {

struct Pending {
  Op op;
  bool done = false;
  int32_t result = 0;
  std::function<void()> then;
  Pending() {
    op.owner = this;
    op.complete = [](Op& op, int32_t result) {
      auto* self = static_cast<Pending*>(op.owner);
      self->done = true;
      self->result = result;
      if (self->then) self->then();
    };
  }
};

struct Ring {
  std::unique_ptr<UringIo> io;
  Ring() {
    auto created = UringIo::create();
    BM_ASSERT(created.ok());
    io = std::move(created.value());
  }
  void run(const Pending& pending) {
    while (!pending.done) io->run_batch();
  }
};

struct Bytes {
  std::byte* data;
  size_t length;
  Bytes(size_t size, int fill) : length(size) {
    data = static_cast<std::byte*>(std::aligned_alloc(4096, size));
    std::memset(data, fill, size);
  }
  ~Bytes() { std::free(data); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  bool all(int fill) const {
    for (size_t i = 0; i < length; i++) {
      if (data[i] != static_cast<std::byte>(fill)) return false;
    }
    return true;
  }
};

int open_temporary(const char* folder, uint64_t bytes, int flags) {
  std::string path = std::string(folder) + "/blkmirror-test-XXXXXX";
  const int made = ::mkstemp(path.data());
  BM_ASSERT(made >= 0);
  BM_ASSERT(::ftruncate(made, static_cast<off_t>(bytes)) == 0);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | flags);
  ::unlink(path.c_str());
  ::close(made);
  BM_ASSERT(fd >= 0);
  return fd;
}

std::pair<SocketId, int> socket_with(UringIo& io) {
  int ends[2];
  BM_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  return {io.adopt_socket(ends[0]), ends[1]};
}

void write_and_read(const char* folder, int flags, bool registered) {
  Ring ring;
  const int fd = open_temporary(folder, 1 << 20, flags);
  const DiskId disk = ring.io->adopt_disk(fd);
  Bytes out(64 << 10, 0x5a);
  Bytes in(64 << 10, 0);
  if (registered) {
    ring.io->register_memory(out.data, out.length);
    ring.io->register_memory(in.data, in.length);
  }
  Pending write, flush, read, zero, again;
  ring.io->write(disk, 8192, out.data, 64 << 10, true, write.op);
  ring.run(write);
  CHECK_EQ(write.result, 0);
  ring.io->flush(disk, flush.op);
  ring.run(flush);
  CHECK_EQ(flush.result, 0);
  ring.io->read(disk, 8192, in.data, 64 << 10, read.op);
  ring.run(read);
  CHECK_EQ(read.result, 0);
  CHECK(in.all(0x5a));
  ring.io->zero(disk, 8192, 64 << 10, ZeroMode::kMayUnmap, zero.op);
  ring.run(zero);
  CHECK_EQ(zero.result, 0);
  ring.io->read(disk, 8192, in.data, 64 << 10, again.op);
  ring.run(again);
  CHECK(in.all(0));
  ring.io->close_disk(disk);
  CHECK_EQ(::fcntl(fd, F_GETFD), -1);
}

}  // namespace

// Writes and reads at many places at once, over and over; what is held back comes as well.
TEST(uring_transfers_many_at_once) {
  constexpr uint32_t kAtOnce = 32;
  constexpr uint32_t kBlock = 4096;
  Ring ring;
  const DiskId disk = ring.io->adopt_disk(open_temporary("/dev/shm", kAtOnce * kBlock, 0));
  std::vector<std::unique_ptr<Bytes>> blocks;
  for (uint32_t i = 0; i < kAtOnce; i++) blocks.push_back(std::make_unique<Bytes>(kBlock, 0));
  for (int round = 1; round <= 400; round++) {
    std::vector<Pending> writes(kAtOnce);
    std::vector<Pending> reads(kAtOnce);
    for (uint32_t i = 0; i < kAtOnce; i++) {
      std::memset(blocks[i]->data, static_cast<int>(round + i) & 0xff, kBlock);
      ring.io->write(disk, i * kBlock, blocks[i]->data, kBlock, false, writes[i].op);
    }
    for (const Pending& write : writes) ring.run(write);
    for (uint32_t i = 0; i < kAtOnce; i++) {
      std::memset(blocks[i]->data, 0, kBlock);
      ring.io->read(disk, i * kBlock, blocks[i]->data, kBlock, reads[i].op);
    }
    for (const Pending& read : reads) ring.run(read);
    for (uint32_t i = 0; i < kAtOnce; i++) {
      CHECK_EQ(writes[i].result, 0);
      CHECK_EQ(reads[i].result, 0);
      CHECK(blocks[i]->all(static_cast<int>(round + i) & 0xff));
    }
  }
  CHECK_EQ(ring.io->in_flight(), 0u);
  ring.io->close_disk(disk);
}

TEST(uring_disk_direct_file) { write_and_read("/tmp", O_DIRECT, false); }
TEST(uring_disk_direct_file_registered) { write_and_read("/tmp", O_DIRECT, true); }
TEST(uring_disk_tmpfs) { write_and_read("/dev/shm", 0, true); }

TEST(uring_disk_short_end_is_an_error) {
  Ring ring;
  const DiskId disk = ring.io->adopt_disk(open_temporary("/tmp", 5000, O_DIRECT));
  Bytes in(8192, 1);
  Pending read, beyond;
  ring.io->read(disk, 0, in.data, 8192, read.op);
  ring.io->read(disk, 16384, in.data, 4096, beyond.op);
  ring.run(read);
  ring.run(beyond);
  CHECK_EQ(read.result, -EIO);
  CHECK_EQ(beyond.result, -EIO);
}

TEST(uring_zero_refused_is_reported_as_not_supported) {
  Ring ring;
  // tmpfs punches holes but cannot zero in place.
  const DiskId disk = ring.io->adopt_disk(open_temporary("/dev/shm", 1 << 20, 0));
  Pending keep;
  ring.io->zero(disk, 0, 4096, ZeroMode::kKeepMapped, keep.op);
  ring.run(keep);
  CHECK_EQ(keep.result, -EOPNOTSUPP);
}

TEST(uring_takes_more_operations_than_the_queue_holds) {
  Ring ring;
  const DiskId disk = ring.io->adopt_disk(open_temporary("/dev/shm", 16 << 20, 0));
  Bytes page(4096, 3);
  std::vector<Pending> writes(5000);
  uint32_t done = 0;
  for (size_t i = 0; i < writes.size(); i++) {
    writes[i].then = [&] { done++; };
    ring.io->write(disk, (i % 4096) * 4096, page.data, 4096, false, writes[i].op);
  }
  CHECK_EQ(done, 0);
  CHECK_EQ(ring.io->in_flight(), 5000);
  while (done < writes.size()) ring.io->run_batch();
  for (const Pending& write : writes) CHECK_EQ(write.result, 0);
  CHECK_EQ(ring.io->in_flight(), 0);
}

TEST(uring_operations_started_inside_complete) {
  Ring ring;
  const DiskId disk = ring.io->adopt_disk(open_temporary("/dev/shm", 1 << 20, 0));
  Bytes page(4096, 3);
  uint32_t rounds = 0;
  Pending write;
  write.then = [&] {
    if (++rounds == 1000) return;
    write.done = false;
    ring.io->write(disk, 0, page.data, 4096, false, write.op);
  };
  ring.io->write(disk, 0, page.data, 4096, false, write.op);
  ring.run(write);
  CHECK_EQ(rounds, 1000);
}

TEST(uring_receive_into_a_vector_and_the_end) {
  Ring ring;
  const auto [socket, other] = socket_with(*ring.io);
  char first[4] = {};
  char second[16] = {};
  const iovec parts[2] = {{first, sizeof first}, {second, sizeof second}};
  Pending receive;
  ring.io->receive(socket, parts, 2, receive.op);
  CHECK_EQ(::write(other, "abcdefgh", 8), 8);
  ring.run(receive);
  CHECK_EQ(receive.result, 8);
  CHECK(std::memcmp(first, "abcd", 4) == 0);
  CHECK(std::memcmp(second, "efgh", 4) == 0);
  Pending end;
  ring.io->receive(socket, parts, 1, end.op);
  ::close(other);
  ring.run(end);
  CHECK_EQ(end.result, 0);
  ring.io->close_socket(socket);
}

TEST(uring_send_goes_on_until_all_is_sent) {
  Ring ring;
  const auto [socket, other] = socket_with(*ring.io);
  Bytes data(8 << 20, 0);
  for (size_t i = 0; i < data.length; i++) data.data[i] = static_cast<std::byte>(i * 31 + (i >> 9));
  std::vector<iovec> parts;
  for (size_t i = 0; i < 64; i++) parts.push_back({data.data + i * (128 << 10), 128 << 10});
  std::vector<std::byte> got;
  std::thread reader([&got, fd = other] {
    std::vector<std::byte> space(70'001);
    while (true) {
      const ssize_t count = ::read(fd, space.data(), space.size());
      if (count <= 0) break;
      got.insert(got.end(), space.begin(), space.begin() + count);
    }
  });
  Pending send;
  ring.io->send(socket, parts.data(), 64, send.op);
  ring.run(send);
  ring.io->shutdown(socket);
  ring.io->shutdown(socket);
  reader.join();
  ::close(other);
  CHECK_EQ(send.result, 0);
  CHECK_EQ(got.size(), data.length);
  CHECK(std::memcmp(got.data(), data.data, data.length) == 0);
}

TEST(uring_send_to_one_who_left_fails_without_a_signal) {
  Ring ring;
  const auto [socket, other] = socket_with(*ring.io);
  ::close(other);
  char bytes[4] = {};
  iovec parts[2] = {{bytes, 2}, {bytes, 2}};
  Pending send;
  ring.io->send(socket, parts, 2, send.op);
  ring.run(send);
  CHECK_EQ(send.result, -EPIPE);
}

TEST(uring_shutdown_ends_a_receive_also_on_a_nonblocking_socket) {
  Ring ring;
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  const SocketId socket = ring.io->adopt_socket(ends[0]);
  char bytes[4];
  const iovec parts[1] = {{bytes, 4}};
  Pending receive;
  ring.io->receive(socket, parts, 1, receive.op);
  Timer timer;
  bool fired = false;
  timer.owner = &fired;
  timer.fire = [](Timer& t) { *static_cast<bool*>(t.owner) = true; };
  ring.io->arm(timer, ring.io->now_us() + 2000);
  while (!fired) ring.io->run_batch();
  CHECK(!receive.done);
  ring.io->shutdown(socket);
  ring.run(receive);
  CHECK_EQ(receive.result, 0);
  ::close(ends[1]);
}

TEST(uring_accept_and_cancel) {
  Ring ring;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "blkmirror-test-%d", getpid());
  const auto* any = reinterpret_cast<const sockaddr*>(&address);
  CHECK(::bind(fd, any, sizeof address) == 0);
  CHECK(::listen(fd, 8) == 0);
  const SocketId listener = ring.io->adopt_socket(fd);
  Pending accept;
  ring.io->accept(listener, accept.op);
  const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(::connect(client, any, sizeof address) == 0);
  ring.run(accept);
  CHECK(accept.result >= 0);
  const SocketId accepted{static_cast<uint32_t>(accept.result)};
  CHECK_EQ(ring.io->peer_pid(accepted), getpid());
  ring.io->close_socket(accepted);
  ::close(client);
  accept.done = false;
  ring.io->accept(listener, accept.op);
  ring.io->cancel(accept.op);
  ring.io->cancel(accept.op);
  ring.run(accept);
  CHECK_EQ(accept.result, -ECANCELED);
}

TEST(uring_receive_is_cancelled_and_its_socket_given_back) {
  Ring ring;
  const auto [socket, other] = socket_with(*ring.io);
  char bytes[8] = {};
  const iovec part{bytes, sizeof bytes};
  Pending receive, again;
  ring.io->receive(socket, &part, 1, receive.op);
  ring.io->cancel(receive.op);
  ring.run(receive);
  CHECK_EQ(receive.result, -ECANCELED);
  CHECK_EQ(::write(other, "abc", 3), 3);
  ring.io->receive(socket, &part, 1, again.op);
  ring.run(again);
  CHECK_EQ(again.result, 3);
  const int fd = ring.io->release_socket(socket);
  CHECK_EQ(::write(other, "def", 3), 3);
  CHECK_EQ(::read(fd, bytes, sizeof bytes), 3);
  ::close(fd);
  ::close(other);
}

TEST(uring_timers_fire_in_order_and_not_early) {
  Ring ring;
  struct Seen {
    UringIo* io;
    std::vector<uint64_t> late_us;
  } seen{ring.io.get(), {}};
  Timer timers[3];
  const uint64_t now_us = ring.io->now_us();
  for (uint64_t i = 0; i < 3; i++) {
    timers[i].owner = &seen;
    timers[i].fire = [](Timer& t) {
      auto* s = static_cast<Seen*>(t.owner);
      BM_ASSERT(s->io->now_us() >= t.deadline_us);
      s->late_us.push_back(t.deadline_us);
    };
    ring.io->arm(timers[i], now_us + 6000 - i * 2000);
  }
  ring.io->disarm(timers[1]);
  while (seen.late_us.size() < 2) ring.io->run_batch();
  CHECK_EQ(seen.late_us[0], now_us + 2000);
  CHECK_EQ(seen.late_us[1], now_us + 6000);
}

TEST(uring_wake_from_another_thread) {
  struct Handler : BatchHandler {
    uint32_t batches = 0;
    uint32_t wakes = 0;
    void batch_end() override { batches++; }
    void woken() override { wakes++; }
  };
  Ring ring;
  Handler handler;
  ring.io->set_handler(&handler);
  for (uint32_t round = 1; round <= 3; round++) {
    std::thread other([&] {
      ring.io->wake();
      ring.io->wake();
    });
    while (handler.wakes < round) ring.io->run_batch();
    other.join();
    handler.wakes = round;  // the second call may have been told apart
  }
  CHECK(handler.batches >= 3);
}

// Each waits for the other all the time, and soon looks before it sleeps.
TEST(uring_threads_that_answer_each_other_see_timers_and_wakes) {
  constexpr uint32_t kRounds = 3000;
  int ends[2];
  BM_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  std::thread echo([fd = ends[1]] {
    char byte;
    while (::read(fd, &byte, 1) == 1 && ::write(fd, &byte, 1) == 1) continue;
    ::close(fd);
  });
  struct Handler : BatchHandler {
    uint32_t wakes = 0;
    void batch_end() override {}
    void woken() override { wakes++; }
  };
  Ring ring;
  Handler handler;
  ring.io->set_handler(&handler);
  const SocketId socket = ring.io->adopt_socket(ends[0]);
  Timer timer;
  uint32_t fired = 0;
  timer.owner = &fired;
  timer.fire = [](Timer& t) { ++*static_cast<uint32_t*>(t.owner); };
  for (uint32_t round = 0; round < kRounds; round++) {
    if (round % 100 == 0) ring.io->arm(timer, ring.io->now_us());
    if (round % 1000 == 0) ring.io->wake();
    char byte = static_cast<char>(round);
    char back = 0;
    iovec out{&byte, 1};
    iovec in{&back, 1};
    Pending sent;
    Pending received;
    ring.io->send(socket, &out, 1, sent.op);
    ring.io->receive(socket, &in, 1, received.op);
    ring.run(received);
    ring.run(sent);
    CHECK(back == byte);
    if (round % 100 == 99) CHECK_EQ(fired, round / 100 + 1);
  }
  CHECK_EQ(handler.wakes, 3);
  ring.io->shutdown(socket);
  echo.join();
  ring.io->close_socket(socket);
}
