// How operations become submission queue entries, and what their completions mean. No state: the
// ring and its tables are in uring_io.cc, the only user.
#pragma once

#include <liburing.h>

#include <cstdint>

#include "io/io.h"

namespace blkmirror::io {

// Op::impl.kind under io_uring.
enum class UringOp : uint8_t {
  kNone,
  kRead,
  kWrite,
  kFlush,
  kZero,
  kAccept,
  kReceive,
  kSend,
};

// Bits of Op::impl.flags.
inline constexpr int32_t kUringDurable = 1;
inline constexpr int32_t kUringKeepMapped = 2;
inline constexpr int32_t kUringCancelled = 4;

inline constexpr int32_t kNotRegistered = -1;

// Fills the entry from what the operation recorded; `region` is the index of the registered
// memory that holds all of its data, or kNotRegistered.
void prepare_entry(io_uring_sqe& entry, Op& op, int fd, int32_t region);

struct UringOutcome {
  bool again;      // submit the operation again: it was interrupted or is not complete
  int32_t result;  // for the owner, otherwise
};

// Judges the kernel's answer and records progress in the operation.
UringOutcome judge_completion(Op& op, int32_t result);

}  // namespace blkmirror::io
