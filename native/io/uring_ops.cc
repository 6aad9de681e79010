// See uring_ops.h.
#include "io/uring_ops.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <new>

#include "base/assert.h"

namespace blkmirror::io {

namespace {

static_assert(sizeof(msghdr) <= sizeof(Op::Private::message));
static_assert(alignof(msghdr) <= 8);

void prepare_transfer(io_uring_sqe& entry, Op& op, int fd, int32_t region) {
  BM_ASSERT(op.impl.done < op.impl.length);
  auto* data = reinterpret_cast<void*>(op.impl.address + op.impl.done);
  const uint32_t left = op.impl.length - op.impl.done;
  const uint64_t offset = op.impl.offset + op.impl.done;
  const bool reading = static_cast<UringOp>(op.impl.kind) == UringOp::kRead;
  if (region != kNotRegistered) {
    (reading ? io_uring_prep_read_fixed(&entry, fd, data, left, offset, region)
             : io_uring_prep_write_fixed(&entry, fd, data, left, offset, region));
  } else {
    (reading ? io_uring_prep_read(&entry, fd, data, left, offset)
             : io_uring_prep_write(&entry, fd, data, left, offset));
  }
  if ((op.impl.flags & kUringDurable) != 0) entry.rw_flags = RWF_DSYNC;
}

msghdr* message_of(Op& op) {
  auto* message = new (op.impl.message) msghdr{};
  message->msg_iov = reinterpret_cast<iovec*>(op.impl.address);
  message->msg_iovlen = op.impl.length;
  return message;
}

void prepare_receive(io_uring_sqe& entry, Op& op, int fd) {
  const auto* parts = reinterpret_cast<const iovec*>(op.impl.address);
  BM_ASSERT(parts != nullptr);
  if (op.impl.length == 1) {
    io_uring_prep_recv(&entry, fd, parts->iov_base, parts->iov_len, 0);
  } else {
    io_uring_prep_recvmsg(&entry, fd, message_of(op), 0);
  }
}

void prepare_send(io_uring_sqe& entry, Op& op, int fd) {
  const auto* parts = reinterpret_cast<const iovec*>(op.impl.address);
  BM_ASSERT(parts != nullptr);
  constexpr int kFlags = MSG_NOSIGNAL | MSG_WAITALL;
  if (op.impl.length == 1) {
    io_uring_prep_send(&entry, fd, parts->iov_base, parts->iov_len, kFlags);
  } else {
    io_uring_prep_sendmsg(&entry, fd, message_of(op), kFlags);
  }
}

UringOutcome judge_transfer(Op& op, int32_t result) {
  if (result < 0) return {false, result};
  op.impl.done += static_cast<uint32_t>(result);
  BM_ASSERT(op.impl.done <= op.impl.length);
  if (op.impl.done == op.impl.length) return {false, 0};
  // A short end: of the disk (0), or inside a block, from where direct I/O cannot go on.
  if (result == 0 || op.impl.done % 512 != 0) return {false, -EIO};
  return {true, 0};
}

UringOutcome judge_zero(int32_t result) {
  switch (result) {
    case -EOPNOTSUPP:
    case -ENOSYS:
    case -EINVAL:
    case -EPERM:
    case -ENODEV:
      return {false, -EOPNOTSUPP};
    default:
      return {false, result};
  }
}

// Steps over what was sent.
UringOutcome judge_send(Op& op, int32_t result) {
  BM_ASSERT(op.impl.length > 0);
  if (result < 0) return {false, result};
  if (result == 0) return {false, -EPIPE};
  auto* parts = reinterpret_cast<iovec*>(op.impl.address);
  size_t sent = static_cast<size_t>(result);
  while (op.impl.length > 0 && sent >= parts->iov_len) {
    sent -= parts->iov_len;
    parts++;
    op.impl.length--;
  }
  if (op.impl.length == 0) {
    BM_ASSERT(sent == 0);
    return {false, 0};
  }
  parts->iov_base = static_cast<std::byte*>(parts->iov_base) + sent;
  parts->iov_len -= sent;
  op.impl.address = reinterpret_cast<uint64_t>(parts);
  return {true, 0};
}

}  // namespace

void prepare_entry(io_uring_sqe& entry, Op& op, int fd, int32_t region) {
  BM_ASSERT(fd >= 0);
  switch (static_cast<UringOp>(op.impl.kind)) {
    case UringOp::kRead:
    case UringOp::kWrite:
      prepare_transfer(entry, op, fd, region);
      break;
    case UringOp::kFlush:
      io_uring_prep_fsync(&entry, fd, IORING_FSYNC_DATASYNC);
      break;
    case UringOp::kZero: {
      const bool keep = (op.impl.flags & kUringKeepMapped) != 0;
      const int mode = (keep ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | FALLOC_FL_KEEP_SIZE;
      io_uring_prep_fallocate(&entry, fd, mode, static_cast<off_t>(op.impl.offset), op.impl.length);
      break;
    }
    case UringOp::kAccept:
      io_uring_prep_accept(&entry, fd, nullptr, nullptr, SOCK_CLOEXEC);
      break;
    case UringOp::kReceive:
      prepare_receive(entry, op, fd);
      break;
    case UringOp::kSend:
      prepare_send(entry, op, fd);
      break;
    case UringOp::kNone:
      BM_ASSERT(false);
  }
}

UringOutcome judge_completion(Op& op, int32_t result) {
  BM_ASSERT(op.impl.pending);
  const bool cancelled = (op.impl.flags & kUringCancelled) != 0;
  if (result == -EINTR || result == -EAGAIN) {
    return cancelled ? UringOutcome{false, -ECANCELED} : UringOutcome{true, 0};
  }
  switch (static_cast<UringOp>(op.impl.kind)) {
    case UringOp::kRead:
    case UringOp::kWrite:
      return judge_transfer(op, result);
    case UringOp::kZero:
      return judge_zero(result);
    case UringOp::kSend:
      return judge_send(op, result);
    default:
      return {false, result};
  }
}

}  // namespace blkmirror::io
