// See sim_io.h.
#include "io/sim_io.h"

#include "base/assert.h"

namespace blkmirror::io {

namespace {

// The simulated world begins in September 2001.
constexpr uint64_t kSimulatedEpochMs = 1'000'000'000'000;

}  // namespace

SimIo::SimIo(SimWorld& world) : world_(world), index_(static_cast<uint32_t>(world.nodes_.size())) {
  host_ = index_;
  world_.nodes_.push_back(this);
}

SimIo::SimIo(SimWorld& world, uint32_t host) : SimIo(world) { host_ = host; }

SimIo::~SimIo() {
  BM_ASSERT(in_flight_ == 0);
  BM_ASSERT(world_.nodes_[index_] == this);
  timers_.clear();
  world_.nodes_[index_] = nullptr;
}

void SimIo::begin(Op& op, uint8_t kind) {
  BM_ASSERT(op.complete != nullptr);
  BM_ASSERT(!op.impl.pending);
  op.impl.pending = true;
  op.impl.kind = kind;
  op.impl.done = 0;
  op.impl.flags = 0;
  in_flight_++;
}

void SimIo::begin_disk(DiskId disk, uint64_t offset, const void* data, uint32_t length,
                       uint8_t kind, int32_t flags, Op& op) {
  const SimDisk& target = world_.disk(disk);
  BM_ASSERT(offset % target.block_bytes() == 0);
  BM_ASSERT(length % target.block_bytes() == 0);
  BM_ASSERT(reinterpret_cast<uintptr_t>(data) % target.block_bytes() == 0);
  begin(op, kind);
  op.impl.fd = static_cast<int32_t>(disk);
  op.impl.offset = offset;
  op.impl.length = length;
  op.impl.address = reinterpret_cast<uint64_t>(data);
  op.impl.flags = flags;
  world_.submit_disk(*this, op);
}

void SimIo::read(DiskId disk, uint64_t offset, void* data, uint32_t length, Op& op) {
  BM_ASSERT(data != nullptr);
  BM_ASSERT(length > 0);
  begin_disk(disk, offset, data, length, kSimRead, 0, op);
}

void SimIo::write(DiskId disk, uint64_t offset, const void* data, uint32_t length, bool durable,
                  Op& op) {
  BM_ASSERT(data != nullptr);
  BM_ASSERT(length > 0);
  begin_disk(disk, offset, data, length, kSimWrite, durable ? 1 : 0, op);
}

void SimIo::flush(DiskId disk, Op& op) { begin_disk(disk, 0, nullptr, 0, kSimFlush, 0, op); }

void SimIo::zero(DiskId disk, uint64_t offset, uint32_t length, ZeroMode, Op& op) {
  BM_ASSERT(length > 0);
  begin_disk(disk, offset, nullptr, length, kSimZero, 0, op);
}

void SimIo::close_disk(DiskId disk) {
  BM_ASSERT(disk != kNoDisk);
  for (const SimEvent& event : world_.heap_) {
    const bool mine = event.node == index_ && event.life == life_;
    if (mine && event.kind == SimEventKind::kDisk) {
      BM_ASSERT(event.op->impl.fd != static_cast<int32_t>(disk));
    }
  }
}

void SimIo::accept(SocketId listener, Op& op) {
  begin(op, kSimAccept);
  op.impl.fd = static_cast<int32_t>(listener);
  world_.net_.accept(*this, listener, op);
}

void SimIo::receive(SocketId socket, const iovec* parts, uint32_t count, Op& op) {
  BM_ASSERT(count >= 1);
  BM_ASSERT(count <= 8);
  begin(op, kSimReceive);
  op.impl.address = reinterpret_cast<uint64_t>(parts);
  op.impl.length = count;
  world_.net_.receive(*this, socket, op);
}

void SimIo::send(SocketId socket, iovec* parts, uint32_t count, Op& op) {
  BM_ASSERT(count >= 1);
  BM_ASSERT(count <= 1024);
  begin(op, kSimSend);
  op.impl.address = reinterpret_cast<uint64_t>(parts);
  op.impl.length = count;
  world_.net_.send(*this, socket, op);
}

void SimIo::shutdown(SocketId socket) { world_.net_.shutdown(socket); }

void SimIo::cancel(Op& op) {
  BM_ASSERT(op.impl.kind == kSimAccept || op.impl.kind == kSimReceive);
  if (op.impl.pending) world_.net_.cancel(op);
}

void SimIo::close_socket(SocketId socket) { world_.net_.close(*this, socket); }

// Made up: tells the nodes apart.
int32_t SimIo::peer_pid(SocketId socket) const {
  return static_cast<int32_t>(1000 + world_.net_.peer_node(socket));
}

uint64_t SimIo::now_us() const { return world_.now_us(); }

uint64_t SimIo::wall_ms() const { return kSimulatedEpochMs + world_.now_us() / 1000; }

void SimIo::wake() {
  if (wake_due_) return;
  wake_due_ = true;
  world_.schedule(1, SimEventKind::kWoken, *this, nullptr, 0, kNoSocket);
}

}  // namespace blkmirror::io
