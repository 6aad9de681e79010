// A peer whose frames say anything, at a copy in every state of a connection. Afterwards the
// device still serves its client, the connection ends, and the copy closes.
#include "base/crc32c.h"
#include "fuzz/attach_stage.h"
#include "fuzz/input.h"
#include "fuzz/targets.h"

namespace blkmirror::fuzz {

namespace {

using engine::ResyncRole;
using fixture::Copy;
using fixture::Done;
using peer::FrameHeader;
using peer::FrameType;

constexpr uint64_t kUuid = 0x3333333333333330;
constexpr uint64_t kPatienceUs = 60'000'000;

class Stranger {
 public:
  explicit Stranger(io::SimWorld& world) : world_(world), io_(world) {
    send_.complete = [](io::Op&, int32_t) {};
    receive_.owner = this;
    receive_.complete = [](io::Op& op, int32_t result) {
      if (result > 0) static_cast<Stranger*>(op.owner)->listen();
    };
  }
  ~Stranger() { world_.crash(io_, io::SimCrash::kProcess); }

  void connect(Copy& copy) {
    const auto [theirs, ours] = world_.connect_pair(copy.io, io_);
    socket_ = ours;
    listen();
    Done opened;
    copy.engine->connect_link(0, theirs, ++copy.incarnation, opened.completion);
    BM_ASSERT(copy.wait(opened));
    BM_ASSERT(opened.error == 0);
  }
  void send(std::vector<std::byte> bytes) {
    BM_ASSERT(!send_.impl.pending);
    bytes_ = std::move(bytes);
    out_ = {bytes_.data(), bytes_.size()};
    io_.send(socket_, &out_, 1, send_);
    world_.run_until([&] { return !send_.impl.pending; }, 1'000'000);
  }
  bool busy() const { return send_.impl.pending; }

 private:
  void listen() {
    in_ = {space_.data(), space_.size()};
    io_.receive(socket_, &in_, 1, receive_);
  }

  io::SimWorld& world_;
  io::SimIo io_;
  io::SocketId socket_ = io::kNoSocket;
  io::Op send_;
  io::Op receive_;
  iovec out_{};
  iovec in_{};
  std::vector<std::byte> bytes_;
  std::vector<std::byte> space_ = std::vector<std::byte>(65536);
};

// What the payload's length has to be for that type, so that some frames get far.
size_t payload_bytes(FrameType type, uint8_t wish) {
  switch (type) {
    case FrameType::kControl:
      return wish;
    case FrameType::kData:
    case FrameType::kResyncData:
    case FrameType::kReadData:
      return (wish % 16 + 1) * 512;
    case FrameType::kWritten:
    case FrameType::kReceived:
      return (wish % 8 + 1) * 8;
    case FrameType::kResyncSum:
      return 24;
    case FrameType::kNewUuid:
      return wish % 3 * peer::kNameBytes;
    case FrameType::kBitmapPage:
      return wish % 2 == 0 ? 8 : 8 + 3968;
    case FrameType::kZeroes:
    case FrameType::kResyncRequest:
    case FrameType::kReadRequest:
    case FrameType::kReadFailed:
      return 8;
    default:
      return 0;
  }
}

// As peer::encode(), for headers that it would not take.
void encode_unchecked(const FrameHeader& header, std::byte* bytes) {
  store_be16(bytes, peer::kFrameMagic);
  bytes[2] = static_cast<std::byte>(header.type);
  bytes[3] = std::byte{0};
  store_be16(bytes + 4, header.flags);
  store_be16(bytes + 6, header.volume);
  store_be32(bytes + 8, header.payload_bytes);
  store_be64(bytes + 12, header.sequence);
  store_be64(bytes + 20, header.offset);
  store_be32(bytes + 28, crc32c(0, bytes, 28));
}

void put_frame(std::vector<std::byte>& to, Input& input) {
  const uint8_t how = input.u8();
  FrameHeader header;
  header.type =
      static_cast<FrameType>(how & 1 ? input.u8() : input.u8() % peer::kLastFrameType + 1);
  header.flags = how & 2 ? input.u16() : 0;
  if (how & 128) header.flags %= peer::kKnownFlags + 1;
  header.volume = how & 4 ? input.u16() : 0;
  header.sequence = how & 8 ? input.u64() : input.u8();
  const bool page = header.type == FrameType::kBitmapPage;
  header.offset = how & 16 ? input.u64() : page ? 0 : uint64_t{input.u16()} * 512;
  const size_t payload = payload_bytes(header.type, input.u8());
  header.payload_bytes = how & 32 ? input.u32() : static_cast<uint32_t>(payload);
  std::byte bytes[peer::kFrameHeaderBytes];
  encode_unchecked(header, bytes);
  if (how & 64) bytes[input.u8() % sizeof bytes] ^= std::byte{input.u8()};
  to.insert(to.end(), bytes, bytes + sizeof bytes);
  const size_t fuzzed = payload > 600 ? 32 : payload;
  const auto body = input.padded(fuzzed);
  to.insert(to.end(), body.begin(), body.end());
  to.resize(to.size() + payload - fuzzed);
}

class Intrusion {
 public:
  Intrusion()
      : world_(1),
        alpha_(world_, "alpha", {"beta", "gamma"}, fixture::Fresh::kBlank),
        stranger_(world_),
        client_(alpha_) {
    sim::use_engine_pages();
    AttachStage::formatted().put(world_.disk(alpha_.disk));
  }

  void run(Input& input) {
    const uint8_t state = input.u8();
    const uint8_t setting = input.u8();
    alpha_.protocol = static_cast<engine::Protocol>(setting % 3);
    BM_ASSERT(alpha_.attach(state & 64 ? 1 : 0) == 0);
    alpha_.make_up_to_date(kUuid);
    serves_ = state & 4;
    if (serves_) BM_ASSERT(client_.serve_and_connect());
    establish(state, setting & 4);
    if (serves_ && setting & 8) lose_disk();
    for (size_t batches = 0; !input.empty() && batches < 8 && !stranger_.busy(); ++batches) {
      if (serves_ && state & 16) write();
      std::vector<std::byte> bytes;
      const uint8_t frames = input.u8() % 8;
      for (uint8_t i = 0; i <= frames && !input.empty(); ++i) put_frame(bytes, input);
      if (state & 32) {
        const auto raw = input.take(32);
        bytes.insert(bytes.end(), raw.begin(), raw.end());
      }
      if (!bytes.empty()) stranger_.send(std::move(bytes));
      world_.run_until([] { return false; }, 2000);
    }
    leave();
  }

 private:
  void establish(uint8_t state, bool peer_diskless) {
    const auto role = static_cast<ResyncRole>(state % 4 == 3 ? 0 : state % 4);
    if (role == ResyncRole::kNone) {
      engine::MetadataPatch same;
      same.peers.emplace_back().full_sync = false;
      alpha_.patch(same);
    }
    target_ = role == ResyncRole::kTarget;
    if (target_) {
      engine::MetadataPatch target;
      target.consistent = false;
      alpha_.patch(target);
    }
    stranger_.connect(alpha_);
    if (state % 4 == 3) return;
    engine::EstablishPlan plan;
    plan.resync = role;
    plan.exchange_bitmaps = role != ResyncRole::kNone;
    plan.peer_diskless = role == ResyncRole::kNone && peer_diskless;
    plan.peer_current_uuid = role == ResyncRole::kNone ? kUuid : kUuid + 2;
    Done done;
    alpha_.engine->establish(0, alpha_.incarnation, plan, done.completion);
    alpha_.wait(done);
    if (role == ResyncRole::kNone || !(state & 8)) return;
    std::vector<std::byte> bytes;
    for (const FrameType type : {FrameType::kBitmapEnd, FrameType::kBitmapDurable}) {
      FrameHeader header;
      header.type = type;
      header.offset = type == FrameType::kBitmapEnd ? kUuid + 2 : 0;
      std::byte encoded[peer::kFrameHeaderBytes];
      peer::encode(header, encoded);
      bytes.insert(bytes.end(), encoded, encoded + sizeof encoded);
    }
    stranger_.send(std::move(bytes));
    world_.run_until([] { return false; }, 10'000);
  }

  // From here on the stranger is asked for all data, if it may be.
  void lose_disk() {
    Done done;
    alpha_.engine->detach(true, done.completion);
    world_.run_until([] { return false; }, 10'000);
    BM_ASSERT(done.done);
    diskless_ = true;
  }

  void write() {
    const std::vector<std::byte> data(4096, std::byte{0x5a});
    client_.request(1, requests_ % 16 * 4096, 4096, data.data());
    requests_ += 1;
    if (!diskless_) return;
    client_.request(3, 0, 0, nullptr);
    requests_ += 1;
  }

  void leave() {
    const uint32_t closed = alpha_.events.closed;
    alpha_.engine->close_link(0, alpha_.incarnation);
    BM_ASSERT(
        world_.run_until([&] { return alpha_.events.closed > closed || closed > 0; }, kPatienceUs));
    alpha_.supply(8);
    if (serves_) check_device();
    Done done;
    alpha_.engine->close(done.completion);
    BM_ASSERT(alpha_.wait(done));
    alpha_.engine.reset();
  }

  // A copy that has not all data acknowledges nothing by itself: what it is asked for waits, then
  // fails.
  bool needs_peer() const { return diskless_ || target_; }

  void check_device() {
    for (; requests_ > 0; --requests_) {
      const uint32_t error = client_.reply();
      BM_ASSERT(error == 0 || (needs_peer() && error != UINT32_MAX));
    }
    if (diskless_) return;
    const uint32_t error = client_.write(0, std::byte{0x11}, 4096);
    BM_ASSERT(error == 0 || (needs_peer() && error != UINT32_MAX));
    if (needs_peer()) return;
    BM_ASSERT(client_.flush() == 0);
    BM_ASSERT(client_.read(0, 4096) == std::vector<std::byte>(4096, std::byte{0x11}));
  }

  io::SimWorld world_;
  Copy alpha_;
  Stranger stranger_;
  fixture::Client client_;
  uint32_t requests_ = 0;
  bool serves_ = false;
  bool target_ = false;
  bool diskless_ = false;
};

}  // namespace

void replication_frames(std::span<const std::byte> bytes) {
  Input input(bytes);
  Intrusion intrusion;
  intrusion.run(input);
}

}  // namespace blkmirror::fuzz
