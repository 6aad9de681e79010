// The data-plane thread makes no malloc or mmap call between its 1,000th and 100,000th request:
// two engines over io_uring, each on its own thread, mirror a real client's writes.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "base/endian.h"
#include "check.h"
#include "engine/engine.h"
#include "io/uring_io.h"
#include "meta/activity_log.h"
#include "meta/bitmap.h"
#include "meta/superblock_store.h"

namespace {

thread_local bool counting = false;
std::atomic<uint64_t> allocations{0};

void count() {
  if (counting) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* memory, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
void* calloc(size_t number, size_t bytes) {
  count();
  return __libc_calloc(number, bytes);
}
void* realloc(void* memory, size_t bytes) {
  count();
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
void* mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  count();
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}
}

using namespace blkmirror;

namespace {

constexpr uint64_t kDiskBytes = 64u << 20;
constexpr uint64_t kUuid = 0x1234567890;
constexpr uint32_t kRequests = 100000;
constexpr uint32_t kDepth = 32;

struct QuietEvents : engine::EventSink {
  void control(uint32_t, uint32_t, std::span<const std::byte>) override {}
  void link_closed(uint32_t, uint32_t, engine::Loss, const char*) override {}
  void resync_started(uint32_t, uint32_t) override {}
  void resync_finished(uint32_t, uint32_t) override {}
  void generation_changed() override {}
  void clients_changed(uint32_t) override {}
  void disk_failed(const char*, int) override {}
  void io_error(const char*, int) override {}
  void metadata_changed(const meta::Superblock&) override {}
};

struct Told {
  meta::Waiter waiter;
  engine::Completion completion;
  bool done = false;
  int error = -1;
  Told() {
    waiter.owner = completion.owner = this;
    waiter.done = [](meta::Waiter& told, int code) { tell(told.owner, code); };
    completion.done = [](engine::Completion& told, int code, const char*) {
      tell(told.owner, code);
    };
  }
  static void tell(void* owner, int code) {
    static_cast<Told*>(owner)->done = true;
    static_cast<Told*>(owner)->error = code;
  }
};

// One node on the thread that calls run().
struct RealNode {
  std::string name;
  std::string peer;
  int disk_fd = -1;
  int link_fd = -1;
  int listener_fd = -1;  // -1: Secondary
  std::atomic<bool> ready{false};
  std::atomic<bool> stop{false};
  bool clean = false;
  uint64_t counted_batches = 0;
  std::unique_ptr<io::UringIo> io;

  bool wait(Told& told) {
    while (!told.done) io->run_batch();
    return told.error == 0;
  }

  bool format(io::DiskId disk) {
    struct Batch : io::BatchHandler {
      meta::ActivityLog* log = nullptr;
      void batch_end() override { log->batch_end(); }
      void woken() override {}
    } batch;
    meta::SuperblockStore store(*io, disk);
    meta::ActivityLog log(*io, disk);
    meta::Bitmap bitmap(*io, disk);
    batch.log = &log;
    io->set_handler(&batch);
    meta::Superblock& state = store.current();
    state.metadata_id = 7;
    state.layout = meta::compute_layout(true, kDiskBytes, kDiskBytes, 7, 512).value();
    state.resource = "r0";
    state.node = name;
    state.current_uuid = kUuid;
    state.flags = meta::kConsistent | meta::kWasUpToDate;
    Told told[3];
    bitmap.format(state.layout, 7, meta::PageState::kNone, told[0].waiter);
    log.format(state.layout, 7, told[1].waiter);
    if (!wait(told[0]) || !wait(told[1])) return false;
    store.commit(told[2].waiter);
    return wait(told[2]);
  }

  bool begin(engine::Engine& engine, io::DiskId disk) {
    engine::AttachSpec spec;
    spec.resource = "r0";
    spec.node = name;
    spec.peers = {peer};
    spec.data_disk = spec.meta_disk = disk;
    spec.data_disk_bytes = spec.meta_disk_bytes = kDiskBytes;
    Told attached;
    engine.attach(spec, attached.completion);
    if (!wait(attached)) return false;
    Told connected;
    engine.connect_link(0, io->adopt_socket(link_fd), 1, connected.completion);
    if (!wait(connected)) return false;
    engine::MetadataPatch same;
    same.peers.emplace_back().full_sync = false;
    Told known;
    engine.update_metadata(same, known.completion);
    if (!wait(known)) return false;
    engine::EstablishPlan plan;
    plan.peer_current_uuid = kUuid;
    Told established;
    engine.establish(0, 1, plan, established.completion);
    if (!wait(established)) return false;
    if (listener_fd < 0) return true;
    Told served;
    engine.serve(io->adopt_socket(listener_fd), "r0", served.completion);
    return wait(served);
  }

  void run() {
    auto created = io::UringIo::create();
    if (!created.ok()) return;
    io = std::move(created.value());
    const io::DiskId disk = io->adopt_disk(disk_fd);
    QuietEvents events;
    auto statistics = std::make_unique<engine::Statistics>();
    if (!format(disk)) return;
    engine::Engine engine(*io, events, *statistics);
    if (!engine.init().ok() || !begin(engine, disk)) return;
    ready = true;
    // The Secondary counts bytes, the Primary answered writes; both are 4 KiB a request.
    const uint64_t least = 1000 * 4096;
    const uint64_t most = uint64_t{kRequests} * 4096 - 64 * 4096;
    while (!stop) {
      const uint64_t written = statistics->written_bytes;
      counting = written > least && written < most;
      if (counting) counted_batches += 1;
      io->run_batch();
    }
    counting = false;
    Told closed;
    engine.close(closed.completion);
    clean = wait(closed);
  }
};

int temporary_disk() {
  std::string path = "/tmp/blkmirror-allocation-XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  unlink(path.c_str());
  return fd >= 0 && ftruncate(fd, kDiskBytes) == 0 ? fd : -1;
}

int unix_listener(std::string& path) {
  path = "/tmp/blkmirror-allocation-" + std::to_string(getpid()) + ".sock";
  unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -1;
  return listen(fd, 8) == 0 ? fd : -1;
}

bool send_all(int fd, const void* data, size_t bytes) {
  const auto* at = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

bool receive_all(int fd, void* data, size_t bytes) {
  return recv(fd, data, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
}

int connect_client(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -1;
  std::byte greeting[18];
  std::byte hello[20] = {};
  std::byte answer[10];
  store_be32(hello, 3);
  store_be64(hello + 4, 0x49484156454F5054);
  store_be32(hello + 12, 1);
  if (!receive_all(fd, greeting, sizeof greeting)) return -1;
  if (!send_all(fd, hello, sizeof hello)) return -1;
  return receive_all(fd, answer, sizeof answer) ? fd : -1;
}

// 100,000 writes of 4 KiB, 32 at a time.
bool write_everything(int fd) {
  std::string batch;
  for (uint32_t sent = 0; sent < kRequests; sent += kDepth) {
    batch.assign(size_t{kDepth} * (28 + 4096), 'x');
    for (uint32_t i = 0; i < kDepth; ++i) {
      char* request = batch.data() + size_t{i} * (28 + 4096);
      std::memset(request, 0, 28);
      store_be32(request, 0x25609513);
      store_be16(request + 6, 1);
      store_be64(request + 16, uint64_t{(sent + i) * 7919 % 12000} * 4096);
      store_be32(request + 24, 4096);
    }
    if (!send_all(fd, batch.data(), batch.size())) return false;
    std::byte replies[size_t{kDepth} * 16];
    if (!receive_all(fd, replies, sizeof replies)) return false;
    for (uint32_t i = 0; i < kDepth; ++i) {
      if (load_be32(replies + size_t{i} * 16 + 4) != 0) return false;
    }
  }
  return true;
}

}  // namespace

TEST(no_memory_is_allocated_per_request) {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  std::string path;
  RealNode alpha;
  RealNode beta;
  alpha.name = beta.peer = "alpha";
  beta.name = alpha.peer = "beta";
  alpha.disk_fd = temporary_disk();
  beta.disk_fd = temporary_disk();
  alpha.link_fd = pair[0];
  beta.link_fd = pair[1];
  alpha.listener_fd = unix_listener(path);
  CHECK(alpha.disk_fd >= 0 && beta.disk_fd >= 0 && alpha.listener_fd >= 0);
  std::thread first([&] { alpha.run(); });
  std::thread second([&] { beta.run(); });
  while (!alpha.ready || !beta.ready) std::this_thread::yield();
  const int client = connect_client(path);
  const bool written = client >= 0 && write_everything(client);
  close(client);
  alpha.stop = beta.stop = true;
  first.join();
  second.join();
  unlink(path.c_str());
  CHECK(written);
  CHECK(alpha.clean && beta.clean);
  CHECK(alpha.counted_batches > 1000 && beta.counted_batches > 1000);
  CHECK_EQ(allocations.load(), 0u);
}
