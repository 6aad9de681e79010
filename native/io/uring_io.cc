// See uring_io.h.
#include "io/uring_io.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>

#include "base/assert.h"
#include "io/disk_queue.h"
#include "io/spin.h"
#include "io/timer_queue.h"
#include "io/uring_ops.h"

namespace blkmirror::io {

namespace {

constexpr uint32_t kSubmissions = 1024;
constexpr uint32_t kCompletions = 16384;
// user_data of entries that are not operations; an Op is never at these addresses.
constexpr uint64_t kIgnored = 0;
constexpr uint64_t kWoken = 1;

struct Slot {
  int fd = -1;  // -1: free
  uint32_t in_flight = 0;
  int32_t peer_pid = 0;
};

// Descriptors by id; ids of closed ones are used again, the most recently closed first.
template <uint32_t Size>
class SlotTable {
 public:
  SlotTable() {
    for (uint32_t i = 0; i < Size; i++) free_[i] = Size - 1 - i;
  }
  // UINT32_MAX when full.
  uint32_t add(int fd) {
    BM_ASSERT(fd >= 0);
    if (free_count_ == 0) return UINT32_MAX;
    const uint32_t index = free_[--free_count_];
    BM_ASSERT(slots_[index].fd == -1);
    slots_[index] = {fd, 0, 0};
    return index;
  }
  void remove(uint32_t index) {
    BM_ASSERT(at(index).in_flight == 0);
    ::close(release(index));
  }
  int release(uint32_t index) {
    BM_ASSERT(at(index).in_flight == 0);
    const int fd = slots_[index].fd;
    slots_[index].fd = -1;
    free_[free_count_++] = index;
    return fd;
  }
  Slot& at(uint32_t index) {
    BM_ASSERT(index < Size);
    BM_ASSERT(slots_[index].fd >= 0);
    return slots_[index];
  }
  void close_all() {
    for (uint32_t i = 0; i < Size; i++) {
      if (slots_[i].fd >= 0) remove(i);
    }
  }

 private:
  std::array<Slot, Size> slots_;
  std::array<uint32_t, Size> free_;
  uint32_t free_count_ = Size;
};

using OpImpl = Op::Private;

Op& op_of(OpImpl& impl) {
  return *reinterpret_cast<Op*>(reinterpret_cast<std::byte*>(&impl) - offsetof(Op, impl));
}

bool is_transfer(const Op& op) {
  const auto kind = static_cast<UringOp>(op.impl.kind);
  return kind == UringOp::kRead || kind == UringOp::kWrite;
}

struct Region {
  uint64_t begin = 0;
  uint64_t end = 0;
};

uint64_t monotonic_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

// 0 for what is not a connected unix socket.
int32_t pid_of_peer(int fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return 0;
  return credentials.pid;
}

// The best ring this kernel offers: DEFER_TASKRUN since Linux 6.1, SINGLE_ISSUER since 6.0.
int init_ring(io_uring& ring) {
  constexpr uint32_t kAlways = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
  constexpr uint32_t kFlags[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
          IORING_SETUP_SUBMIT_ALL,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
      0,
  };
  int error = -EINVAL;
  for (const uint32_t flags : kFlags) {
    io_uring_params params{};
    params.flags = kAlways | flags;
    params.cq_entries = kCompletions;
    error = io_uring_queue_init_params(kSubmissions, &ring, &params);
    if (error != -EINVAL) break;
  }
  return error;
}

// Interruption, and a kernel short of memory or with a full completion queue, are no errors here:
// what there is gets delivered and the rest is submitted again with the next batch.
bool harmless(int result) {
  return result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
         result == -EBUSY || result == -ENOMEM;
}

}  // namespace

struct UringIo::Private {
  ~Private();
  Status init();
  void start(UringOp kind, Slot& slot, uint32_t id, Op& op);
  void submit(Op& op);
  void transfer(UringOp kind, DiskId disk, uint64_t offset, const void* data, uint32_t length,
                Op& op);
  Slot& slot_of(const Op& op);
  io_uring_sqe* entry();
  bool try_prepare(Op& op);
  void drain_waiting();
  void arm_wake();
  void submit_and_wait();
  bool look(uint64_t deadline_us);
  bool something_came();
  int sleep(uint64_t deadline_us);
  void refill_disks(uint32_t count);
  void deliver();
  void finish(Op& op, int32_t result);
  int32_t adopt_accepted(int fd);
  int32_t region_of(const Op& op) const;

  io_uring ring{};
  bool ring_ready = false;
  bool regions_ready = false;
  int wake_fd = -1;
  bool wake_armed = false;
  std::atomic<bool> wake_sent{false};
  BatchHandler* handler = nullptr;
  TimerQueue timers;
  Spin spin;
  SlotTable<kDisks> disks;
  std::array<DiskQueue, kDisks> queues;
  SlotTable<kSockets> sockets;
  std::array<Region, kRegions> regions;
  uint32_t region_count = 0;
  uint32_t in_flight = 0;
  List<OpImpl, &OpImpl::link> waiting;    // for the batch's end, or a place in the queue
  List<OpImpl, &OpImpl::link> cancelled;  // those whose cancellation is to be submitted
};

Result<std::unique_ptr<UringIo>> UringIo::create() {
  auto owned = std::make_unique<Private>();
  if (const Status status = owned->init(); !status.ok()) return status.error();
  return std::unique_ptr<UringIo>(new UringIo(std::move(owned)));
}

UringIo::UringIo(std::unique_ptr<Private> owned) : private_(std::move(owned)) {}

UringIo::~UringIo() = default;

DiskId UringIo::adopt_disk(int fd) {
  const uint32_t id = private_->disks.add(fd);
  if (id != UINT32_MAX) private_->queues[id].reset();
  return DiskId{id};
}

// Operations on a non-blocking socket would end with EAGAIN instead of waiting in the ring.
SocketId UringIo::adopt_socket(int fd) {
  const uint32_t id = private_->sockets.add(fd);
  if (id == UINT32_MAX) return kNoSocket;
  const int flags = ::fcntl(fd, F_GETFL);
  BM_ASSERT(flags >= 0);
  if ((flags & O_NONBLOCK) != 0) ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  private_->sockets.at(id).peer_pid = pid_of_peer(fd);
  return SocketId{id};
}

void UringIo::run_batch() {
  Private& self = *private_;
  if (self.handler != nullptr) self.handler->batch_end();
  self.drain_waiting();
  self.submit_and_wait();
  self.deliver();
  const uint64_t now = now_us();  // once, or a timer that arms itself again would go on for ever
  while (Timer* timer = self.timers.take_due(now)) timer->fire(*timer);
}

uint32_t UringIo::in_flight() const { return private_->in_flight; }

void UringIo::set_handler(BatchHandler* handler) { private_->handler = handler; }

void UringIo::read(DiskId disk, uint64_t offset, void* data, uint32_t length, Op& op) {
  op.impl.flags = 0;
  private_->transfer(UringOp::kRead, disk, offset, data, length, op);
}

void UringIo::write(DiskId disk, uint64_t offset, const void* data, uint32_t length, bool durable,
                    Op& op) {
  op.impl.flags = durable ? kUringDurable : 0;
  private_->transfer(UringOp::kWrite, disk, offset, data, length, op);
}

void UringIo::flush(DiskId disk, Op& op) {
  op.impl.flags = 0;
  const auto id = static_cast<uint32_t>(disk);
  private_->start(UringOp::kFlush, private_->disks.at(id), id, op);
}

void UringIo::zero(DiskId disk, uint64_t offset, uint32_t length, ZeroMode mode, Op& op) {
  BM_ASSERT(length > 0);
  op.impl.flags = mode == ZeroMode::kKeepMapped ? kUringKeepMapped : 0;
  op.impl.offset = offset;
  op.impl.length = length;
  const auto id = static_cast<uint32_t>(disk);
  private_->start(UringOp::kZero, private_->disks.at(id), id, op);
}

void UringIo::close_disk(DiskId disk) { private_->disks.remove(static_cast<uint32_t>(disk)); }

void UringIo::accept(SocketId listener, Op& op) {
  op.impl.flags = 0;
  const auto id = static_cast<uint32_t>(listener);
  private_->start(UringOp::kAccept, private_->sockets.at(id), id, op);
}

void UringIo::receive(SocketId socket, const iovec* parts, uint32_t count, Op& op) {
  BM_ASSERT(count >= 1);
  BM_ASSERT(count <= 8);
  op.impl.flags = 0;
  op.impl.address = reinterpret_cast<uint64_t>(parts);
  op.impl.length = count;
  const auto id = static_cast<uint32_t>(socket);
  private_->start(UringOp::kReceive, private_->sockets.at(id), id, op);
}

void UringIo::send(SocketId socket, iovec* parts, uint32_t count, Op& op) {
  BM_ASSERT(count >= 1);
  BM_ASSERT(count <= 1024);
  op.impl.flags = 0;
  op.impl.address = reinterpret_cast<uint64_t>(parts);
  op.impl.length = count;
  const auto id = static_cast<uint32_t>(socket);
  private_->start(UringOp::kSend, private_->sockets.at(id), id, op);
}

void UringIo::shutdown(SocketId socket) {
  ::shutdown(private_->sockets.at(static_cast<uint32_t>(socket)).fd, SHUT_RDWR);
}

void UringIo::cancel(Op& op) {
  const auto kind = static_cast<UringOp>(op.impl.kind);
  BM_ASSERT(kind == UringOp::kAccept || kind == UringOp::kReceive);
  if (!op.impl.pending || (op.impl.flags & kUringCancelled) != 0) return;
  op.impl.flags |= kUringCancelled;
  if (!op.impl.link.linked()) private_->cancelled.push_back(op.impl);
}

void UringIo::close_socket(SocketId socket) {
  private_->sockets.remove(static_cast<uint32_t>(socket));
}

int UringIo::release_socket(SocketId socket) {
  return private_->sockets.release(static_cast<uint32_t>(socket));
}

int32_t UringIo::peer_pid(SocketId socket) const {
  return private_->sockets.at(static_cast<uint32_t>(socket)).peer_pid;
}

uint64_t UringIo::now_us() const { return monotonic_us(); }

uint64_t UringIo::wall_ms() const {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  BM_ASSERT(now.tv_sec >= 0);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

void UringIo::arm(Timer& timer, uint64_t deadline_us) { private_->timers.arm(timer, deadline_us); }

void UringIo::disarm(Timer& timer) { private_->timers.disarm(timer); }

void UringIo::wake() {
  if (private_->wake_sent.exchange(true)) return;
  const uint64_t one = 1;
  const ssize_t written = ::write(private_->wake_fd, &one, sizeof one);
  BM_ASSERT(written == sizeof one);
}

void UringIo::register_memory(void* address, size_t bytes) {
  Private& self = *private_;
  BM_ASSERT(address != nullptr);
  BM_ASSERT(bytes > 0);
  if (!self.regions_ready || self.region_count == kRegions) return;
  const iovec region{address, bytes};
  const __u64 tag = 0;
  const int count =
      io_uring_register_buffers_update_tag(&self.ring, self.region_count, &region, &tag, 1);
  if (count != 1) return;
  const auto begin = reinterpret_cast<uint64_t>(address);
  self.regions[self.region_count++] = {begin, begin + bytes};
}

UringIo::Private::~Private() {
  BM_ASSERT(in_flight == 0);
  BM_ASSERT(waiting.empty());
  timers.clear();
  if (ring_ready) io_uring_queue_exit(&ring);
  disks.close_all();
  sockets.close_all();
  if (wake_fd >= 0) ::close(wake_fd);
}

Status UringIo::Private::init() {
  BM_ASSERT(!ring_ready);
  if (const int error = init_ring(ring); error < 0) return Error{-error, "io_uring_setup"};
  ring_ready = true;
  BM_ASSERT(wake_fd == -1);
  if ((ring.features & IORING_FEAT_EXT_ARG) == 0) return Error{ENOSYS, "io_uring timeouts"};
  wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) return Error{errno, "eventfd"};
  regions_ready = io_uring_register_buffers_sparse(&ring, kRegions) == 0;
  return Status();
}

void UringIo::Private::transfer(UringOp kind, DiskId disk, uint64_t offset, const void* data,
                                uint32_t length, Op& op) {
  BM_ASSERT(data != nullptr);
  BM_ASSERT(length > 0);
  op.impl.offset = offset;
  op.impl.address = reinterpret_cast<uint64_t>(data);
  op.impl.length = length;
  const auto id = static_cast<uint32_t>(disk);
  start(kind, disks.at(id), id, op);
}

void UringIo::Private::start(UringOp kind, Slot& slot, uint32_t id, Op& op) {
  BM_ASSERT(op.complete != nullptr);
  BM_ASSERT(!op.impl.pending);
  op.impl.kind = static_cast<uint8_t>(kind);
  op.impl.pending = true;
  op.impl.fd = static_cast<int32_t>(id);
  op.impl.done = 0;
  slot.in_flight++;
  in_flight++;
  if (is_transfer(op) && !queues[id].take(op.impl)) return;
  submit(op);
}

// Sends go before all else of a batch: to begin with a disk takes the kernel a while, and what is
// sent gives another node work to do meanwhile.
void UringIo::Private::submit(Op& op) {
  BM_ASSERT(op.impl.pending);
  if (static_cast<UringOp>(op.impl.kind) == UringOp::kSend && try_prepare(op)) return;
  waiting.push_back(op.impl);
}

Slot& UringIo::Private::slot_of(const Op& op) {
  const auto id = static_cast<uint32_t>(op.impl.fd);
  const auto kind = static_cast<UringOp>(op.impl.kind);
  BM_ASSERT(kind != UringOp::kNone);
  return kind >= UringOp::kAccept ? sockets.at(id) : disks.at(id);
}

// A free place in the submission queue, making room where that is possible.
io_uring_sqe* UringIo::Private::entry() {
  io_uring_sqe* free = io_uring_get_sqe(&ring);
  if (free != nullptr) return free;
  io_uring_submit(&ring);
  return io_uring_get_sqe(&ring);
}

bool UringIo::Private::try_prepare(Op& op) {
  BM_ASSERT(op.impl.pending);
  io_uring_sqe* free = entry();
  if (free == nullptr) return false;
  prepare_entry(*free, op, slot_of(op).fd, region_of(op));
  io_uring_sqe_set_data(free, &op);
  return true;
}

// What waits for a place in the submission queue, then the cancellations.
void UringIo::Private::drain_waiting() {
  while (OpImpl* first = waiting.front()) {
    if (!try_prepare(op_of(*first))) return;
    waiting.remove(*first);
    if ((first->flags & kUringCancelled) != 0) cancelled.push_back(*first);
  }
  while (OpImpl* first = cancelled.front()) {
    BM_ASSERT(first->pending);
    io_uring_sqe* free = entry();
    if (free == nullptr) return;
    cancelled.remove(*first);
    io_uring_prep_cancel(free, &op_of(*first), 0);
    io_uring_sqe_set_data64(free, kIgnored);
  }
}

void UringIo::Private::arm_wake() {
  if (wake_armed) return;
  io_uring_sqe* free = entry();
  if (free == nullptr) return;
  BM_ASSERT(wake_fd >= 0);
  io_uring_prep_poll_add(free, wake_fd, POLLIN);
  io_uring_sqe_set_data64(free, kWoken);
  wake_armed = true;
}

void UringIo::Private::submit_and_wait() {
  arm_wake();
  if (!waiting.empty() || !cancelled.empty()) {
    BM_ASSERT(harmless(io_uring_submit_and_get_events(&ring)));
    return;
  }
  const uint64_t deadline_us = timers.next_deadline_us();
  const bool alone = handler == nullptr || !handler->crowded();
  if (alone && spin.worth_it() && look(deadline_us)) return;
  const uint64_t begin_us = monotonic_us();
  BM_ASSERT(harmless(sleep(deadline_us)));
  spin.slept(monotonic_us() - begin_us);
}

// Submits, and looks for completions without sleeping; false when none came in time, or when
// another thread wants the processor.
bool UringIo::Private::look(uint64_t deadline_us) {
  BM_ASSERT(harmless(io_uring_submit_and_get_events(&ring)));
  uint64_t now_us = monotonic_us();
  const uint64_t end_us = std::min(now_us + Spin::kMostUs, deadline_us);
  while (now_us < end_us) {
    if (something_came()) {
      spin.looked(true);
      return true;
    }
    ::sched_yield();
    const uint64_t before_us = now_us;
    now_us = monotonic_us();
    if (now_us - before_us > Spin::kYieldUs) {
      spin.disturbed();
      return something_came();
    }
  }
  spin.looked(false);
  return false;
}

// The kernel posts completions to a thread that did not enter it only when asked to.
bool UringIo::Private::something_came() {
  BM_ASSERT(ring_ready);
  const uint32_t flags = __atomic_load_n(ring.sq.kflags, __ATOMIC_RELAXED);
  if ((flags & IORING_SQ_TASKRUN) != 0) BM_ASSERT(harmless(io_uring_get_events(&ring)));
  return io_uring_cq_ready(&ring) > 0;
}

// Submits, and sleeps until something completes or until the deadline.
int UringIo::Private::sleep(uint64_t deadline_us) {
  BM_ASSERT(waiting.empty());
  if (deadline_us == TimerQueue::kNever) return io_uring_submit_and_wait(&ring, 1);
  const uint64_t now_us = monotonic_us();
  const uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 0;
  __kernel_timespec left{static_cast<int64_t>(left_us / 1'000'000),
                         static_cast<long long>(left_us % 1'000'000 * 1000)};
  io_uring_cqe* first = nullptr;
  return io_uring_submit_and_wait_timeout(&ring, &first, 1, &left, nullptr);
}

// The next `count` completions are about to be delivered: before their owners deal with them, the
// disks get what was held back for these.
void UringIo::Private::refill_disks(uint32_t count) {
  std::array<uint32_t, kDisks> answered{};
  uint32_t head = 0;
  io_uring_cqe* entry = nullptr;
  io_uring_for_each_cqe(&ring, head, entry) {
    if (count-- == 0) break;
    if (entry->user_data == kIgnored || entry->user_data == kWoken) continue;
    const Op& op = *reinterpret_cast<Op*>(entry->user_data);
    if (is_transfer(op)) answered[static_cast<uint32_t>(op.impl.fd)]++;
  }
  bool refilled = false;
  for (uint32_t disk = 0; disk < kDisks; disk++) {
    if (answered[disk] == 0) continue;
    queues[disk].answered(answered[disk], monotonic_us());
    for (; OpImpl* held = queues[disk].next(); refilled = true) submit(op_of(*held));
  }
  if (!refilled) return;
  drain_waiting();
  BM_ASSERT(harmless(io_uring_submit(&ring)));
}

// Delivers what is there now. Each entry is given back to the kernel before its owner runs.
void UringIo::Private::deliver() {
  const uint32_t count = io_uring_cq_ready(&ring);
  refill_disks(count);
  for (uint32_t left = count; left > 0; left--) {
    io_uring_cqe* entry = nullptr;
    if (io_uring_peek_cqe(&ring, &entry) != 0) return;
    const uint64_t tag = entry->user_data;
    const int32_t result = entry->res;
    io_uring_cqe_seen(&ring, entry);
    if (tag == kIgnored) continue;
    if (tag == kWoken) {
      wake_armed = false;
      uint64_t count = 0;
      [[maybe_unused]] const ssize_t got = ::read(wake_fd, &count, sizeof count);
      wake_sent.store(false);
      if (handler != nullptr) handler->woken();
      continue;
    }
    finish(*reinterpret_cast<Op*>(tag), result);
  }
}

void UringIo::Private::finish(Op& op, int32_t result) {
  BM_ASSERT(op.complete != nullptr);
  UringOutcome outcome = judge_completion(op, result);
  if (outcome.again) {
    BM_ASSERT(!op.impl.link.linked());
    if (is_transfer(op)) queues[static_cast<uint32_t>(op.impl.fd)].again();
    submit(op);
    return;
  }
  if (op.impl.link.linked()) op.impl.link.unlink();
  Slot& slot = slot_of(op);
  BM_ASSERT(slot.in_flight > 0);
  BM_ASSERT(in_flight > 0);
  slot.in_flight--;
  in_flight--;
  if (static_cast<UringOp>(op.impl.kind) == UringOp::kAccept && outcome.result >= 0) {
    outcome.result = adopt_accepted(outcome.result);
  }
  op.impl.pending = false;
  op.complete(op, outcome.result);
}

int32_t UringIo::Private::adopt_accepted(int fd) {
  const uint32_t id = sockets.add(fd);
  if (id == UINT32_MAX) {
    ::close(fd);
    return -EMFILE;
  }
  BM_ASSERT(id < kSockets);
  sockets.at(id).peer_pid = pid_of_peer(fd);
  return static_cast<int32_t>(id);
}

int32_t UringIo::Private::region_of(const Op& op) const {
  if (static_cast<UringOp>(op.impl.kind) > UringOp::kWrite) return kNotRegistered;
  for (uint32_t i = 0; i < region_count; i++) {
    if (op.impl.address < regions[i].begin) continue;
    if (op.impl.address + op.impl.length <= regions[i].end) return static_cast<int32_t>(i);
  }
  return kNotRegistered;
}

}  // namespace blkmirror::io
