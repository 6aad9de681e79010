// See sim_world.h. The sockets are in sim_net.cc.
#include "io/sim_world.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "io/sim_io.h"

namespace blkmirror::io {

SimWorld::SimWorld(uint64_t seed) : random_(seed), net_(*this) {}

SimWorld::~SimWorld() {
  for (const SimIo* node : nodes_) BM_ASSERT(node == nullptr);
}

DiskId SimWorld::make_disk(uint64_t bytes, uint32_t block_bytes) {
  disks_.push_back({std::make_unique<SimDisk>(bytes, block_bytes, random_), {}, {}});
  return DiskId{static_cast<uint32_t>(disks_.size() - 1)};
}

SimDisk& SimWorld::disk(DiskId disk) {
  BM_ASSERT(static_cast<uint32_t>(disk) < disks_.size());
  return *disks_[static_cast<uint32_t>(disk)].disk;
}

SimDiskBehaviour& SimWorld::behaviour(DiskId disk) {
  BM_ASSERT(static_cast<uint32_t>(disk) < disks_.size());
  return disks_[static_cast<uint32_t>(disk)].behaviour;
}

std::vector<std::byte> SimWorld::read_back(DiskId disk, uint64_t offset, uint32_t length) {
  std::vector<std::byte> bytes(length);
  this->disk(disk).read(offset, bytes.data(), length);
  return bytes;
}

void SimWorld::power_loss(DiskId disk) { faults_.lost_blocks += this->disk(disk).power_loss(); }

std::pair<SocketId, SocketId> SimWorld::connect_pair(SimIo& a, SimIo& b) {
  return net_.connect_pair(a, b);
}

SocketId SimWorld::listen(SimIo& node) { return net_.listen(node); }

SocketId SimWorld::connect(SimIo& node, SocketId listener) { return net_.connect(node, listener); }

void SimWorld::set_partition(SimIo& a, SimIo& b, bool partitioned) {
  net_.set_partition(a, b, partitioned);
}

void SimWorld::reset(SocketId socket) { net_.reset(socket); }

void SimWorld::crash(SimIo& node, SimCrash how) {
  BM_ASSERT(nodes_[node.index_] == &node);
  for (const Event& event : heap_) {
    if (event.node != node.index_ || event.life != node.life_ || event.op == nullptr) continue;
    void_operation(*event.op);
  }
  for (const Event& event : node.held_) {
    if (event.op != nullptr) void_operation(*event.op);
  }
  for (DiskEntry& entry : disks_) {
    std::erase_if(entry.hung, [&](const Event& event) {
      const bool mine = event.node == node.index_;
      if (mine) void_operation(*event.op);
      return mine;
    });
  }
  node.held_.clear();
  node.paused_ = false;
  net_.node_gone(node, how == SimCrash::kPower);
  node.life_++;
  node.in_flight_ = 0;
  node.wake_due_ = false;
  node.handler_ = nullptr;
  node.timers_.clear();
}

// It never completes; a write on its way may still arrive, in part.
void SimWorld::void_operation(Op& op) {
  BM_ASSERT(op.complete != nullptr);
  if (!op.impl.pending) return;
  op.impl.pending = false;
  // What is held with its result has been to the disk already.
  if (op.impl.done != 0) return;
  if (op.impl.kind != kSimWrite && op.impl.kind != kSimZero) return;
  SimDisk& target = disk(DiskId{static_cast<uint32_t>(op.impl.fd)});
  const auto* data = reinterpret_cast<const std::byte*>(op.impl.address);
  faults_.torn_writes += target.write_torn(op.impl.offset, data, op.impl.length);
}

void SimWorld::release(DiskId disk) {
  BM_ASSERT(static_cast<uint32_t>(disk) < disks_.size());
  std::vector<Event> hung;
  hung.swap(disks_[static_cast<uint32_t>(disk)].hung);
  for (const Event& event : hung) {
    BM_ASSERT(nodes_[event.node] != nullptr);
    schedule(1 + random_.between(0, 100), EventKind::kDisk, *nodes_[event.node], event.op, 0,
             kNoSocket);
  }
}

void SimWorld::pause(SimIo& node) {
  BM_ASSERT(nodes_[node.index_] == &node);
  node.paused_ = true;
}

void SimWorld::resume(SimIo& node) {
  BM_ASSERT(nodes_[node.index_] == &node);
  node.paused_ = false;
  std::vector<Event> held;
  held.swap(node.held_);
  for (const Event& event : held) {
    schedule(1, event.kind, node, event.op, event.result, event.socket);
  }
}

void SimWorld::advance(uint64_t to_us) {
  BM_ASSERT(to_us >= now_us_);
  BM_ASSERT(next_us() >= to_us);
  now_us_ = to_us;
}

void SimWorld::set_tracer(void (*tracer)(void* owner, const SimTrace& trace), void* owner) {
  tracer_ = tracer;
  tracer_owner_ = owner;
}

bool SimWorld::step(uint64_t until_us) {
  drop_void_events();
  const uint64_t event_us = heap_.empty() ? UINT64_MAX : heap_.front().at_us;
  SimIo* first = earliest_timer();
  const uint64_t timer_us = first == nullptr ? UINT64_MAX : first->timers_.next_deadline_us();
  if (first == nullptr && heap_.empty()) return false;
  if (std::min(event_us, timer_us) > until_us) return false;
  if (timer_us <= event_us) {
    deliver_timer(*first);
  } else {
    const Event event = heap_.front();
    pop_event();
    BM_ASSERT(event.at_us >= now_us_);
    now_us_ = event.at_us;
    running_ = event.node;
    deliver(event);
  }
  running_ = UINT32_MAX;
  return true;
}

bool SimWorld::run_until(const std::function<bool()>& predicate, uint64_t max_us) {
  BM_ASSERT(predicate != nullptr);
  const uint64_t end_us = now_us_ + max_us;
  for (size_t i = 0; i < nodes_.size(); i++) {
    if (nodes_[i] != nullptr) end_batch(*nodes_[i], nodes_[i]->life_);
  }
  while (!predicate()) {
    const uint64_t next = next_us();
    if (next > end_us) {
      now_us_ = end_us;
      return false;
    }
    if (!step()) return false;
  }
  return true;
}

bool SimWorld::later(const Event& a, const Event& b) {
  return a.at_us != b.at_us ? a.at_us > b.at_us : a.sequence > b.sequence;
}

void SimWorld::schedule(uint64_t after_us, EventKind kind, SimIo& node, Op* op, int32_t result,
                        SocketId socket) {
  BM_ASSERT(nodes_[node.index_] == &node);
  BM_ASSERT(after_us < UINT64_MAX - now_us_);
  heap_.push_back(
      {now_us_ + after_us, sequence_++, kind, node.index_, node.life_, op, result, socket});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

void SimWorld::pop_event() {
  BM_ASSERT(!heap_.empty());
  std::pop_heap(heap_.begin(), heap_.end(), later);
  heap_.pop_back();
}

// Those of nodes that crashed or are gone.
void SimWorld::drop_void_events() {
  while (!heap_.empty()) {
    const SimIo* node = nodes_[heap_.front().node];
    if (node != nullptr && node->life_ == heap_.front().life) return;
    pop_event();
  }
}

uint64_t SimWorld::next_us() {
  drop_void_events();
  const uint64_t event_us = heap_.empty() ? UINT64_MAX : heap_.front().at_us;
  SimIo* first = earliest_timer();
  return first == nullptr ? event_us : std::min(event_us, first->timers_.next_deadline_us());
}

// Whose earliest timer is the earliest of all; of equal ones the first node's. Null: there is none.
SimIo* SimWorld::earliest_timer() {
  SimIo* first = nullptr;
  uint64_t first_us = TimerQueue::kNever;
  for (SimIo* node : nodes_) {
    if (node == nullptr || node->paused_) continue;
    const uint64_t deadline_us = node->timers_.next_deadline_us();
    if (deadline_us >= first_us) continue;
    first = node;
    first_us = deadline_us;
  }
  return first;
}

void SimWorld::deliver_timer(SimIo& node) {
  now_us_ = std::max(now_us_, node.timers_.next_deadline_us());
  const uint32_t life = node.life_;
  running_ = node.index_;
  Timer* timer = node.timers_.take_due(now_us_);
  BM_ASSERT(timer != nullptr);
  record({now_us_, 0, EventKind{7}, node.index_, life, nullptr, 0, kNoSocket}, 0, 0, 0, 0);
  timer->fire(*timer);
  end_batch(node, life);
}

void SimWorld::deliver(const Event& event) {
  BM_ASSERT(event.node < nodes_.size());
  BM_ASSERT(nodes_[event.node] != nullptr);
  SimIo& node = *nodes_[event.node];
  if (event.kind == EventKind::kDisk) {
    DiskEntry& entry = disks_[static_cast<uint32_t>(event.op->impl.fd)];
    if (entry.behaviour.hang) {
      faults_.held_operations++;
      entry.hung.push_back(event);
      return;
    }
  }
  if (node.paused_ && event.kind != EventKind::kArrive) return hold(node, event);
  switch (event.kind) {
    case EventKind::kDisk: {
      const int32_t result = apply(*event.op);
      const Op::Private& op = event.op->impl;
      record(event, op.kind, op.offset, op.length, result);
      finish(node, *event.op, result);
      break;
    }
    case EventKind::kComplete:
      record(event, 0, 0, 0, event.result);
      finish(node, *event.op, event.result);
      break;
    case EventKind::kReceive:
      net_.on_receive(event.socket);
      break;
    case EventKind::kSend:
      net_.on_send(event.socket);
      break;
    case EventKind::kArrive:
      net_.on_arrive(event.socket);
      break;
    case EventKind::kAccept:
      net_.on_accept(event.socket);
      break;
    case EventKind::kWoken:
      node.wake_due_ = false;
      if (node.handler_ != nullptr) node.handler_->woken();
      break;
  }
  if (event.op == nullptr) record(event, 0, uint64_t(event.socket), 0, 0);
  end_batch(node, event.life);
}

// The node is paused: the disk does its part, the rest waits.
void SimWorld::hold(SimIo& node, Event event) {
  BM_ASSERT(node.paused_);
  if (event.kind == EventKind::kDisk) {
    event.result = apply(*event.op);
    event.op->impl.done = 1;
    event.kind = EventKind::kComplete;
  }
  node.held_.push_back(event);
}

void SimWorld::record(const Event& event, uint8_t op_kind, uint64_t offset, uint32_t length,
                      int32_t result) {
  const uint64_t what = uint64_t(event.kind) << 56 | uint64_t{op_kind} << 48 |
                        uint64_t{event.node} << 32 | static_cast<uint32_t>(result);
  for (const uint64_t word : {now_us_, what, offset ^ uint64_t{length} << 40}) {
    hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15u;
    hash_ ^= hash_ >> 29;
  }
  if (tracer_ == nullptr) return;
  const auto kind = static_cast<uint8_t>(event.kind);
  tracer_(tracer_owner_, {now_us_, event.node, kind, op_kind, offset, length, result});
}

void SimWorld::finish(SimIo& node, Op& op, int32_t result) {
  BM_ASSERT(op.impl.pending);
  BM_ASSERT(node.in_flight_ > 0);
  op.impl.pending = false;
  node.in_flight_--;
  op.complete(op, result);
}

void SimWorld::end_batch(SimIo& node, uint32_t life) {
  if (node.life_ == life && node.handler_ != nullptr) node.handler_->batch_end();
}

void SimWorld::submit_disk(SimIo& node, Op& op) {
  const DiskId id{static_cast<uint32_t>(op.impl.fd)};
  if (op.impl.kind == kSimFlush) {
    // A disk may do all of it at once, or include writes that complete meanwhile.
    op.impl.flags = random_.chance(2) ? 1 : 0;
    if (op.impl.flags == 1 && behaviour(id).flush_error == 0) disk(id).flush();
  }
  schedule(disk_delay_us(id, op), EventKind::kDisk, node, &op, 0, kNoSocket);
}

uint64_t SimWorld::disk_delay_us(DiskId disk, const Op& op) {
  const SimDiskBehaviour& how = behaviour(disk);
  const uint64_t delay_us = random_.between(how.minimum_us, how.maximum_us);
  return op.impl.kind == kSimFlush ? delay_us + how.flush_us : delay_us;
}

// What the operation does to the disk, and its result.
int32_t SimWorld::apply(Op& op) {
  BM_ASSERT(op.impl.pending);
  BM_ASSERT(op.impl.kind <= kSimZero);
  DiskEntry& entry = disks_[static_cast<uint32_t>(op.impl.fd)];
  SimDisk& disk = *entry.disk;
  if (const int32_t error = injected(entry, op); error != 0) {
    // A write that fails may have happened in part.
    if (entry.behaviour.write_error_rate > 0 && op.impl.kind == kSimWrite) {
      const auto* data = reinterpret_cast<const std::byte*>(op.impl.address);
      disk.write_torn(op.impl.offset, data, op.impl.length);
    }
    return error;
  }
  if (op.impl.kind == kSimFlush) {
    if (op.impl.flags == 0) disk.flush();
    return 0;
  }
  if (op.impl.length > disk.size_bytes()) return -EIO;
  if (op.impl.offset > disk.size_bytes() - op.impl.length) return -EIO;
  auto* data = reinterpret_cast<std::byte*>(op.impl.address);
  if (op.impl.kind == kSimRead) {
    disk.read(op.impl.offset, data, op.impl.length);
  } else {
    disk.write(op.impl.offset, data, op.impl.length, op.impl.flags == 1);
  }
  return 0;
}

int32_t SimWorld::injected(const DiskEntry& entry, const Op& op) {
  const int32_t error = injected_error(entry.behaviour, op);
  if (error == 0 || error == -EOPNOTSUPP) return error;
  faults_.read_errors += op.impl.kind == kSimRead;
  faults_.flush_errors += op.impl.kind == kSimFlush;
  faults_.write_errors += op.impl.kind == kSimWrite || op.impl.kind == kSimZero;
  return error;
}

int32_t SimWorld::injected_error(const SimDiskBehaviour& how, const Op& op) {
  const bool flush = op.impl.kind == kSimFlush;
  if (!flush && op.impl.offset >= how.error_end) return 0;
  if (!flush && op.impl.offset + op.impl.length <= how.error_begin) return 0;
  const bool read = op.impl.kind == kSimRead;
  const int32_t always = flush                       ? how.flush_error
                         : read                      ? how.read_error
                         : op.impl.kind == kSimWrite ? how.write_error
                                                     : how.zero_error;
  if (always != 0) return always;
  const uint32_t rate = flush  ? how.flush_error_rate
                        : read ? how.read_error_rate
                               : how.write_error_rate;
  return rate > 0 && random_.between(0, 999'999) < rate ? how.rate_error : 0;
}

}  // namespace blkmirror::io
