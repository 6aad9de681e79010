// The engine's only window to the world: disks, sockets, time. Two implementations: io_uring
// (`uring_io`) and a simulated world with a virtual clock (`sim_io`).
//
// Invariants:
// - One thread owns an Io and everything above it. Only wake() may be called from elsewhere.
// - An operation belongs to the implementation from its submission until its `complete` is
//   called, exactly once, never from inside the submitting call. Buffers and iovec arrays
//   must stay valid for as long.
// - Submissions are collected and handed to the kernel together when the current batch of
//   completions has been delivered; BatchHandler::batch_end() runs just before that, so that
//   the engine can coalesce what it queued (one send per connection, one log commit).
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "base/list.h"

namespace blkmirror::io {

enum class DiskId : uint32_t {};
enum class SocketId : uint32_t {};
inline constexpr DiskId kNoDisk{UINT32_MAX};
inline constexpr SocketId kNoSocket{UINT32_MAX};

// One operation in flight; embed it and find the owner by `owner`.
struct Op {
  // result: what the operation says below, or a negative errno.
  void (*complete)(Op& op, int32_t result) = nullptr;
  void* owner = nullptr;

  // For the implementation.
  struct Private {
    uint8_t kind = 0;
    bool pending = false;
    int32_t fd = -1;
    uint64_t offset = 0;
    uint64_t address = 0;
    uint32_t length = 0;
    uint32_t done = 0;
    int32_t flags = 0;
    ListLink link;
    alignas(8) std::byte message[64];
  } impl;
};

struct Timer {
  void (*fire)(Timer& timer) = nullptr;
  void* owner = nullptr;
  uint64_t deadline_us = 0;  // for the implementation
  ListLink link;             // for the implementation
};

// What zero() may leave behind.
enum class ZeroMode : uint8_t {
  kMayUnmap,    // reads back zeroes; space may be freed
  kKeepMapped,  // reads back zeroes; space stays allocated
};

class BatchHandler {
 public:
  virtual void batch_end() = 0;
  // Another thread called wake(), once or several times.
  virtual void woken() = 0;
  // So many requests are under way that completions come in batches: none is worth looking for.
  virtual bool crowded() const { return false; }

 protected:
  ~BatchHandler() = default;
};

class Io {
 public:
  virtual ~Io() = default;

  virtual void set_handler(BatchHandler* handler) = 0;

  // Disks. Whole transfers only: the result is 0, or a negative errno (-EIO for a short end).
  // offset, length and address are multiples of the disk's logical block; `durable` makes this
  // write reach stable storage before it completes (FUA).
  virtual void read(DiskId disk, uint64_t offset, void* data, uint32_t length, Op& op) = 0;
  virtual void write(DiskId disk, uint64_t offset, const void* data, uint32_t length, bool durable,
                     Op& op) = 0;
  // Everything completed before is on stable storage when this completes with 0.
  virtual void flush(DiskId disk, Op& op) = 0;
  // -EOPNOTSUPP: this disk cannot do that cheaply; write zeroes instead.
  virtual void zero(DiskId disk, uint64_t offset, uint32_t length, ZeroMode mode, Op& op) = 0;
  // No operation may be in flight.
  virtual void close_disk(DiskId disk) = 0;

  // Sockets. accept: the result is the new SocketId's number.
  virtual void accept(SocketId listener, Op& op) = 0;
  // The result is the number of bytes received into the vector (at most 8 parts), 0 at the end.
  virtual void receive(SocketId socket, const iovec* parts, uint32_t count, Op& op) = 0;
  // Sends everything (at most 1024 parts): the result is 0, or a negative errno. The iovec array
  // may be modified by the implementation to continue after a partial send.
  virtual void send(SocketId socket, iovec* parts, uint32_t count, Op& op) = 0;
  // Operations in flight on the socket end soon (0 or a negative errno). May be called twice.
  virtual void shutdown(SocketId socket) = 0;
  // Asks an accept or a receive in flight to end with -ECANCELED; nothing that came is lost.
  virtual void cancel(Op& op) = 0;
  // No operation may be in flight.
  virtual void close_socket(SocketId socket) = 0;
  // Process id at the other end of a unix socket, 0 where unknown.
  virtual int32_t peer_pid(SocketId socket) const = 0;

  // Time: a monotonic clock in microseconds. A timer fires at or after its deadline, once.
  virtual uint64_t now_us() const = 0;
  // The time of day for people: milliseconds since 1970. Nothing is decided by it.
  virtual uint64_t wall_ms() const = 0;
  virtual void arm(Timer& timer, uint64_t deadline_us) = 0;
  virtual void disarm(Timer& timer) = 0;

  // Any thread: BatchHandler::woken() will run soon on the owner's thread.
  virtual void wake() = 0;

  // Memory used often for disk transfers; a hint that may be ignored.
  virtual void register_memory(void* address, size_t bytes) = 0;
};

}  // namespace blkmirror::io
