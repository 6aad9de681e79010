// See attach.h. The steps follow each other in this file from top to bottom.
#include "engine/attach.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "engine/parts.h"
#include "meta/layout.h"

namespace blkmirror::engine {

Attach::Attach(Parts& parts) : parts_(parts) {
  waiter_.owner = flush_op_.owner = this;
  flush_op_.complete = data_flushed;
}

void Attach::start(const AttachSpec& spec, Completion& completion) {
  if (!possible()) {
    completion.done(completion, EBUSY, "the old disk is still in use");
    return;
  }
  again_ = parts_.attached();
  spec_ = spec;
  completion_ = &completion;
  tried_last_ = false;
  if (again_) {
    parts_.disk_io.take_again();
  } else {
    parts_.options = spec.options;
    parts_.protocol = spec.protocol;
    parts_.meta_disk = spec.meta_disk;
    parts_.internal = spec.internal;
  }
  super_ = std::make_unique<meta::SuperblockStore>(parts_.disk_io, spec.meta_disk);
  log_ = std::make_unique<meta::ActivityLog>(parts_.disk_io, spec.meta_disk);
  bitmap_ = std::make_unique<meta::Bitmap>(parts_.disk_io, spec.meta_disk);
  waiting_ = parts_.serving.active();
  if (waiting_) {
    await_peers();
  } else {
    load();
  }
}

// In protocols A and B a peer may not have yet what was acknowledged before the disk went, and
// when it is lost now, only this copy has that.
void Attach::await_peers() {
  BM_ASSERT(waiting_);
  BM_ASSERT(again_);
  const bool served = parts_.access.holders() != 0 && !parts_.shutdown.begun();
  if (served && parts_.acks.runs_ahead()) return;
  waiting_ = false;
  if (served) {
    load();
  } else {
    finish(EAGAIN, "no peer has the data now");
  }
}

void Attach::load() {
  BM_ASSERT(super_ != nullptr);
  waiter_.done = superblock_read;
  super_->load(meta::superblock_offset(spec_.internal, spec_.meta_disk_bytes), waiter_);
}

bool Attach::possible() const {
  if (running() || parts_.shutdown.begun()) return false;
  return !parts_.attached() || parts_.disks_closed();
}

// False when the step failed; the completion has been told then.
bool Attach::check(int error, const char* what) {
  if (error != 0) finish(error, what);
  return error == 0;
}

void Attach::superblock_read(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  if (error == ENODATA && attach.try_last_location()) return;
  if (!attach.check(error, "reading the superblock")) return;
  const char* refusal = attach.superblock_refusal(error);
  if (refusal != nullptr) {
    attach.finish(error, refusal);
    return;
  }
  const meta::Superblock& state = attach.super_->current();
  attach.waiter_.done = log_read;
  attach.log_->load(state.layout, state.metadata_id, attach.waiter_);
}

bool Attach::try_last_location() {
  const uint64_t offset = spec_.last_superblock;
  const uint64_t slots_bytes = 2 * limits::kPageBytes;
  if (tried_last_ || !spec_.internal || offset == 0) return false;
  if (offset % limits::kPageBytes != 0 || offset > spec_.meta_disk_bytes - slots_bytes)
    return false;
  tried_last_ = true;
  super_->load(offset, waiter_);
  return true;
}

const char* Attach::superblock_refusal(int& error) const {
  const meta::Superblock& state = super_->current();
  error = ESTALE;
  if (state.resource != spec_.resource) return "the metadata is of another resource";
  if (state.node != spec_.node) return "the metadata is of another node";
  error = ENOSPC;
  const uint64_t data_end =
      state.layout.internal ? state.layout.superblocks.offset : state.layout.device_size_bytes;
  if (spec_.data_disk_bytes < data_end || state.layout.device_size_bytes > data_end) {
    return "the backing disk is smaller than the metadata says";
  }
  if (spec_.meta_disk_bytes < state.layout.end()) return "the metadata's disk became smaller";
  error = EINVAL;
  if (state.layout.internal != spec_.internal) return "the metadata is of the other kind";
  if (spec_.block > state.block) return "the backing disk has larger blocks than the metadata says";
  if (again_ && !keeps_peers()) return "the metadata is not that of the copy detached: down and up";
  if (spec_.peers.size() > state.layout.slots) return "the metadata has room for fewer peers";
  return nullptr;
}

// Clients and connections rely on size and slots.
bool Attach::keeps_peers() const {
  const meta::Superblock& old = parts_.superblock();
  const meta::Superblock& state = super_->current();
  if (state.layout.device_size_bytes != old.layout.device_size_bytes) return false;
  if (state.block != old.block || state.layout.slots != old.layout.slots) return false;
  for (uint32_t slot = 0; slot < limits::kSlots; ++slot) {
    if (state.peers[slot].name != old.peers[slot].name) return false;
  }
  return true;
}

void Attach::log_read(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  const meta::Superblock& state = attach.super_->current();
  if (!attach.check(error, "reading the activity log")) return;
  attach.waiter_.done = bitmap_read;
  attach.bitmap_->load(state.layout, state.metadata_id, attach.waiter_);
}

void Attach::bitmap_read(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  if (!attach.check(error, "reading the bitmap")) return;
  if (!attach.again_ && !attach.take_over_peers()) {
    attach.finish(ENOSPC, "the metadata has no free slot for a new peer");
    return;
  }
  attach.mark_hot_extents();
  attach.waiter_.done = bits_saved;
  attach.bitmap_->write_back(attach.waiter_);
}

// Peers keep their slots; new names get free ones, everything out of sync.
bool Attach::take_over_peers() {
  meta::Superblock& state = super_->current();
  for (const std::string& name : spec_.peers) {
    uint32_t slot = 0;
    while (slot < state.layout.slots && state.peers[slot].name != name) slot += 1;
    if (slot == state.layout.slots) {
      slot = 0;
      while (slot < state.layout.slots && !state.peers[slot].name.empty()) slot += 1;
      if (slot == state.layout.slots) return false;
      state.peers[slot] = meta::PeerRecord{};
      state.peers[slot].name = name;
      state.peers[slot].flags = meta::kPeerFullSync;
      bitmap_->set_all(slot);
    }
    parts_.peers.configure(slot, name);
  }
  return true;
}

// Whatever may differ after a crash lies in a hot extent or has its bit (rule 3).
void Attach::mark_hot_extents() {
  const meta::Superblock& state = super_->current();
  const uint64_t size = state.layout.device_size_bytes;
  uint32_t slots = 0;
  for (uint32_t slot = 0; slot < state.layout.slots; ++slot) {
    if (!state.peers[slot].name.empty()) slots |= 1u << slot;
  }
  const uint64_t count = log_->extent_count();
  for (uint64_t extent = log_->next_hot(0); extent < count && slots != 0;
       extent = log_->next_hot(extent + 1)) {
    const uint64_t offset = extent * limits::kExtentBytes;
    const uint64_t length = std::min<uint64_t>(limits::kExtentBytes, size - offset);
    bitmap_->set(slots, offset, static_cast<uint32_t>(length));
  }
}

void Attach::bits_saved(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  if (!attach.check(error, "writing the bitmap")) return;
  if (attach.log_->next_hot(0) < attach.log_->extent_count()) {
    attach.parts_.disk_io.flush(attach.spec_.data_disk, attach.flush_op_);
  } else {
    attach.cool_extents();
  }
}

// A process that was killed left its last writes in the disk's cache: this copy may be the source
// of the resync that clears their bits, and lose its power after that.
void Attach::data_flushed(io::Op& op, int32_t result) {
  auto& attach = *static_cast<Attach*>(op.owner);
  if (!attach.check(result < 0 ? -result : 0, "flushing the backing disk")) return;
  attach.cool_extents();
}

void Attach::cool_extents() {
  BM_ASSERT(log_ != nullptr);
  BM_ASSERT(running());
  meta::ActivityLog& log = *log_;
  for (uint64_t extent = log.next_hot(0); extent < log.extent_count();
       extent = log.next_hot(extent + 1)) {
    log.cool(extent);
  }
  waiter_.done = log_cooled;
  log.commit(waiter_);
}

void Attach::log_cooled(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  if (!attach.check(error, "writing the activity log")) return;
  meta::Superblock& state = attach.super_->current();
  if ((state.flags & meta::kInUse) != 0) {
    state.flags |= meta::kCrashed;
    if ((state.flags & meta::kPrimaryIndicator) != 0) state.flags |= meta::kCrashedPrimary;
    if (!attach.caches_kept()) state.flags |= meta::kCrashedMachine;
  }
  state.boot_id = attach.spec_.boot_id;
  state.flags |= meta::kInUse;
  state.flags &= ~meta::kPrimaryIndicator;
  state.generation += 1;
  // A Primary's clients have seen more than this copy has.
  if (attach.parts_.serving.active()) {
    state.flags &= ~(meta::kConsistent | meta::kWasUpToDate);
    state.flags |= meta::kPrimaryIndicator;
  }
  attach.waiter_.done = superblock_saved;
  attach.super_->commit(attach.waiter_);
}

// What was written reached the kernel, and neither machine nor disk has failed since.
bool Attach::caches_kept() const {
  const uint64_t before = super_->current().boot_id;
  return before != 0 && before == spec_.boot_id && !parts_.disk_erred;
}

void Attach::superblock_saved(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  if (!attach.check(error, "writing the superblock")) return;
  // Which generation clients have seen is certain only while a peer serves it.
  Parts& parts = attach.parts_;
  const bool served = parts.access.holders() != 0 && !parts.gate.rotating();
  if (parts.serving.active() && !served) {
    attach.finish(EAGAIN, "no peer has the data now");
    return;
  }
  attach.take_over();
  attach.parts_.gate.recheck();
  attach.parts_.metadata_changed();
  attach.finish(0, "");
}

void Attach::take_over() {
  BM_ASSERT(super_ != nullptr);
  BM_ASSERT(again_ == parts_.attached());
  parts_.super = std::move(super_);
  parts_.log = std::move(log_);
  parts_.bitmap = std::move(bitmap_);
  const meta::Superblock& state = parts_.superblock();
  parts_.disk.open(spec_.data_disk, state.layout.device_size_bytes, spec_.fast_zero);
  parts_.meta_disk = spec_.meta_disk;
  parts_.acks.continue_from(std::max(parts_.acks.sequence(), state.write_sequence));
  parts_.cooler.prepare(parts_.log->extent_count());
  parts_.cooler.set_limit(parts_.options.al_extents);
  parts_.is_attached = true;
  if (!again_) return;
  parts_.failed = parts_.disk_erred = false;
  parts_.disks_opened();
  held_ = parts_.serving.active();
  if (!held_) parts_.gate.disk_back();
  // What this copy is to each peer is negotiated anew.
  parts_.peers.lose_all("the backing disk is attached");
}

void Attach::release() {
  BM_ASSERT(held_);
  held_ = false;
  parts_.gate.disk_back();
}

void Attach::batch_end() {
  if (waiting_) await_peers();
  if (log_ != nullptr) log_->batch_end();
  if (!giving_up_ || !parts_.disk_io.idle()) return;
  if (!super_->idle() || !log_->idle() || !bitmap_->idle()) return;
  giving_up_ = false;
  close_untaken();
  Completion& completion = *completion_;
  completion_ = nullptr;
  completion.done(completion, error_, what_);
}

void Attach::close_untaken() {
  if (super_ == nullptr) return;
  BM_ASSERT(parts_.disk_io.idle());
  parts_.io.close_disk(spec_.data_disk);
  if (!spec_.internal) parts_.io.close_disk(spec_.meta_disk);
  super_.reset();
  log_.reset();
  bitmap_.reset();
}

void Attach::finish(int error, const char* what) {
  BM_ASSERT(completion_ != nullptr);
  if (error != 0 && again_) {
    parts_.disk_io.let_go(true);
    giving_up_ = true;
    error_ = error;
    what_ = what;
    return;
  }
  Completion& completion = *completion_;
  completion_ = nullptr;
  completion.done(completion, error, what);
}

}  // namespace blkmirror::engine
