// One node's view of the simulated world: the Io that the code under test is given.
//
// Everything is passed on to SimWorld, which decides when it happens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "io/io.h"
#include "io/sim_world.h"
#include "io/timer_queue.h"

namespace blkmirror::io {

class SimIo : public Io {
 public:
  explicit SimIo(SimWorld& world);
  // One of several on the same host.
  SimIo(SimWorld& world, uint32_t host);
  ~SimIo() override;
  SimIo(const SimIo&) = delete;
  SimIo& operator=(const SimIo&) = delete;

  void set_handler(BatchHandler* handler) override { handler_ = handler; }
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
  void arm(Timer& timer, uint64_t deadline_us) override { timers_.arm(timer, deadline_us); }
  void disarm(Timer& timer) override { timers_.disarm(timer); }
  void wake() override;
  void register_memory(void*, size_t) override {}

  // Operations submitted and not yet completed.
  uint32_t in_flight() const { return in_flight_; }
  uint32_t index() const { return index_; }
  // Who shares its network: cuts and latencies are between hosts. By default the index.
  uint32_t host() const { return host_; }
  void set_host(uint32_t host) { host_ = host; }
  bool paused() const { return paused_; }

 private:
  friend class SimWorld;
  friend class SimNet;

  void begin(Op& op, uint8_t kind);
  void begin_disk(DiskId disk, uint64_t offset, const void* data, uint32_t length, uint8_t kind,
                  int32_t flags, Op& op);

  SimWorld& world_;
  BatchHandler* handler_ = nullptr;
  TimerQueue timers_;
  uint32_t index_ = 0;
  uint32_t host_ = 0;
  bool paused_ = false;
  std::vector<SimEvent> held_;  // while paused
  uint32_t life_ = 0;           // raised by a crash
  uint32_t in_flight_ = 0;
  bool wake_due_ = false;
};

// Op::impl.kind in the simulated world.
enum SimOpKind : uint8_t {
  kSimRead = 1,
  kSimWrite,
  kSimFlush,
  kSimZero,
  kSimAccept,
  kSimReceive,
  kSimSend,
};

}  // namespace blkmirror::io
