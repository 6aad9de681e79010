// An Io whose disks can be let go while operations are in flight, also ones that never end.
//
// Every disk operation goes to the world by a proxy. After let_go() the owner's operations end with
// -ECANCELED at the next deliver(), and later ones with -EIO, while the proxies stay with the
// kernel until their completions arrive. A buffer of a pool that a proxy uses is kept until then.
// What is no disk operation passes through. Proxies are allocated in the constructor.
#pragma once

#include <cstdint>

#include "base/buffer_pool.h"
#include "base/list.h"
#include "base/slab.h"
#include "io/io.h"

namespace blkmirror::io {

class DetachableIo final : public Io {
 public:
  // Buffers of the two pools are kept as said above.
  DetachableIo(Io& world, BufferPool& first, BufferPool& second);
  ~DetachableIo() override;

  // Ends what is in flight, `reads` only if asked for: what a cancelled read was to fill belongs
  // to the kernel until idle().
  void let_go(bool reads);
  // Tells the owners what let_go() ended; from the engine's batch_end().
  void deliver();
  // The disks are others now. Only when idle().
  void take_again();
  // Nothing is with the kernel.
  bool idle() const { return proxies_.used() == 0; }
  // When the oldest operation in flight was submitted; 0: none is.
  uint64_t oldest_us();

  void set_handler(BatchHandler* handler) override { world_.set_handler(handler); }
  void read(DiskId disk, uint64_t offset, void* data, uint32_t length, Op& op) override;
  void write(DiskId disk, uint64_t offset, const void* data, uint32_t length, bool durable,
             Op& op) override;
  void flush(DiskId disk, Op& op) override;
  void zero(DiskId disk, uint64_t offset, uint32_t length, ZeroMode mode, Op& op) override;
  void close_disk(DiskId disk) override { world_.close_disk(disk); }
  void accept(SocketId listener, Op& op) override { world_.accept(listener, op); }
  void receive(SocketId socket, const iovec* parts, uint32_t count, Op& op) override {
    world_.receive(socket, parts, count, op);
  }
  void send(SocketId socket, iovec* parts, uint32_t count, Op& op) override {
    world_.send(socket, parts, count, op);
  }
  void shutdown(SocketId socket) override { world_.shutdown(socket); }
  void cancel(Op& op) override { world_.cancel(op); }
  void close_socket(SocketId socket) override { world_.close_socket(socket); }
  int32_t peer_pid(SocketId socket) const override { return world_.peer_pid(socket); }
  uint64_t now_us() const override { return world_.now_us(); }
  uint64_t wall_ms() const override { return world_.wall_ms(); }
  void arm(Timer& timer, uint64_t deadline_us) override { world_.arm(timer, deadline_us); }
  void disarm(Timer& timer) override { world_.disarm(timer); }
  void wake() override { world_.wake(); }
  void register_memory(void* address, size_t bytes) override {
    world_.register_memory(address, bytes);
  }

 private:
  struct Proxy {
    Op op;
    Op* owner = nullptr;  // null: told already
    DetachableIo* io = nullptr;
    const void* data = nullptr;
    Buffer* kept = nullptr;
    bool reads = false;
    uint64_t since_us = 0;
    ListLink link;
  };

  static void prepare(void* owner, Proxy& proxy);
  static void ended(Op& op, int32_t result);
  // Null after let_go(): then the owner is told later.
  Proxy* try_pass(Op& op, const void* data, bool reads);
  Buffer* find_buffer(const void* data) const;

  Io& world_;
  BufferPool* const pools_[2];
  Slab<Proxy> proxies_;
  List<Proxy, &Proxy::link> in_flight_;  // oldest first
  bool gone_ = false;
  struct Ended {
    Op* op = nullptr;
    int32_t result = 0;
    ListLink link;
  };
  Slab<Ended> places_;
  List<Ended, &Ended::link> ended_;
};

}  // namespace blkmirror::io
