// Cools extents of the activity log (rule 3): flush of the backing disk, then the bitmap, then
// the log page. An extent that was written meanwhile stays hot.
//
// Runs when more extents are hot than al-extents allows, at a resync's checkpoints, and at a
// clean end. An extent with an operation in flight is never chosen: its range is locked until
// every peer has reported it.
#pragma once

#include <cstdint>
#include <vector>

#include "disk/backing_disk.h"
#include "meta/superblock_store.h"

namespace blkmirror::engine {

struct Parts;

class Cooler {
 public:
  explicit Cooler(Parts& parts);

  void prepare(uint64_t extents);
  void set_limit(uint64_t al_extents) { limit_ = al_extents; }
  // A write to the extent is about to be submitted.
  void touch(uint64_t extent) {
    if (running_) chosen_[extent] = false;
  }
  // Starts cooling when over the limit; called from time to time.
  void tick();
  // False when a run is under way. The source `slot` hears of the checkpoint when it is durable.
  bool start_checkpoint(uint32_t slot);
  // Cools everything, once nothing is in flight any more; tells `done` 0 or an errno.
  void cool_everything(meta::Waiter& done);
  bool running() const { return running_; }

 private:
  static constexpr uint32_t kNoSlot = UINT32_MAX;

  static void flushed(disk::Job& job, int error);
  static void bitmap_saved(meta::Waiter& waiter, int error);
  static void log_saved(meta::Waiter& waiter, int error);
  void choose(uint64_t most);
  void begin();
  void end(int error);

  Parts& parts_;
  uint64_t limit_ = 0;  // 0: none
  bool running_ = false;
  uint32_t checkpoint_slot_ = kNoSlot;
  uint64_t cursor_ = 0;
  meta::Waiter* done_ = nullptr;
  bool everything_ = false;
  std::vector<bool> chosen_;
  disk::Job flush_;
  meta::Waiter bitmap_;
  meta::Waiter log_;
};

}  // namespace blkmirror::engine
