// What the metadata tests share: one simulated node with one disk, and waiters that remember.
#pragma once

#include <functional>
#include <string>

#include "base/endian.h"
#include "io/sim_io.h"
#include "meta/superblock.h"
#include "meta/waiter.h"

namespace fixture {

using namespace blkmirror;
using namespace blkmirror::meta;

struct Waiting {
  Waiter waiter;
  bool done = false;
  int error = -1;
  std::function<void()> then;
  Waiting() {
    waiter.owner = this;
    waiter.done = [](Waiter& told, int code) {
      auto& self = *static_cast<Waiting*>(told.owner);
      self.done = true;
      self.error = code;
      if (self.then) self.then();
    };
  }
};

// Counts the flushes and writes that pass.
class CountingIo final : public io::SimIo {
 public:
  using SimIo::SimIo;
  void write(io::DiskId disk, uint64_t offset, const void* data, uint32_t length, bool durable,
             io::Op& op) override {
    ++writes;
    SimIo::write(disk, offset, data, length, durable, op);
  }
  void flush(io::DiskId disk, io::Op& op) override {
    ++flushes;
    SimIo::flush(disk, op);
  }
  uint32_t writes = 0;
  uint32_t flushes = 0;
};

struct Node : io::BatchHandler {
  io::SimWorld world;
  CountingIo io;
  io::DiskId disk;
  std::function<void()> at_batch_end;

  explicit Node(uint64_t disk_bytes, uint64_t seed = 1)
      : world(seed), io(world), disk(world.make_disk(disk_bytes, 512)) {
    io.set_handler(this);
  }
  void batch_end() override {
    if (at_batch_end) at_batch_end();
  }
  void woken() override {}
  // The error it was told; -1 when it was told nothing.
  int wait(Waiting& waiting) {
    world.run_until([&] { return waiting.done; }, 100'000'000);
    return waiting.done ? waiting.error : -1;
  }
  void power_loss() {
    world.crash(io, io::SimCrash::kPower);
    world.power_loss(disk);
    io.set_handler(this);
  }
  // Inverts one byte on the medium.
  void damage(uint64_t offset) {
    auto block = world.read_back(disk, offset / 512 * 512, 512);
    block[offset % 512] ^= std::byte{0xff};
    world.disk(disk).write(offset / 512 * 512, block.data(), 512, true);
  }
};

// Layout of external metadata for a device of that size.
inline Layout external(uint64_t device_bytes, uint32_t slots) {
  return compute_layout(false, device_bytes, uint64_t{1} << 40, slots, 512).value();
}

inline Superblock example() {
  Superblock superblock;
  superblock.metadata_id = 0x0123456789abcdef;
  superblock.revision = 41;
  superblock.generation = 7;
  superblock.layout = compute_layout(true, 1u << 30, 1u << 30, 7, 512).value();
  superblock.block = 512;
  superblock.resource = "r0";
  superblock.node = "alpha.example.org";
  superblock.flags = kConsistent | kWasUpToDate | kInUse;
  superblock.current_uuid = 0xfedcba9876543210;
  superblock.history_uuids[0] = 0x1111111111111111;
  superblock.history_uuids[31] = 0x2222222222222222;
  superblock.peers[0] = {"b\xc3\xa9ta", 0x3333333333333333, 5, kPeerFullSync};
  superblock.peers[6].name = std::string(63, 'x');
  superblock.write_sequence = 0x0000000100000002;
  return superblock;
}

}  // namespace fixture
