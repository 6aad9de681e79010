// See nbd_memory_server.h.
#include "nbd_memory_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/assert.h"
#include "base/buffer_pool.h"
#include "io/uring_io.h"
#include "nbd/server.h"
#include "nbd_memory_backend.h"

namespace blkmirror::nbd {

namespace {

int listen_on(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  BM_ASSERT(fd >= 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  BM_ASSERT(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  BM_ASSERT(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  BM_ASSERT(::listen(fd, 64) == 0);
  return fd;
}

}  // namespace

// What lives on the thread.
class MemoryServerThread final : public io::BatchHandler {
 public:
  MemoryServerThread(io::UringIo& io, uint64_t bytes, bool null)
      : io_(io), backend_(io, bytes), server_(io, pool_, backend_) {
    BM_ASSERT(pool_.init(limits::kClientPoolBytes).ok());
    io.register_memory(pool_.region(), pool_.region_bytes());
    io.set_handler(this);
    backend_.delay_us = 0;
    backend_.record = false;
    backend_.null = null;
  }
  void start(io::SocketId listener, const Export& exported) { server_.start(listener, exported); }
  void wake() { io_.wake(); }
  bool finished() const { return !server_.running(); }
  void batch_end() override { server_.batch_end(); }
  void woken() override {
    server_.stop([](void*) {}, nullptr);
  }

 private:
  io::UringIo& io_;
  BufferPool pool_;
  MemoryBackend backend_;
  Server server_;
};

MemoryServer::MemoryServer(const std::string& path, uint64_t bytes, uint32_t minimum_block,
                           bool null)
    : path_(path) {
  const int listener = listen_on(path);
  thread_ = std::thread([this, listener, bytes, minimum_block, null] {
    serve(listener, bytes, minimum_block, null);
  });
  while (running_.load() == nullptr) std::this_thread::yield();
}

MemoryServer::~MemoryServer() {
  running_.load()->wake();
  quit_ = true;
  thread_.join();
  ::unlink(path_.c_str());
}

void MemoryServer::serve(int listener, uint64_t bytes, uint32_t minimum_block, bool null) {
  auto created = io::UringIo::create();
  BM_ASSERT(created.ok());
  io::UringIo& io = *created.value();
  {
    MemoryServerThread self(io, bytes, null);
    Export exported;
    exported.name = "memory";
    exported.size_bytes = bytes;
    exported.minimum_block = minimum_block;
    self.start(io.adopt_socket(listener), exported);
    running_ = &self;
    while (!self.finished()) io.run_batch();
    while (!quit_) std::this_thread::yield();  // the other thread may still be in wake()
  }
}

}  // namespace blkmirror::nbd
