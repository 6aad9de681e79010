// A client that joined and then sends what it likes: whole requests with odd values, requests cut
// short, or plain bytes. Afterwards the server stops and every buffer has come back.
#include "base/buffer_pool.h"
#include "base/endian.h"
#include "fuzz/input.h"
#include "fuzz/targets.h"
#include "io/sim_io.h"
#include "nbd/protocol.h"
#include "nbd/server.h"
#include "nbd_memory_backend.h"
#include "sim/engine_pages.h"

namespace blkmirror::fuzz {

namespace {

constexpr uint64_t kDeviceBytes = 2u << 20;
constexpr uint32_t kPoolBytes = 2u << 20;
constexpr size_t kMostBytes = 1u << 20;  // that the client sends
constexpr uint64_t kPatienceUs = 60'000'000;

class Stage final : public io::BatchHandler {
 public:
  Stage()
      : world_(1),
        io_(world_),
        client_(world_),
        backend_(io_, kDeviceBytes),
        server_(io_, pool_, backend_) {
    sim::use_engine_pages();
    BM_ASSERT(pool_.init(kPoolBytes).ok());
    backend_.record = false;
    io_.set_handler(this);
    nbd::Export exported;
    exported.name = "r0";
    exported.size_bytes = kDeviceBytes;
    listener_ = world_.listen(io_);
    server_.start(listener_, exported);
    socket_ = world_.connect(client_, listener_);
    send_.complete = [](io::Op&, int32_t) {};
    receive_.owner = this;
    receive_.complete = [](io::Op& op, int32_t result) {
      if (result > 0) static_cast<Stage*>(op.owner)->listen();
    };
  }
  ~Stage() {
    world_.crash(client_, io::SimCrash::kProcess);
    pass([] { return false; }, 1'000'000);
    bool stopped = false;
    server_.stop([](void* owner) { *static_cast<bool*>(owner) = true; }, &stopped);
    BM_ASSERT(pass([&] { return stopped; }, kPatienceUs));
    BM_ASSERT(pool_.free_bytes() == pool_.region_bytes());
    world_.crash(io_, io::SimCrash::kProcess);
  }
  void batch_end() override { server_.batch_end(); }
  void woken() override {}

  void run(std::vector<std::byte> bytes) {
    if (!bytes.empty()) {
      out_ = {bytes.data(), bytes.size()};
      client_.send(socket_, &out_, 1, send_);
    }
    listen();
    pass([&] { return !send_.impl.pending; }, kPatienceUs);
    pass([] { return false; }, 100'000);
    world_.crash(client_, io::SimCrash::kProcess);  // before `bytes` goes
  }

 private:
  bool pass(const std::function<bool()>& until, uint64_t us) { return world_.run_until(until, us); }
  void listen() {
    in_ = {space_.data(), space_.size()};
    client_.receive(socket_, &in_, 1, receive_);
  }

  io::SimWorld world_;
  io::SimIo io_;
  io::SimIo client_;
  BufferPool pool_;
  nbd::MemoryBackend backend_;
  nbd::Server server_;
  io::SocketId listener_ = io::kNoSocket;
  io::SocketId socket_ = io::kNoSocket;
  io::Op send_;
  io::Op receive_;
  iovec out_{};
  iovec in_{};
  std::vector<std::byte> space_ = std::vector<std::byte>(65536);
};

void put(std::vector<std::byte>& to, uint64_t value, uint32_t width) {
  for (uint32_t i = width; i > 0; --i) to.push_back(std::byte(value >> (8 * (i - 1))));
}

// Mostly inside of the device and aligned, so that some get far.
void put_request(std::vector<std::byte>& to, Input& input) {
  const uint8_t how = input.u8();
  const uint16_t command = how & 1 ? input.u16() : input.u8() % 8;
  const uint64_t offset = how & 2 ? input.u64() : uint64_t{input.u16()} % 4096 * 512;
  const uint32_t length = how & 4 ? input.u32() : uint32_t{input.u8()} * 512;
  put(to, how & 128 ? input.u32() : nbd::kRequestMagic, 4);
  put(to, how & 8 ? input.u16() : how & 16 ? 1 : 0, 2);
  put(to, command, 2);
  put(to, input.u8(), 8);
  put(to, offset, 8);
  put(to, length, 4);
  if (command != static_cast<uint16_t>(nbd::Command::kWrite)) return;
  const uint32_t sent = how & 64 ? input.u16() : length;
  to.resize(std::min(to.size() + sent, kMostBytes), std::byte{how});
}

}  // namespace

void nbd_requests(std::span<const std::byte> bytes) {
  Input input(bytes);
  std::vector<std::byte> stream;
  put(stream, 3, 4);  // FIXED_NEWSTYLE, NO_ZEROES
  put(stream, 0x49484156454f5054, 8);
  put(stream, 1, 4);  // NBD_OPT_EXPORT_NAME, ""
  put(stream, 0, 4);
  while (!input.empty() && stream.size() < kMostBytes) {
    const uint8_t kind = input.u8();
    if (kind % 8 == 0) {
      const auto raw = input.take(kind);
      stream.insert(stream.end(), raw.begin(), raw.end());
    } else {
      put_request(stream, input);
    }
  }
  Stage stage;
  stage.run(std::move(stream));
}

}  // namespace blkmirror::fuzz
