// See metadata_update.h.
#include "engine/metadata_update.h"

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

namespace {

void set_flag(uint32_t& flags, uint32_t flag, const std::optional<bool>& wanted) {
  if (!wanted.has_value()) return;
  flags = *wanted ? flags | flag : flags & ~flag;
}

}  // namespace

MetadataUpdate::MetadataUpdate(Parts& parts) : parts_(parts) {
  for (Task& task : tasks_) {
    task.update = this;
    task.bitmap.owner = task.superblock.owner = &task;
    task.bitmap.done = bitmap_saved;
    task.superblock.done = superblock_saved;
  }
}

MetadataUpdate::Task* MetadataUpdate::take(Completion& completion) {
  for (Task& task : tasks_) {
    if (task.completion != nullptr) continue;
    task.completion = &completion;
    return &task;
  }
  return nullptr;
}

bool MetadataUpdate::idle() const {
  for (const Task& task : tasks_) {
    if (task.completion != nullptr) return false;
  }
  return true;
}

void MetadataUpdate::apply(const MetadataPatch& patch, Completion& completion) {
  if (parts_.failed) {
    completion.done(completion, EIO, "the backing disk failed");
    return;
  }
  if (parts_.shutdown.begun()) {
    completion.done(completion, ECANCELED, "the device goes down");
    return;
  }
  if (patch.if_current_uuid.has_value() &&
      *patch.if_current_uuid != parts_.superblock().current_uuid) {
    completion.done(completion, ESTALE, "the generation changed meanwhile");
    return;
  }
  if (patch.consistent.value_or(false) && parts_.serving.active() &&
      parts_.target.writes_for_lost()) {
    completion.done(completion, EAGAIN, "the disk still writes what the lost source had sent");
    return;
  }
  for (const PeerPatch& peer : patch.peers) {
    if (peer.slot < limits::kSlots && !parts_.superblock().peers[peer.slot].name.empty()) continue;
    completion.done(completion, EINVAL, "no peer has this slot");
    return;
  }
  Task* task = take(completion);
  if (task == nullptr) {
    completion.done(completion, EBUSY, "too many changes of the metadata at once");
    return;
  }
  task->full_sync = 0;
  for (const PeerPatch& peer : patch.peers) {
    if (peer.full_sync.value_or(false)) task->full_sync |= 1u << peer.slot;
  }
  change(patch);
  parts_.bitmap->write_back(task->bitmap);
}

void MetadataUpdate::change(const MetadataPatch& patch) {
  meta::Superblock& state = parts_.superblock();
  set_flag(state.flags, meta::kConsistent, patch.consistent);
  set_flag(state.flags, meta::kWasUpToDate, patch.was_up_to_date);
  set_flag(state.flags, meta::kPrimaryIndicator, patch.primary_indicator);
  set_flag(state.flags, meta::kOutdated, patch.outdated);
  if (patch.primary_indicator.value_or(false)) state.promoted_ms = parts_.io.wall_ms();
  if (patch.clear_crashed) state.flags &= ~meta::kCrashFlags;
  for (auto uuid = patch.add_history.rbegin(); uuid != patch.add_history.rend(); ++uuid) {
    meta::leave_behind(state, *uuid);
  }
  if (patch.current_uuid.has_value() && *patch.current_uuid != state.current_uuid) {
    // Which copy lost what in a crash tells those of one generation apart.
    state.flags &= ~meta::kCrashFlags;
    state.current_uuid = *patch.current_uuid;
  }
  state.write_sequence = parts_.acks.sequence();
  for (const PeerPatch& peer : patch.peers) change_peer(peer);
  parts_.gate.recheck();
}

void MetadataUpdate::change_peer(const PeerPatch& patch) {
  meta::PeerRecord& record = parts_.superblock().peers[patch.slot];
  if (patch.bitmap_uuid.has_value()) record.bitmap_uuid = *patch.bitmap_uuid;
  if (patch.generation.has_value()) record.generation = *patch.generation;
  if (patch.met_generation.has_value()) record.met_generation = *patch.met_generation;
  set_flag(record.flags, meta::kPeerOutdated, patch.outdated);
  set_flag(record.flags, meta::kPeerPromotedApart, patch.promoted_apart);
  set_flag(record.flags, meta::kPeerFills, patch.fills);
  if (!patch.full_sync.has_value()) return;
  if (*patch.full_sync) {
    parts_.bitmap->set_all(patch.slot);
  } else {
    record.flags &= ~meta::kPeerFullSync;
    parts_.bitmap->clear_all(patch.slot);
  }
}

void MetadataUpdate::mark_in_sync(uint32_t slot, Completion& completion) {
  BM_ASSERT(slot < limits::kSlots);
  Task* task = take(completion);
  if (task == nullptr) {
    completion.done(completion, EBUSY, "too many changes of the metadata at once");
    return;
  }
  parts_.mark_in_sync(slot);
  parts_.gate.recheck();
  parts_.super->commit(task->superblock);
}

void MetadataUpdate::bitmap_saved(meta::Waiter& waiter, int error) {
  Task& task = *static_cast<Task*>(waiter.owner);
  Parts& parts = task.update->parts_;
  if (error != 0) {
    parts.fail_disk("writing the bitmap", error);
    task.update->finish(task, error, "the bitmap cannot be written");
    return;
  }
  for (uint32_t rest = task.full_sync; rest != 0; rest &= rest - 1) {
    parts.superblock().peers[std::countr_zero(rest)].flags |= meta::kPeerFullSync;
  }
  parts.super->commit(task.superblock);
}

void MetadataUpdate::superblock_saved(meta::Waiter& waiter, int error) {
  Task& task = *static_cast<Task*>(waiter.owner);
  Parts& parts = task.update->parts_;
  if (error != 0) {
    parts.fail_disk("writing the superblock", error);
    task.update->finish(task, error, "the superblock cannot be written");
    return;
  }
  parts.metadata_changed();
  task.update->finish(task, 0, "");
}

void MetadataUpdate::finish(Task& task, int error, const char* what) {
  BM_ASSERT(task.completion != nullptr);
  Completion& completion = *task.completion;
  task.completion = nullptr;
  completion.done(completion, error, what);
}

}  // namespace blkmirror::engine
