// See attach.h. The steps follow each other in this file from top to bottom.
#include "engine/attach.h"

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "engine/parts.h"
#include "meta/layout.h"

namespace blkmirror::engine {

Attach::Attach(Parts& parts) : parts_(parts) { waiter_.owner = this; }

void Attach::start(const AttachSpec& spec, Completion& completion) {
  BM_ASSERT(completion_ == nullptr);
  BM_ASSERT(!parts_.attached());
  spec_ = spec;
  completion_ = &completion;
  parts_.options = spec.options;
  parts_.meta_disk = spec.meta_disk;
  parts_.internal = spec.internal;
  parts_.super = std::make_unique<meta::SuperblockStore>(parts_.io, spec.meta_disk);
  parts_.log = std::make_unique<meta::ActivityLog>(parts_.io, spec.meta_disk);
  parts_.bitmap = std::make_unique<meta::Bitmap>(parts_.io, spec.meta_disk);
  waiter_.done = superblock_read;
  parts_.super->load(meta::superblock_offset(spec.internal, spec.meta_disk_bytes), waiter_);
}

// False when the step failed; the completion has been told then.
bool Attach::check(int error, const char* what) {
  if (error != 0) finish(error, what);
  return error == 0;
}

void Attach::superblock_read(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  Parts& parts = attach.parts_;
  if (error == ENODATA && attach.try_last_location()) return;
  if (!attach.check(error, "reading the superblock")) return;
  const char* refusal = attach.superblock_refusal(error);
  if (refusal != nullptr) {
    attach.finish(error, refusal);
    return;
  }
  const meta::Superblock& state = parts.superblock();
  parts.disk.open(attach.spec_.data_disk, state.layout.device_size_bytes, attach.spec_.fast_zero);
  attach.waiter_.done = log_read;
  parts.log->load(state.layout, state.metadata_id, attach.waiter_);
}

bool Attach::try_last_location() {
  const uint64_t offset = spec_.last_superblock;
  const uint64_t slots_bytes = 2 * limits::kPageBytes;
  if (tried_last_ || !spec_.internal || offset == 0) return false;
  if (offset % limits::kPageBytes != 0 || offset > spec_.meta_disk_bytes - slots_bytes)
    return false;
  tried_last_ = true;
  parts_.super->load(offset, waiter_);
  return true;
}

const char* Attach::superblock_refusal(int& error) const {
  const meta::Superblock& state = parts_.superblock();
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
  if (spec_.peers.size() > state.layout.slots) return "the metadata has room for fewer peers";
  return nullptr;
}

void Attach::log_read(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  const meta::Superblock& state = attach.parts_.superblock();
  if (!attach.check(error, "reading the activity log")) return;
  attach.waiter_.done = bitmap_read;
  attach.parts_.bitmap->load(state.layout, state.metadata_id, attach.waiter_);
}

void Attach::bitmap_read(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  Parts& parts = attach.parts_;
  if (!attach.check(error, "reading the bitmap")) return;
  if (!attach.take_over_peers()) {
    attach.finish(ENOSPC, "the metadata has no free slot for a new peer");
    return;
  }
  attach.mark_hot_extents();
  attach.waiter_.done = bits_saved;
  parts.bitmap->write_back(attach.waiter_);
}

// Peers keep their slots; new names get free ones, everything out of sync.
bool Attach::take_over_peers() {
  meta::Superblock& state = parts_.superblock();
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
      parts_.bitmap->set_all(slot);
    }
    parts_.peers.configure(slot, name);
  }
  return true;
}

// Whatever may differ after a crash lies in a hot extent or has its bit (rule 3).
void Attach::mark_hot_extents() {
  const meta::Superblock& state = parts_.superblock();
  const uint64_t size = state.layout.device_size_bytes;
  uint32_t slots = 0;
  for (uint32_t slot = 0; slot < state.layout.slots; ++slot) {
    if (!state.peers[slot].name.empty()) slots |= 1u << slot;
  }
  const uint64_t count = parts_.log->extent_count();
  for (uint64_t extent = parts_.log->next_hot(0); extent < count && slots != 0;
       extent = parts_.log->next_hot(extent + 1)) {
    const uint64_t offset = extent * limits::kExtentBytes;
    const uint64_t length = std::min<uint64_t>(limits::kExtentBytes, size - offset);
    parts_.bitmap->set(slots, offset, static_cast<uint32_t>(length));
  }
}

void Attach::bits_saved(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  meta::ActivityLog& log = *attach.parts_.log;
  if (!attach.check(error, "writing the bitmap")) return;
  for (uint64_t extent = log.next_hot(0); extent < log.extent_count();
       extent = log.next_hot(extent + 1)) {
    log.cool(extent);
  }
  attach.waiter_.done = log_cooled;
  log.commit(attach.waiter_);
}

void Attach::log_cooled(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  if (!attach.check(error, "writing the activity log")) return;
  meta::Superblock& state = attach.parts_.superblock();
  if ((state.flags & meta::kInUse) != 0) {
    state.flags |= meta::kCrashed;
    if ((state.flags & meta::kPrimaryIndicator) != 0) state.flags |= meta::kCrashedPrimary;
  }
  state.flags |= meta::kInUse;
  state.flags &= ~meta::kPrimaryIndicator;
  state.generation += 1;
  attach.waiter_.done = superblock_saved;
  attach.parts_.super->commit(attach.waiter_);
}

void Attach::superblock_saved(meta::Waiter& waiter, int error) {
  auto& attach = *static_cast<Attach*>(waiter.owner);
  Parts& parts = attach.parts_;
  if (!attach.check(error, "writing the superblock")) return;
  parts.acks.continue_from(parts.superblock().write_sequence);
  parts.cooler.prepare(parts.log->extent_count());
  parts.cooler.set_limit(attach.spec_.options.al_extents);
  parts.is_attached = true;
  parts.gate.recheck();
  parts.metadata_changed();
  attach.finish(0, "");
}

void Attach::finish(int error, const char* what) {
  BM_ASSERT(completion_ != nullptr);
  Completion& completion = *completion_;
  completion_ = nullptr;
  completion.done(completion, error, what);
}

}  // namespace blkmirror::engine
