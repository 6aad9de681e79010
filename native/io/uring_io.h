// The real Io: one io_uring for each data-plane thread.
//
// The thread creates it, uses it, and loops `while (!stop) io->run_batch()`. Operations are
// collected and handed to the kernel once for each batch, sends first; what does not
// fit waits in a list of ours, so submitting never fails. Descriptors live in fixed tables, and
// nothing is allocated after create(). Only this directory knows liburing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "io/io.h"

namespace blkmirror::io {

class UringIo final : public Io {
 public:
  static constexpr uint32_t kDisks = 16;
  static constexpr uint32_t kSockets = 320;
  static constexpr uint32_t kRegions = 8;  // of registered memory

  // To be called on the thread that will use it.
  static Result<std::unique_ptr<UringIo>> create();
  // No operation may be in flight. Closes what was adopted.
  ~UringIo() override;

  // Take over a descriptor; kNoDisk and kNoSocket when the table is full (it stays the caller's).
  DiskId adopt_disk(int fd);
  SocketId adopt_socket(int fd);
  // Gives a socket's descriptor back to the caller. No operation may be in flight.
  int release_socket(SocketId socket);

  // batch_end(), then submit and wait for completions or the next timer, then deliver them.
  void run_batch();
  // Operations submitted and not yet completed.
  uint32_t in_flight() const;

  void set_handler(BatchHandler* handler) override;
  void read(DiskId disk, uint64_t offset, void* data, uint32_t length, Op& op) override;
  void write(DiskId disk, uint64_t offset, const void* data, uint32_t length, bool durable,
             Op& op) override;
  void flush(DiskId disk, Op& op) override;
  void zero(DiskId disk, uint64_t offset, uint32_t length, ZeroMode mode, Op& op) override;
  void close_disk(DiskId disk) override;
  void accept(SocketId listener, Op& op) override;
  void receive(SocketId socket, const iovec* parts, uint32_t count, Op& op) override;
  void send(SocketId socket, iovec* parts, uint32_t count, Op& op) override;
  void shutdown(SocketId socket) override;
  void cancel(Op& op) override;
  void close_socket(SocketId socket) override;
  int32_t peer_pid(SocketId socket) const override;
  uint64_t now_us() const override;
  uint64_t wall_ms() const override;
  void arm(Timer& timer, uint64_t deadline_us) override;
  void disarm(Timer& timer) override;
  void wake() override;
  // Locked memory may be limited (ENOMEM, EPERM): then transfers work without registration.
  void register_memory(void* address, size_t bytes) override;

 private:
  struct Private;
  explicit UringIo(std::unique_ptr<Private> owned);

  std::unique_ptr<Private> private_;
};

}  // namespace blkmirror::io
