// See cooler.h.
#include "engine/cooler.h"

#include <algorithm>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

Cooler::Cooler(Parts& parts) : parts_(parts) {
  flush_.owner = bitmap_.owner = log_.owner = this;
  flush_.done = flushed;
  bitmap_.done = bitmap_saved;
  log_.done = log_saved;
}

void Cooler::prepare(uint64_t extents) {
  BM_ASSERT(!running_);
  BM_ASSERT(extents > 0);
  chosen_.assign(extents, false);
  cursor_ = 0;
}

void Cooler::tick() {
  if (running_ || limit_ == 0 || parts_.failed) return;
  const uint64_t hot = parts_.log->hot_count();
  if (hot <= limit_) return;
  // An eighth below the limit, so that not every new extent starts another run.
  choose(hot - limit_ + limit_ / 8);
  begin();
}

bool Cooler::start_checkpoint(uint32_t slot) {
  if (running_ || parts_.failed) return false;
  checkpoint_slot_ = slot;
  choose(parts_.log->extent_count());
  begin();
  return true;
}

void Cooler::cool_everything(meta::Waiter& done) {
  BM_ASSERT(done_ == nullptr);
  done_ = &done;
  everything_ = true;
  if (running_) return;  // its end starts the last run
  choose(parts_.log->extent_count());
  begin();
}

// Goes round the hot extents from where it last stopped.
void Cooler::choose(uint64_t most) {
  BM_ASSERT(!running_);
  const uint64_t count = parts_.log->extent_count();
  uint64_t chosen = 0;
  uint64_t looked_at = 0;
  uint64_t extent = cursor_ < count ? cursor_ : 0;
  while (chosen < most && looked_at <= count) {
    const uint64_t next = parts_.log->next_hot(extent);
    if (next >= count) {
      looked_at += count - extent + 1;
      if (extent == 0) break;
      extent = 0;
      continue;
    }
    looked_at += next - extent + 1;
    extent = next + 1;
    if (chosen_[next] || parts_.ranges.extent_busy(next)) continue;
    chosen_[next] = true;
    chosen += 1;
  }
  cursor_ = extent;
}

void Cooler::begin() {
  BM_ASSERT(!running_);
  running_ = true;
  parts_.disk.flush(flush_);
}

void Cooler::flushed(disk::Job& job, int error) {
  auto& cooler = *static_cast<Cooler*>(job.owner);
  BM_ASSERT(cooler.running_);
  if (error != 0) {
    cooler.parts_.fail_disk("flushing the backing disk", error);
    cooler.end(error);
    return;
  }
  cooler.parts_.bitmap->write_back(cooler.bitmap_);
}

void Cooler::bitmap_saved(meta::Waiter& waiter, int error) {
  auto& cooler = *static_cast<Cooler*>(waiter.owner);
  meta::ActivityLog& log = *cooler.parts_.log;
  if (error != 0) {
    cooler.parts_.fail_disk("writing the bitmap", error);
    cooler.end(error);
    return;
  }
  for (uint64_t extent = log.next_hot(0); extent < log.extent_count();
       extent = log.next_hot(extent + 1)) {
    if (cooler.chosen_[extent]) log.cool(extent);
  }
  log.commit(cooler.log_);
}

void Cooler::log_saved(meta::Waiter& waiter, int error) {
  auto& cooler = *static_cast<Cooler*>(waiter.owner);
  if (error != 0) cooler.parts_.fail_disk("writing the activity log", error);
  cooler.end(error);
}

void Cooler::end(int error) {
  BM_ASSERT(running_);
  running_ = false;
  std::fill(chosen_.begin(), chosen_.end(), false);
  if (error == 0 && checkpoint_slot_ != kNoSlot) parts_.announce_checkpoint(checkpoint_slot_);
  checkpoint_slot_ = kNoSlot;
  if (done_ == nullptr) return;
  if (error == 0 && parts_.log->hot_count() > 0) {
    choose(parts_.log->extent_count());
    begin();
    return;
  }
  meta::Waiter& done = *done_;
  done_ = nullptr;
  done.done(done, error);
}

}  // namespace blkmirror::engine
