// How many transfers a disk is given at a time, by how it answers.

#include <vector>

#include "check.h"
#include "io/disk_queue.h"

using namespace blkmirror::io;

namespace {

// A disk of which so many transfers are wanted at all times.
struct Disk {
  QueueDepth depth;
  uint64_t now_us = 0;
  uint32_t wanted = 32;
  uint32_t together = UINT32_MAX;  // answered at a time, at most
  // What a transfer takes, by whether there is a limit.
  uint64_t whole_us = 10;
  uint64_t limited_us = 10;
  // By limit, the transfers done.
  uint64_t whole = 0;
  uint64_t limited = 0;

  void work(uint32_t transfers) {
    whole = 0;
    limited = 0;
    while (whole + limited < transfers) {
      const bool all = depth.limit() >= wanted;
      const uint32_t given = all ? wanted : depth.limit();
      const uint32_t done = std::min(given, together);
      now_us += done * (all ? whole_us : limited_us);
      (all ? whole : limited) += done;
      depth.answered(done, given, wanted - given, now_us);
    }
  }
};

constexpr uint32_t kTrial = 4 * QueueDepth::kPairs * QueueDepth::kWindow;
constexpr uint32_t kMany = 100 * kTrial;

}  // namespace

TEST(depth_is_halved_where_that_is_faster) {
  Disk disk;
  disk.limited_us = 8;
  disk.work(kTrial);
  CHECK_EQ(disk.depth.limit(), 16u);
  disk.work(kMany);
  CHECK(disk.limited > disk.whole * 20);
}

TEST(depth_is_whole_again_where_half_is_slower) {
  Disk disk;
  disk.limited_us = 12;
  disk.work(kTrial);
  CHECK_EQ(disk.depth.limit(), QueueDepth::kAll);
  disk.work(kMany);
  CHECK(disk.whole > disk.limited * 20);
  // What was slower is tried again, for it may change.
  CHECK(disk.limited > 0);
  disk.limited_us = 8;
  disk.work(kMany);
  CHECK(disk.limited > disk.whole * 2);
}

TEST(depth_is_whole_for_a_disk_that_answers_bit_by_bit) {
  Disk disk;
  disk.together = 8;
  disk.limited_us = 1;
  disk.work(kMany);
  CHECK_EQ(disk.limited, 0u);
}

TEST(depth_is_whole_where_little_is_wanted) {
  Disk disk;
  disk.wanted = QueueDepth::kFew;
  disk.limited_us = 1;
  disk.work(kMany);
  CHECK_EQ(disk.limited, 0u);
}

TEST(depth_follows_what_is_wanted) {
  Disk disk;
  disk.limited_us = 8;
  disk.work(kTrial);
  CHECK_EQ(disk.depth.limit(), 16u);
  disk.wanted = 128;
  disk.work(3 * QueueDepth::kWindow);
  CHECK_EQ(disk.depth.limit(), 64u);
  disk.wanted = 8;
  disk.work(3 * QueueDepth::kWindow);
  CHECK_EQ(disk.depth.limit(), 4u);
  disk.wanted = 1;
  disk.work(3 * QueueDepth::kWindow);
  CHECK_EQ(disk.depth.limit(), QueueDepth::kAll);
}

TEST(disk_queue_gives_every_transfer_once_and_in_order) {
  constexpr uint32_t kOps = 32;
  DiskQueue queue;
  std::vector<Op> ops(kOps);
  std::vector<Op::Private*> given;
  uint64_t now_us = 0;
  uint64_t held = 0;
  for (uint32_t round = 0; round < kTrial / kOps; round++) {
    for (Op& op : ops) {
      if (queue.take(op.impl)) {
        given.push_back(&op.impl);
      } else {
        held++;
      }
    }
    uint32_t order = 0;
    while (!given.empty()) {
      for (const Op::Private* impl : given) CHECK(impl == &ops[order++].impl);
      now_us += given.size() * (given.size() == kOps ? 10 : 8);
      queue.answered(static_cast<uint32_t>(given.size()), now_us);
      given.clear();
      while (Op::Private* impl = queue.next()) given.push_back(impl);
    }
    CHECK_EQ(order, kOps);
    CHECK(queue.empty());
  }
  CHECK(held > 0);
}
