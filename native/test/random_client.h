// An NBD client over the simulated world that keeps several random requests in flight and checks
// every answer against the model.
#pragma once

#include <deque>
#include <unordered_map>

#include "base/endian.h"
#include "io/sim_io.h"
#include "io/sim_world.h"
#include "random_model.h"
#include "random_seeds.h"

namespace fixture {

struct ClientHabits {
  uint32_t depth = 4;
  uint32_t pause_us = 500;     // between an answer and the next request, at most
  uint32_t large_one_in = 80;  // requests up to `large_bytes`
  uint32_t large_bytes = 1u << 20;
  uint64_t hot_bytes = 0;  // most requests go to the device's first bytes
  bool wide = false;       // a little in every extent
  bool slow = false;       // takes its answers late
};

class RandomClient {
 public:
  RandomClient(blkmirror::io::SimWorld& world, Model& model, uint64_t device_bytes,
               const ClientHabits& habits)
      : world_(world), model_(model), io_(world), device_bytes_(device_bytes), habits_(habits) {
    send_.owner = receive_.owner = timer_.owner = slow_timer_.owner = this;
    send_.complete = [](blkmirror::io::Op& op, int32_t result) { self(op.owner).sent(result); };
    receive_.complete = [](blkmirror::io::Op& op, int32_t result) {
      self(op.owner).received(result);
    };
    timer_.fire = [](blkmirror::io::Timer& timer) { self(timer.owner).next_requests(); };
    slow_timer_.fire = [](blkmirror::io::Timer& timer) { self(timer.owner).receive_more(); };
  }
  ~RandomClient() { drop(); }

  void connect(blkmirror::io::SocketId listener) {
    drop();
    socket_ = world_.connect(io_, listener);
    if (socket_ == blkmirror::io::kNoSocket) die("the device's socket does not accept");
    connected_ = true;
    greeting_bytes_ = 18;
    receive_more();
  }
  // The client dies with everything it asked for.
  void drop() {
    world_.crash(io_, blkmirror::io::SimCrash::kProcess);
    for (auto& [cookie, request] : requests_) forget(request);
    requests_.clear();
    inbox_.clear();
    outbox_.clear();
    sending_.clear();
    connected_ = ready_ = false;
  }
  void start() {
    active_ = true;
    if (ready_) next_requests();
  }
  void stop() { active_ = false; }
  bool idle() const { return requests_.empty(); }
  bool ready() const { return ready_; }
  bool connected() const { return connected_; }
  uint64_t answers() const { return answers_; }
  uint64_t errors() const { return errors_; }
  // Reads of a Primary SyncTarget that lost its source fail; otherwise no error is allowed.
  bool errors_allowed = false;

 private:
  struct Request {
    uint16_t type = 0;
    uint64_t offset = 0;
    uint32_t length = 0;
    uint64_t started = 0;
    std::shared_ptr<ModelWrite> write;
  };

  static RandomClient& self(void* owner) { return *static_cast<RandomClient*>(owner); }

  void forget(Request& request) {
    if (request.write != nullptr) model_.give_up(*request.write);
    if (request.type == 0) model_.end_read(request.started);
  }

  void next_requests() {
    while (ready_ && active_ && requests_.size() < habits_.depth) {
      add_request();
      if (world_.random().chance(3)) break;
    }
    flush_outbox();
  }

  void add_request() {
    auto& random = world_.random();
    Request request;
    const uint64_t kind = random.between(0, 99);
    const bool durable = random.chance(8);
    if (kind < 3) {
      request.type = 3;
      request.started = model_.now();
    } else {
      choose_range(request);
      if (kind < 35) {
        request.type = 0;
        request.started = model_.begin_read();
      } else {
        request.type = kind < 85 ? 1 : kind < 92 ? 4 : 6;
        const uint32_t tag = request.type == 1 ? model_.next_tag() : 0;
        request.write = model_.issue(request.offset, request.length, tag, durable);
      }
    }
    append(request, durable && request.type != 0 && request.type != 3);
    requests_.emplace(last_cookie_, std::move(request));
  }

  void choose_range(Request& request) {
    auto& random = world_.random();
    const bool large = random.chance(habits_.large_one_in);
    const uint64_t most = large ? habits_.large_bytes / kSector : random.chance(8) ? 128 : 16;
    uint64_t count = random.between(1, most);
    const bool hot = habits_.hot_bytes != 0 && !random.chance(20);
    const uint64_t area = (hot ? habits_.hot_bytes : device_bytes_) / kSector;
    uint64_t first = random.between(0, area - 1);
    if (habits_.wide) {  // some blocks in each extent
      constexpr uint64_t kExtent = blkmirror::limits::kExtentBytes / kSector;
      first = random.between(0, device_bytes_ / kSector / kExtent - 1) * kExtent +
              random.between(0, 255);
    }
    if (random.chance(2)) {  // whole blocks
      count = (count + 7) / 8 * 8;
      first = first / 8 * 8;
    }
    count = std::min(count, device_bytes_ / kSector - first);
    request.offset = first * kSector;
    request.length = static_cast<uint32_t>(count * kSector);
  }

  void append(const Request& request, bool durable) {
    const size_t at = outbox_.size();
    const bool data = request.type == 1;
    outbox_.resize(at + 28 + (data ? request.length : 0));
    std::byte* header = outbox_.data() + at;
    last_cookie_ += 1;
    blkmirror::store_be32(header, 0x25609513);
    blkmirror::store_be16(header + 4, durable ? 1 : 0);
    blkmirror::store_be16(header + 6, request.type);
    blkmirror::store_be64(header + 8, last_cookie_);
    blkmirror::store_be64(header + 16, request.offset);
    blkmirror::store_be32(header + 24, request.length);
    for (uint32_t i = 0; data && i < request.length / kSector; ++i) {
      fill_block(header + 28 + i * kSector, request.write->tag, request.offset / kSector + i);
    }
  }

  void flush_outbox() {
    if (!connected_ || outbox_.empty() || !sending_.empty()) return;
    sending_.swap(outbox_);
    send_part_ = {sending_.data(), sending_.size()};
    io_.send(socket_, &send_part_, 1, send_);
  }
  void sent(int32_t result) {
    sending_.clear();
    if (result < 0) {
      end();
    } else {
      flush_outbox();
    }
  }

  void receive_more() {
    if (!connected_ || receive_.impl.pending) return;
    incoming_.resize(habits_.slow ? 4096 : 65536);
    receive_part_ = {incoming_.data(), incoming_.size()};
    io_.receive(socket_, &receive_part_, 1, receive_);
  }
  void received(int32_t result) {
    if (result <= 0) {
      end();
      return;
    }
    inbox_.insert(inbox_.end(), incoming_.begin(), incoming_.begin() + result);
    size_t used = 0;
    while (connected_ && parse(used)) {
    }
    inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(used));
    if (!connected_) return;
    if (habits_.slow) {
      io_.arm(slow_timer_, io_.now_us() + world_.random().between(0, 4000));
    } else {
      receive_more();
    }
    if (ready_ && active_ && requests_.size() < habits_.depth && !timer_.link.linked()) {
      io_.arm(timer_, io_.now_us() + world_.random().between(0, habits_.pause_us));
    }
  }
  // The server hung up.
  void end() {
    connected_ = ready_ = false;
    for (auto& [cookie, request] : requests_) forget(request);
    requests_.clear();
  }

  bool parse(size_t& used) {
    const size_t left = inbox_.size() - used;
    if (greeting_bytes_ != 0) return parse_greeting(used, left);
    if (left < 16) return false;
    const std::byte* header = inbox_.data() + used;
    if (blkmirror::load_be32(header) != 0x67446698) die("a reply with a wrong magic number");
    const uint32_t error = blkmirror::load_be32(header + 4);
    const auto found = requests_.find(blkmirror::load_be64(header + 8));
    if (found == requests_.end()) die("a reply to nothing that was asked");
    const uint32_t data = found->second.type == 0 && error == 0 ? found->second.length : 0;
    if (left < 16 + data) return false;
    Request request = std::move(found->second);
    requests_.erase(found);
    used += 16 + data;
    answer(request, error, header + 16);
    return true;
  }

  bool parse_greeting(size_t& used, size_t left) {
    if (left < greeting_bytes_) return false;
    used += greeting_bytes_;
    if (greeting_bytes_ == 18) {
      greeting_bytes_ = 10;
      outbox_.resize(20);
      blkmirror::store_be32(outbox_.data(), 3);  // FIXED_NEWSTYLE, NO_ZEROES
      blkmirror::store_be64(outbox_.data() + 4, 0x49484156454F5054);
      blkmirror::store_be32(outbox_.data() + 12, 1);  // NBD_OPT_EXPORT_NAME, ""
      blkmirror::store_be32(outbox_.data() + 16, 0);
      flush_outbox();
    } else {
      greeting_bytes_ = 0;
      ready_ = true;
      if (active_) next_requests();
    }
    return true;
  }

  void answer(Request& request, uint32_t error, const std::byte* data) {
    answers_ += 1;
    if (error != 0) {
      errors_ += 1;
      if (!errors_allowed) {
        die("an error " + std::to_string(error) + " for a request of type " +
            std::to_string(request.type));
      }
      forget(request);
      return;
    }
    if (request.type == 3) {
      model_.flushed(request.started);
    } else if (request.type == 0) {
      const auto wrong = model_.check(request.offset, data, request.length, request.started);
      model_.end_read(request.started);
      if (!wrong.empty()) die("a client read what it should not: " + wrong);
    } else {
      model_.acknowledge(request.write);
    }
  }

  blkmirror::io::SimWorld& world_;
  Model& model_;
  blkmirror::io::SimIo io_;
  uint64_t device_bytes_;
  ClientHabits habits_;
  blkmirror::io::SocketId socket_ = blkmirror::io::kNoSocket;
  blkmirror::io::Op send_;
  blkmirror::io::Op receive_;
  blkmirror::io::Timer timer_;
  blkmirror::io::Timer slow_timer_;
  iovec send_part_{};
  iovec receive_part_{};
  std::vector<std::byte> outbox_;
  std::vector<std::byte> sending_;
  std::vector<std::byte> incoming_;
  std::vector<std::byte> inbox_;
  size_t greeting_bytes_ = 0;
  bool connected_ = false;
  bool ready_ = false;
  bool active_ = false;
  uint64_t last_cookie_ = 0;
  uint64_t answers_ = 0;
  uint64_t errors_ = 0;
  std::unordered_map<uint64_t, Request> requests_;
};

}  // namespace fixture
