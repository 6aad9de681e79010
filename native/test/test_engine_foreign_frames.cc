// A peer that sends whatever it likes, in every state of a connection: frames with valid headers
// and random contents. Nothing it sends may end the process or keep the device from its clients.
#include "check.h"
#include "engine_fixture.h"
#include "random_seeds.h"

using namespace blkmirror;
using engine::ResyncRole;
using fixture::Client;
using fixture::Copy;
using fixture::die;
using fixture::Done;
using peer::FrameHeader;
using peer::FrameType;

namespace {

constexpr uint64_t kSeeds = 60;
constexpr uint64_t kUuid = 0x3333333333333330;
// Frames around it name ranges on both sides of the device's end.
constexpr uint64_t kEndBytes = fixture::kDiskBytes - (1u << 19);

// Reads everything, and sends one batch of bytes at a time.
struct Stranger {
  io::SimWorld& world;
  io::SimIo io{world};
  io::SocketId socket = io::kNoSocket;
  io::Op send_op;
  io::Op receive_op;
  std::vector<std::byte> input = std::vector<std::byte>(65536);
  std::vector<std::byte> output;
  iovec in{};
  iovec out{};
  bool ended = false;
  bool reads;

  Stranger(io::SimWorld& in_world, bool reads_answers) : world(in_world), reads(reads_answers) {
    send_op.owner = receive_op.owner = this;
    send_op.complete = [](io::Op& op, int32_t result) {
      auto& self = *static_cast<Stranger*>(op.owner);
      self.output.clear();
      if (result < 0) self.ended = true;
    };
    receive_op.complete = [](io::Op& op, int32_t result) {
      auto& self = *static_cast<Stranger*>(op.owner);
      if (result <= 0) {
        self.ended = true;
      } else {
        self.receive();
      }
    };
  }
  void receive() {
    if (!reads) return;
    in = {input.data(), input.size()};
    io.receive(socket, &in, 1, receive_op);
  }
  void add(const FrameHeader& header, const std::vector<std::byte>& payload) {
    std::byte bytes[peer::kFrameHeaderBytes];
    peer::encode(header, bytes);
    output.insert(output.end(), bytes, bytes + sizeof bytes);
    output.insert(output.end(), payload.begin(), payload.end());
  }
  void flush() {
    if (ended || output.empty() || send_op.impl.pending) return;
    out = {output.data(), output.size()};
    io.send(socket, &out, 1, send_op);
  }
};

// A connection between them, on which nothing is established.
bool meet(Copy& copy, Stranger& stranger) {
  const auto [mine, its] = copy.world.connect_pair(copy.io, stranger.io);
  stranger.socket = its;
  stranger.receive();
  Done opened;
  copy.engine->connect_link(0, mine, ++copy.incarnation, opened.completion);
  return copy.wait(opened) && opened.error == 0;
}

void be_in_sync(Copy& copy) {
  engine::MetadataPatch same;
  same.peers.emplace_back().full_sync = false;
  copy.patch(same);
}

class Intrusion {
 public:
  explicit Intrusion(uint64_t seed)
      : world_(seed),
        random_(seed * 31 + 7),
        alpha_(world_, "alpha", {"beta", "gamma"}),
        stranger_(world_, random_.next() % 4 != 0),
        client_(alpha_) {}

  void run() {
    alpha_.protocol = static_cast<engine::Protocol>(random_.between(0, 2));
    if (alpha_.attach(random_.between(0, 3)) != 0) die("attach failed");
    alpha_.make_up_to_date(kUuid);
    const auto role = role_ = static_cast<ResyncRole>(random_.between(0, 2));
    const bool serves = serves_ = random_.chance(3);
    if (serves && !client_.serve_and_connect()) die("serve failed");
    if (role == ResyncRole::kNone) be_in_sync(alpha_);
    if (!meet(alpha_, stranger_)) die("no connection");
    if (!random_.chance(6)) establish(role);
    if (role != ResyncRole::kNone && random_.chance(2)) finish_exchange();
    for (uint64_t left = random_.between(1, 20); left > 0; --left) {
      if (serves && random_.chance(2)) write_something();
      for (uint64_t more = random_.between(1, 12); more > 0; --more) add_frame();
      stranger_.flush();
      world_.run_until([] { return false; }, random_.between(0, 5000));
    }
    leave();
    if (serves) check_device();
    Done closed;
    alpha_.engine->close(closed.completion);
    if (!alpha_.wait(closed)) die("the close is stuck");
    alpha_.engine.reset();
  }

 private:
  void establish(ResyncRole role) {
    if (role == ResyncRole::kTarget) {
      engine::MetadataPatch target;
      target.consistent = false;
      alpha_.patch(target);
    }
    const uint64_t uuid = role == ResyncRole::kNone ? kUuid : kUuid + 2;
    fixture::establish(alpha_, 0, role, uuid, random_.chance(2));
  }

  void finish_exchange() {
    exchanged_ = true;
    FrameHeader header;
    header.type = FrameType::kBitmapEnd;
    header.offset = kUuid + 2;
    stranger_.add(header, {});
    header.type = FrameType::kBitmapDurable;
    stranger_.add(header, {});
    stranger_.flush();
    world_.run_until([] { return false; }, 10'000);
  }

  void write_something() {
    const auto blocks = static_cast<uint32_t>(random_.between(1, 64));
    const std::vector<std::byte> data(blocks * 512, std::byte{0x5a});
    client_.request(1, random_.between(0, 8191) * 512, blocks * 512, data.data());
    requests_ += 1;
  }

  void add_frame() {
    FrameHeader header;
    header.type = next_type();
    header.flags =
        random_.chance(4) ? static_cast<uint16_t>(random_.between(0, peer::kKnownFlags)) : 0;
    header.sequence = random_.chance(40) ? random_.next() : random_.between(0, 40);
    header.offset = random_.chance(60) ? random_.next() : random_.between(0, 2048) * 512;
    if (random_.chance(40)) header.offset += kEndBytes;
    if (header.type == FrameType::kBitmapPage) header.offset = 0;
    std::vector<std::byte> payload(payload_bytes(header.type));
    for (std::byte& byte : payload) byte = std::byte(random_.chance(3) ? random_.next() : 0);
    if (is_length(header.type)) {
      const uint64_t length = random_.chance(60) ? random_.next() : random_.between(1, 512) * 512;
      store_be32(payload.data(), static_cast<uint32_t>(length));
    }
    if (header.type == FrameType::kWritten || header.type == FrameType::kReceived) {
      for (size_t at = 0; at < payload.size(); at += 8) {
        store_be64(payload.data() + at, random_.between(0, 40));
      }
    }
    if (header.type == FrameType::kBitmapPage && !random_.chance(20)) {
      payload[0] = std::byte(payload.size() == 8 ? 2 : 1);
    }
    header.payload_bytes = static_cast<uint32_t>(payload.size());
    if (!stranger_.send_op.impl.pending) stranger_.add(header, payload);
  }

  // Mostly what belongs there, so that some get far.
  FrameType next_type() {
    if (random_.chance(25)) {
      return static_cast<FrameType>(random_.between(1, peer::kLastFrameType));
    }
    std::vector<FrameType> usual = {FrameType::kControl, FrameType::kPing, FrameType::kCheckpoint,
                                    FrameType::kReadRequest};
    if (!serves_) {
      for (const FrameType type : {FrameType::kData, FrameType::kData, FrameType::kZeroes,
                                   FrameType::kFlush, FrameType::kNewUuid}) {
        usual.push_back(type);
      }
    }
    if (role_ == ResyncRole::kSource && exchanged_) usual.push_back(FrameType::kResyncRequest);
    if (role_ != ResyncRole::kNone && !exchanged_) usual.push_back(FrameType::kBitmapPage);
    if (random_.chance(20)) {
      usual = {FrameType::kWritten,    FrameType::kReceived,   FrameType::kResyncWritten,
               FrameType::kResyncBusy, FrameType::kResyncData, FrameType::kResyncDone,
               FrameType::kResyncSum,  FrameType::kBitmapEnd,  FrameType::kResyncWanted};
    }
    return usual[random_.between(0, usual.size() - 1)];
  }

  static bool is_length(FrameType type) {
    return type == FrameType::kZeroes || type == FrameType::kResyncRequest ||
           type == FrameType::kReadRequest;
  }

  size_t payload_bytes(FrameType type) {
    switch (type) {
      case FrameType::kControl:
        return random_.between(2, 200);
      case FrameType::kData:
      case FrameType::kResyncData:
      case FrameType::kReadData:
        return random_.between(1, random_.chance(5) ? 512 : 8) * 512;
      case FrameType::kZeroes:
      case FrameType::kResyncRequest:
      case FrameType::kReadRequest:
      case FrameType::kReadFailed:
        return 8;
      case FrameType::kResyncSum:
        return 24;
      case FrameType::kWritten:
      case FrameType::kReceived:
        return random_.between(1, 20) * 8;
      case FrameType::kBitmapPage:
        return random_.chance(2) ? 8 : 8 + 3968;
      case FrameType::kNewUuid:
        return random_.between(0, 3) * peer::kNameBytes;
      default:
        return 0;
    }
  }

  void leave() {
    alpha_.engine->close_link(0, alpha_.incarnation);
    if (!world_.run_until([&] { return alpha_.events.closed == 1; }, 60'000'000)) {
      die("the connection does not end");
    }
    if (fixture::only_one_seed()) std::printf("it ended: %s\n", alpha_.events.log[0].c_str());
  }

  // Whatever was asked meanwhile is answered, and the device goes on.
  void check_device() {
    alpha_.supply(8);
    // A copy that is behind waits for its source, unless an administrator takes what is there.
    engine::MetadataPatch own;
    own.consistent = own.was_up_to_date = true;
    own.current_uuid = kUuid + 4;
    if (alpha_.patch(own) != 0) die("the copy cannot be taken");
    for (; requests_ > 0; --requests_) {
      if (client_.reply() != 0) die("a write failed");
    }
    if (client_.write(0, std::byte{0x11}, 4096) != 0) die("a later write failed");
  }

  io::SimWorld world_;
  io::SimRandom random_;
  Copy alpha_;
  Stranger stranger_;
  Client client_;
  uint32_t requests_ = 0;
  ResyncRole role_ = ResyncRole::kNone;
  bool serves_ = false;
  bool exchanged_ = false;
};

void run_intrusion(uint64_t seed) {
  auto* const intrusion = new Intrusion(seed);  // ends with the process
  intrusion->run();
}

}  // namespace

TEST(foreign_frames_end_the_connection_alone) {
  CHECK_EQ(fixture::run_seeds(kSeeds, run_intrusion), 0u);
}

// One block too far: there lies the metadata.
TEST(a_write_beyond_the_end_ends_its_connection) {
  io::SimWorld world(1);
  Copy copy(world, "alpha", {"beta"});
  CHECK_EQ(copy.attach(), 0);
  copy.make_up_to_date(kUuid);
  be_in_sync(copy);
  Stranger stranger(world, true);
  CHECK(meet(copy, stranger));
  CHECK_EQ(fixture::establish(copy, 0, ResyncRole::kNone, kUuid), 0);
  const uint64_t end = copy.engine->superblock().layout.device_size_bytes;
  const auto before = world.read_back(copy.disk, end, 4096);
  FrameHeader header;
  header.type = FrameType::kData;
  header.sequence = 1;
  header.offset = end - 512;
  header.payload_bytes = 1024;
  stranger.add(header, std::vector<std::byte>(1024, std::byte{0x77}));
  stranger.flush();
  world.run_until([] { return false; }, 1'000'000);
  CHECK_EQ(copy.events.closed, 1u);
  CHECK(world.read_back(copy.disk, end, 4096) == before);
}
