// See detachable_io.h.
#include "io/detachable_io.h"

#include <cerrno>

#include "base/assert.h"
#include "base/limits.h"

namespace blkmirror::io {

namespace {

// Writes, reads, received frames, resync blocks, and some for flushes and metadata pages.
constexpr uint32_t kProxies = 4 * limits::kFramesInFlight + 1024;

}  // namespace

DetachableIo::DetachableIo(Io& world, BufferPool& first, BufferPool& second)
    : world_(world),
      pools_{&first, &second},
      proxies_(kProxies, this, prepare),
      places_(kProxies, nullptr, nullptr) {}

DetachableIo::~DetachableIo() = default;

void DetachableIo::prepare(void* owner, Proxy& proxy) {
  proxy.io = static_cast<DetachableIo*>(owner);
  proxy.op.owner = &proxy;
  proxy.op.complete = ended;
}

DetachableIo::Proxy* DetachableIo::try_pass(Op& op, const void* data, bool reads) {
  BM_ASSERT(op.complete != nullptr);
  if (gone_) {
    Ended* place = places_.try_take();
    BM_ASSERT(place != nullptr);
    place->op = &op;
    place->result = -EIO;
    ended_.push_back(*place);
    world_.wake();
    return nullptr;
  }
  Proxy* proxy = proxies_.try_take();
  BM_ASSERT(proxy != nullptr);
  proxy->owner = &op;
  proxy->data = data;
  proxy->kept = nullptr;
  proxy->reads = reads;
  proxy->since_us = world_.now_us();
  in_flight_.push_back(*proxy);
  return proxy;
}

void DetachableIo::ended(Op& op, int32_t result) {
  Proxy& proxy = *static_cast<Proxy*>(op.owner);
  DetachableIo& io = *proxy.io;
  Op* const owner = proxy.owner;
  io.in_flight_.remove(proxy);
  if (proxy.kept != nullptr) BufferPool::release(*proxy.kept);
  io.proxies_.give_back(proxy);
  if (owner != nullptr) owner->complete(*owner, result);
}

void DetachableIo::let_go(bool reads) {
  gone_ = true;
  for (Proxy* proxy = in_flight_.front(); proxy != nullptr; proxy = in_flight_.next(*proxy)) {
    if (proxy->owner == nullptr || (proxy->reads && !reads)) continue;
    proxy->kept = find_buffer(proxy->data);
    if (proxy->kept != nullptr) BufferPool::reference(*proxy->kept);
    Ended* place = places_.try_take();
    BM_ASSERT(place != nullptr);
    place->op = proxy->owner;
    place->result = -ECANCELED;
    ended_.push_back(*place);
    proxy->owner = nullptr;
  }
}

Buffer* DetachableIo::find_buffer(const void* data) const {
  for (BufferPool* pool : pools_) {
    if (Buffer* found = pool->try_find(data); found != nullptr) return found;
  }
  return nullptr;
}

// What an owner submits meanwhile is told in the same call, but no owner is told twice in a row:
// each submission ends once.
void DetachableIo::deliver() {
  while (Ended* place = ended_.pop_front()) {
    Op& op = *place->op;
    const int32_t result = place->result;
    places_.give_back(*place);
    BM_ASSERT(result < 0);
    op.complete(op, result);
  }
}

void DetachableIo::take_again() {
  BM_ASSERT(gone_);
  BM_ASSERT(idle());
  BM_ASSERT(ended_.empty());
  gone_ = false;
}

uint64_t DetachableIo::oldest_us() {
  Proxy* oldest = in_flight_.front();
  return oldest == nullptr ? 0 : oldest->since_us;
}

void DetachableIo::read(DiskId disk, uint64_t offset, void* data, uint32_t length, Op& op) {
  Proxy* proxy = try_pass(op, data, true);
  if (proxy != nullptr) world_.read(disk, offset, data, length, proxy->op);
}

void DetachableIo::write(DiskId disk, uint64_t offset, const void* data, uint32_t length,
                         bool durable, Op& op) {
  Proxy* proxy = try_pass(op, data, false);
  if (proxy != nullptr) world_.write(disk, offset, data, length, durable, proxy->op);
}

void DetachableIo::flush(DiskId disk, Op& op) {
  Proxy* proxy = try_pass(op, nullptr, false);
  if (proxy != nullptr) world_.flush(disk, proxy->op);
}

void DetachableIo::zero(DiskId disk, uint64_t offset, uint32_t length, ZeroMode mode, Op& op) {
  Proxy* proxy = try_pass(op, nullptr, false);
  if (proxy != nullptr) world_.zero(disk, offset, length, mode, proxy->op);
}

}  // namespace blkmirror::io
