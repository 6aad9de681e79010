// A simulated world in one thread: a virtual clock, disks with volatile caches, sockets with
// latency, partitions, crashes. The same seed and the same calls give the same run.
//
// Nodes are SimIo objects (sim_io.h). step() delivers one event to one node and then runs that
// node's batch_end(). Ids of disks and sockets are indexes that are never used again, so a node
// that starts anew after a crash finds its disks under their old ids. Used by native tests.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "io/io.h"
#include "io/sim_disk.h"
#include "io/sim_net.h"
#include "io/sim_random.h"

namespace blkmirror::io {

class SimIo;

// How long one disk operation takes, and which of them fail. Change it at any time.
struct SimDiskBehaviour {
  uint32_t minimum_us = 20;
  uint32_t maximum_us = 200;
  uint32_t flush_us = 500;
  int32_t read_error = 0;  // negative errno of every such operation that touches the range
  int32_t write_error = 0;
  int32_t flush_error = 0;
  int32_t zero_error = 0;  // -EOPNOTSUPP: cannot zero
  uint64_t error_begin = 0;
  uint64_t error_end = UINT64_MAX;
  // Of a million operations that touch the range (flushes always do), so many fail.
  uint32_t read_error_rate = 0;
  uint32_t write_error_rate = 0;
  uint32_t flush_error_rate = 0;
  int32_t rate_error = -EIO;
  bool hang = false;  // operations are taken and wait for SimWorld::release()
};

// How often faults really hit something.
struct SimFaults {
  uint64_t torn_writes = 0;
  uint64_t lost_blocks = 0;
  uint64_t read_errors = 0;
  uint64_t write_errors = 0;
  uint64_t flush_errors = 0;
  uint64_t held_operations = 0;
  uint64_t held_segments = 0;
  uint64_t resets = 0;
};

enum class SimEventKind : uint8_t { kDisk, kComplete, kReceive, kSend, kArrive, kAccept, kWoken };

struct SimEvent {
  uint64_t at_us;
  uint64_t sequence;  // orders events of the same time
  SimEventKind kind;
  uint32_t node;
  uint32_t life;  // of the node: an event of an earlier life is void
  Op* op;         // kDisk, kComplete
  int32_t result;
  SocketId socket;  // kReceive, kSend, kArrive, kAccept
};

// What was delivered, for a trace. `kind` 7: a timer.
struct SimTrace {
  uint64_t at_us;
  uint32_t node;
  uint8_t kind;     // SimEventKind
  uint8_t op_kind;  // SimOpKind of a disk operation, else 0
  uint64_t offset;
  uint32_t length;
  int32_t result;
};

enum class SimCrash : uint8_t {
  kProcess,  // the kernel closes its sockets; peers see a reset
  kPower,    // peers see nothing
};

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed);
  ~SimWorld();

  uint64_t now_us() const { return now_us_; }
  SimRandom& random() { return random_; }
  SimNet& net() { return net_; }

  DiskId make_disk(uint64_t bytes, uint32_t block_bytes);
  SimDisk& disk(DiskId disk);
  SimDiskBehaviour& behaviour(DiskId disk);
  std::vector<std::byte> read_back(DiskId disk, uint64_t offset, uint32_t length);
  // Drops what was not flushed; crash the nodes that use the disk first.
  void power_loss(DiskId disk);

  // Two ends of one connection.
  std::pair<SocketId, SocketId> connect_pair(SimIo& a, SimIo& b);
  SocketId listen(SimIo& node);
  // kNoSocket when nobody listens there any more. While partitioned the other end waits.
  SocketId connect(SimIo& node, SocketId listener);
  // Nothing passes between the two nodes until set to false; then what was held arrives.
  void set_partition(SimIo& a, SimIo& b, bool partitioned);
  // Operations that a hanging disk holds are answered soon; set its behaviour first.
  void release(DiskId disk);
  // Nothing of the node runs, timers included, while its disks and sockets go on; what happened
  // is delivered after resume().
  void pause(SimIo& node);
  void resume(SimIo& node);
  // Both ends of this socket's connection fail with ECONNRESET.
  void reset(SocketId socket);

  // The node's operations vanish (its disk writes may still arrive, in part) and its sockets go.
  // Afterwards the objects above that SimIo may be destroyed, and new ones use it anew.
  void crash(SimIo& node, SimCrash how);

  // Delivers the next event and runs its node's batch_end(); false when there is none up to then.
  bool step(uint64_t until_us = UINT64_MAX);
  // Runs every node's batch_end(), then steps until the predicate holds (true) or `max_us` of
  // virtual time have passed or nothing is left to do (false).
  bool run_until(const std::function<bool()>& predicate, uint64_t max_us);
  // When the next event is due; UINT64_MAX when there is none.
  uint64_t next_us();
  // No event may be due before.
  void advance(uint64_t to_us);

  const SimFaults& faults() const { return faults_; }
  // Index of the node that runs, UINT32_MAX between events.
  uint32_t running() const { return running_; }
  // Of everything delivered so far: the same for the same run.
  uint64_t hash() const { return hash_; }
  void set_tracer(void (*tracer)(void* owner, const SimTrace& trace), void* owner);

 private:
  friend class SimIo;
  friend class SimNet;

  using Event = SimEvent;
  using EventKind = SimEventKind;
  struct DiskEntry {
    std::unique_ptr<SimDisk> disk;
    SimDiskBehaviour behaviour;
    std::vector<Event> hung;
  };

  static bool later(const Event& a, const Event& b);
  void schedule(uint64_t after_us, EventKind kind, SimIo& node, Op* op, int32_t result,
                SocketId socket);
  void pop_event();
  void drop_void_events();
  SimIo* earliest_timer();
  void deliver_timer(SimIo& node);
  void deliver(const Event& event);
  void hold(SimIo& node, Event event);
  void void_operation(Op& op);
  void record(const Event& event, uint8_t op_kind, uint64_t offset, uint32_t length,
              int32_t result);
  void finish(SimIo& node, Op& op, int32_t result);
  void end_batch(SimIo& node, uint32_t life);
  void submit_disk(SimIo& node, Op& op);
  uint64_t disk_delay_us(DiskId disk, const Op& op);
  int32_t apply(Op& op);
  int32_t injected(const DiskEntry& entry, const Op& op);
  int32_t injected_error(const SimDiskBehaviour& how, const Op& op);

  SimRandom random_;
  SimNet net_;
  uint64_t now_us_ = 1'000'000;
  uint64_t sequence_ = 0;
  uint64_t hash_ = 0;
  uint32_t running_ = UINT32_MAX;
  SimFaults faults_;
  void (*tracer_)(void* owner, const SimTrace& trace) = nullptr;
  void* tracer_owner_ = nullptr;
  std::vector<Event> heap_;
  std::vector<DiskEntry> disks_;
  std::vector<SimIo*> nodes_;
};

}  // namespace blkmirror::io
