// See shutdown.h.
#include "engine/shutdown.h"

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

Shutdown::Shutdown(Parts& parts) : parts_(parts) { waiter_.owner = this; }

void Shutdown::start(Completion& completion) {
  BM_ASSERT(step_ == Step::kNo);
  completion_ = &completion;
  parts_.serving.abandon();
  parts_.suspension.abandon();
  parts_.gate.abandon();
  parts_.peers.lose_all("the device goes down");
  step_ = Step::kDraining;
}

void Shutdown::batch_end() {
  if (step_ == Step::kDraining) {
    // A connection may have come while the old one was drained.
    parts_.peers.lose_all("the device goes down");
    if (!drained()) return;
    if (!parts_.attached() || parts_.failed) {
      step_ = Step::kIdling;
    } else {
      step_ = Step::kCooling;
      waiter_.done = cooled;
      parts_.cooler.cool_everything(waiter_);
    }
  }
  if (step_ == Step::kIdling && metadata_idle()) close_disks();
}

bool Shutdown::drained() const {
  if (!parts_.serving.idle() || !parts_.peers.all_idle()) return false;
  if (parts_.attach.running()) return false;
  if (!parts_.writes.idle() || !parts_.flushes.idle() || !parts_.reads.idle()) return false;
  return parts_.receive.idle() && parts_.source.idle() && parts_.target.idle() &&
         parts_.updates.idle();
}

void Shutdown::cooled(meta::Waiter& waiter, int error) {
  auto& shutdown = *static_cast<Shutdown*>(waiter.owner);
  BM_ASSERT(shutdown.step_ == Step::kCooling);
  if (error != 0) {
    shutdown.step_ = Step::kIdling;
    return;
  }
  shutdown.step_ = Step::kWriting;
  meta::Superblock& state = shutdown.parts_.superblock();
  state.flags &= ~(meta::kInUse | meta::kPrimaryIndicator);
  state.write_sequence = shutdown.parts_.acks.sequence();
  shutdown.waiter_.done = superblock_saved;
  shutdown.parts_.super->commit(shutdown.waiter_);
}

void Shutdown::superblock_saved(meta::Waiter& waiter, int error) {
  auto& shutdown = *static_cast<Shutdown*>(waiter.owner);
  BM_ASSERT(shutdown.step_ == Step::kWriting);
  if (error == 0) shutdown.parts_.metadata_changed();
  shutdown.step_ = Step::kIdling;
}

bool Shutdown::metadata_idle() const {
  if (!parts_.disk_io.idle()) return false;
  if (parts_.super == nullptr) return true;
  if (parts_.cooler.running() || parts_.disk.in_flight() > 0) return false;
  return parts_.super->idle() && parts_.log->idle() && parts_.bitmap->idle();
}

void Shutdown::close_disks() {
  parts_.attach.close_untaken();
  if (parts_.attached() && !parts_.disks_closed()) {
    parts_.disk.close();
    if (!parts_.internal) parts_.io.close_disk(parts_.meta_disk);
  }
  step_ = Step::kDone;
  for (const BufferPool* pool : {&parts_.client_pool, &parts_.peer_pool}) {
    BM_ASSERT(pool->free_bytes() == pool->region_bytes());
  }
  Completion& completion = *completion_;
  completion_ = nullptr;
  completion.done(completion, 0, "");
}

}  // namespace blkmirror::engine
