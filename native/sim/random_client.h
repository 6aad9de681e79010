// An NBD client over the simulated world that keeps several random requests in flight and checks
// every answer against the model it was connected with.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/endian.h"
#include "base/limits.h"
#include "io/sim_io.h"
#include "io/sim_world.h"
#include "sim/model.h"

namespace blkmirror::sim {

// Told what must never happen. It may return: the client then asks nothing more.
class Violations {
 public:
  virtual void violated(const std::string& what) = 0;

 protected:
  ~Violations() = default;
};

struct ClientHabits {
  uint32_t depth = 4;
  uint32_t pause_us = 500;     // between an answer and the next request, at most
  uint32_t large_one_in = 80;  // requests up to `large_bytes`
  uint32_t large_bytes = 1u << 20;
  uint64_t hot_bytes = 0;          // most requests go to the device's first bytes
  bool wide = false;               // a little in every extent
  bool slow = false;               // takes its answers late
  uint32_t block_bytes = kSector;  // requests are multiples of it
  // Percentages; the rest are writes.
  uint32_t flush_percent = 3;
  uint32_t read_percent = 32;
  uint32_t zero_percent = 15;
};

// How many requests several clients may still ask for together.
struct Allowance {
  uint64_t left = UINT64_MAX;
  bool just_spent = false;  // until somebody has noticed
  void spend() {
    if (left == UINT64_MAX) return;
    left -= 1;
    just_spent = left == 0;
  }
};

struct ClientCounters {
  uint64_t answers = 0;
  uint64_t errors = 0;
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t flushes = 0;
};

class RandomClient {
 public:
  // `allowance` may be null: no limit.
  RandomClient(io::SimWorld& world, Violations& violations, const ClientHabits& habits,
               Allowance* allowance = nullptr)
      : world_(world), violations_(violations), allowance_(allowance), io_(world), habits_(habits) {
    send_.owner = receive_.owner = timer_.owner = slow_timer_.owner = this;
    send_.complete = [](io::Op& op, int32_t result) { self(op.owner).sent(result); };
    receive_.complete = [](io::Op& op, int32_t result) { self(op.owner).received(result); };
    timer_.fire = [](io::Timer& timer) { self(timer.owner).next_requests(); };
    slow_timer_.fire = [](io::Timer& timer) { self(timer.owner).receive_more(); };
  }
  ~RandomClient() { drop(); }

  // False when nobody listens. `generation` (may be empty) tells what is durable at the server.
  bool connect(io::SocketId listener, Model& model, uint32_t host,
               std::function<uint64_t()> generation = {}) {
    drop();
    io_.set_host(host);
    socket_ = world_.connect(io_, listener);
    if (socket_ == io::kNoSocket) return false;
    model_ = &model;
    generation_ = std::move(generation);
    note_generation();
    connected_ = true;
    greeting_bytes_ = 18;
    receive_more();
    return true;
  }
  // The client dies with everything it asked for.
  void drop() {
    world_.crash(io_, io::SimCrash::kProcess);
    for (auto& [cookie, request] : requests_) forget(request);
    requests_.clear();
    inbox_.clear();
    outbox_.clear();
    sending_.clear();
    connected_ = ready_ = false;
  }
  void start() {
    active_ = true;
    go_on();
  }
  // There is something to ask for again.
  void go_on() {
    if (ready_) next_requests();
  }
  void stop() { active_ = false; }
  bool idle() const { return requests_.empty(); }
  bool ready() const { return ready_; }
  bool connected() const { return connected_; }
  bool uses(const Model& model) const { return model_ == &model; }
  const ClientCounters& counters() const { return counters_; }
  // Reads of a Primary SyncTarget that lost its source fail; otherwise no error is allowed.
  bool errors_allowed = false;

 private:
  struct Request {
    uint16_t type = 0;
    uint64_t offset = 0;
    uint32_t length = 0;
    uint64_t started = 0;
    WriteId write = kNoWrite;
  };

  static RandomClient& self(void* owner) { return *static_cast<RandomClient*>(owner); }

  bool violated(const std::string& what) {
    active_ = false;
    violations_.violated(what);
    return false;
  }

  void forget(Request& request) {
    if (request.write != kNoWrite) model_->give_up(request.write);
    if (request.type == 0) model_->end_read(request.started);
  }

  void next_requests() {
    while (may_ask()) {
      add_request();
      if (world_.random().chance(3)) break;
    }
    flush_outbox();
  }

  bool may_ask() const {
    if (!ready_ || !active_ || requests_.size() >= habits_.depth) return false;
    return allowance_ == nullptr || allowance_->left > 0;
  }

  // Also those under which nothing is acknowledged: a copy may be left behind with one.
  void note_generation() {
    if (generation_) model_->enter(generation_());
  }

  void add_request() {
    note_generation();
    auto& random = world_.random();
    Request request;
    const uint64_t kind = random.between(0, 99);
    const bool durable = random.chance(8);
    const uint64_t writes_from = habits_.flush_percent + habits_.read_percent;
    const uint64_t zeroes_from = 100 - habits_.zero_percent;
    if (kind < habits_.flush_percent) {
      request.type = 3;
      request.started = model_->now();
    } else {
      choose_range(request);
      if (kind < writes_from) {
        request.type = 0;
        request.started = model_->begin_read();
      } else {
        request.type = kind < zeroes_from                                   ? 1
                       : kind < zeroes_from + habits_.zero_percent * 7 / 15 ? 4
                                                                            : 6;
        request.write = model_->issue(request.offset, request.length, request.type != 1, durable);
      }
    }
    append(request, durable && request.type != 0 && request.type != 3);
    requests_.emplace(last_cookie_, std::move(request));
    if (allowance_ != nullptr) allowance_->spend();
  }

  void choose_range(Request& request) {
    auto& random = world_.random();
    const bool large = random.chance(habits_.large_one_in);
    const uint64_t most = large ? habits_.large_bytes / kSector : random.chance(8) ? 48 : 8;
    uint64_t count = random.between(1, most);
    const bool hot = habits_.hot_bytes != 0 && !random.chance(20);
    const uint64_t bytes = model_->bytes();
    const uint64_t area = (hot ? std::min(habits_.hot_bytes, bytes) : bytes) / kSector;
    uint64_t first = random.between(0, area - 1);
    if (habits_.wide) {  // some blocks in each extent
      constexpr uint64_t kExtent = limits::kExtentBytes / kSector;
      const uint64_t extents = std::max<uint64_t>(model_->bytes() / kSector / kExtent, 1);
      first = random.between(0, extents - 1) * kExtent + random.between(0, 255);
    }
    if (random.chance(2) || habits_.block_bytes > kSector) {  // whole blocks
      count = (count + 7) / 8 * 8;
      first = first / 8 * 8;
    }
    count = std::min(count, model_->bytes() / kSector - first);
    request.offset = first * kSector;
    request.length = static_cast<uint32_t>(count * kSector);
  }

  void append(const Request& request, bool durable) {
    const size_t at = outbox_.size();
    const bool data = request.type == 1;
    outbox_.resize(at + 28 + (data ? request.length : 0));
    std::byte* header = outbox_.data() + at;
    last_cookie_ += 1;
    store_be32(header, 0x25609513);
    store_be16(header + 4, durable ? 1 : 0);
    store_be16(header + 6, request.type);
    store_be64(header + 8, last_cookie_);
    store_be64(header + 16, request.offset);
    store_be32(header + 24, request.length);
    for (uint32_t i = 0; data && i < request.length / kSector; ++i) {
      const uint32_t tag = model_->tag(request.write);
      fill_block(header + 28 + i * kSector, tag, request.offset / kSector + i);
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
    if (may_ask() && !timer_.link.linked()) {
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
    if (load_be32(header) != 0x67446698) return violated("a reply with a wrong magic number");
    const uint32_t error = load_be32(header + 4);
    const auto found = requests_.find(load_be64(header + 8));
    if (found == requests_.end()) {
      return violated("a reply to nothing that was asked");
    }
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
      store_be32(outbox_.data(), 3);  // FIXED_NEWSTYLE, NO_ZEROES
      store_be64(outbox_.data() + 4, 0x49484156454F5054);
      store_be32(outbox_.data() + 12, 1);  // NBD_OPT_EXPORT_NAME, ""
      store_be32(outbox_.data() + 16, 0);
      flush_outbox();
    } else {
      greeting_bytes_ = 0;
      ready_ = true;
      if (active_) next_requests();
    }
    return true;
  }

  void answer(Request& request, uint32_t error, const std::byte* data) {
    counters_.answers += 1;
    if (error != 0) {
      counters_.errors += 1;
      if (!errors_allowed) {
        violated("an error " + std::to_string(error) + " for a request of type " +
                 std::to_string(request.type));
      }
      forget(request);
      return;
    }
    note_generation();
    counters_.reads += request.type == 0;
    counters_.flushes += request.type == 3;
    counters_.writes += request.type != 0 && request.type != 3;
    if (request.type == 3) {
      model_->flushed(request.started);
    } else if (request.type == 0) {
      const auto wrong = model_->check(request.offset, data, request.length, request.started);
      model_->end_read(request.started);
      if (!wrong.empty()) violated("a client read what it should not: " + wrong);
    } else {
      model_->acknowledge(request.write);
    }
  }

  io::SimWorld& world_;
  Violations& violations_;
  Allowance* allowance_;
  Model* model_ = nullptr;
  std::function<uint64_t()> generation_;
  io::SimIo io_;
  ClientHabits habits_;
  io::SocketId socket_ = io::kNoSocket;
  io::Op send_;
  io::Op receive_;
  io::Timer timer_;
  io::Timer slow_timer_;
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
  ClientCounters counters_;
  std::unordered_map<uint64_t, Request> requests_;
};

}  // namespace blkmirror::sim
