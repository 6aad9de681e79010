// See generation_gate.h.
#include "engine/generation_gate.h"

#include <bit>
#include <cstring>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

GenerationGate::GenerationGate(Parts& parts) : parts_(parts) {
  item_.owner = this;
  item_.finished = everywhere;
  waiter_.owner = this;
  waiter_.done = committed;
}

void GenerationGate::acknowledge(HeldAck& held) {
  BM_ASSERT(held.release != nullptr);
  const bool suspended = parts_.suspension.active();
  held.failed = !parts_.access.usable() || (abandoned_ && (needed_ || suspended));
  if (held.failed || (!needed_ && !rotating_ && !suspended)) {
    held.release(held);
    return;
  }
  held_.push_back(held);
  if (needed_ && !rotating_ && !suspended) rotate();
}

// Peers that miss writes and may still share the current generation with this copy: one that
// was being resynced takes it over before this copy hears of it, and after a restart nobody
// knows how far that had come.
uint32_t GenerationGate::not_receiving_unshared() const {
  const uint32_t missing = parts_.peers.configured() & ~parts_.peers.receiving();
  uint32_t unshared = 0;
  for (uint32_t rest = missing; rest != 0; rest &= rest - 1) {
    const uint32_t slot = static_cast<uint32_t>(std::countr_zero(rest));
    const bool in_sync = parts_.superblock().peers[slot].bitmap_uuid == 0;
    if (in_sync || parts_.peers.at(slot).may_share) unshared |= 1u << slot;
  }
  return unshared;
}

void GenerationGate::recheck() {
  BM_ASSERT(parts_.attached());
  needed_ = own_missing_ || not_receiving_unshared() != 0;
  if (rotating_) return;
  const bool suspended = parts_.suspension.active();
  if (!parts_.access.usable() || (abandoned_ && (needed_ || suspended))) {
    fail_held();
  } else if (suspended) {
    return;
  } else if (needed_ && !held_.empty()) {
    rotate();
  } else if (!needed_) {
    release_held();
  }
}

void GenerationGate::generation_may_spread() {
  const uint32_t peers = parts_.peers.configured();
  if (std::popcount(peers) < 2) return;
  for (uint32_t rest = peers; rest != 0; rest &= rest - 1) {
    parts_.peers.at(static_cast<uint32_t>(std::countr_zero(rest))).may_share = true;
  }
}

void GenerationGate::supply(std::span<const uint64_t> uuids) {
  for (const uint64_t uuid : uuids) {
    if (supplied_ == kSupply) break;
    supply_[supplied_] = uuid;
    supplied_ += 1;
  }
  BM_ASSERT(supplied_ <= kSupply);
  if (parts_.attached()) recheck();
}

void GenerationGate::rotate() {
  BM_ASSERT(!rotating_);
  BM_ASSERT(!parts_.suspension.active());
  if (supplied_ == 0 || !parts_.access.usable()) return;  // suspended until supplied
  const uint32_t missing = not_receiving_unshared();
  BM_ASSERT(missing != 0 || own_missing_);
  for (uint32_t rest = missing; rest != 0; rest &= rest - 1) {
    parts_.peers.at(std::countr_zero(rest)).may_share = false;
  }
  supplied_ -= 1;
  const uint64_t uuid = supply_[supplied_];
  rotating_ = true;
  began_diskless_ = parts_.failed;
  before_uuid_ = parts_.superblock().current_uuid;
  meta::rotate_uuid(parts_.superblock(), missing, uuid);
  // Durable everywhere, in every protocol.
  parts_.acks.admit(item_, parts_.peers.receiving(), Protocol::kC, parts_.io.now_us());
  announce(uuid, missing);
  if (began_diskless_) {
    parts_.acks.local_done(item_);
  } else {
    parts_.super->commit(waiter_);
  }
}

void GenerationGate::announce(uint64_t uuid, uint32_t missing) {
  std::byte names[peer::kNameBytes * limits::kSlots] = {};
  uint32_t count = 0;
  const auto add = [&](const std::string& name) {
    BM_ASSERT(name.size() < peer::kNameBytes);
    BM_ASSERT(count < limits::kSlots);
    std::memcpy(names + count * peer::kNameBytes, name.data(), name.size());
    count += 1;
  };
  for (uint32_t rest = missing; rest != 0; rest &= rest - 1) {
    add(parts_.peers.at(std::countr_zero(rest)).name);
  }
  if (parts_.failed) add(parts_.superblock().node);
  peer::FrameHeader header;
  header.type = peer::FrameType::kNewUuid;
  header.sequence = item_.sequence;
  header.offset = uuid;
  header.payload_bytes = count * peer::kNameBytes;
  for (uint32_t rest = item_.waiting; rest != 0; rest &= rest - 1) {
    parts_.peers.at(std::countr_zero(rest)).push(header, {names, header.payload_bytes});
  }
}

void GenerationGate::committed(meta::Waiter& waiter, int error) {
  auto& gate = *static_cast<GenerationGate*>(waiter.owner);
  if (error != 0) {
    gate.parts_.fail_disk("writing a new generation to the superblock", error);
  }
  gate.parts_.acks.local_done(gate.item_);
}

void GenerationGate::everywhere(Outstanding& item) {
  auto& gate = *static_cast<GenerationGate*>(item.owner);
  BM_ASSERT(gate.rotating_);
  gate.rotating_ = false;
  // Also one that nobody is known to have: somebody may, and serve this node by it.
  if (!gate.parts_.failed || gate.note_diskless()) gate.note_shared();
  gate.parts_.metadata_changed();
  gate.parts_.events.generation_changed();
  gate.recheck();
}

// Who reported the generation has it, also the source of a Primary SyncTarget, which in the end
// takes over what its source has.
void GenerationGate::note_shared() {
  const uint64_t uuid = parts_.superblock().current_uuid;
  BM_ASSERT(uuid != meta::kJustCreatedUuid);
  for (uint32_t rest = item_.reported; rest != 0; rest &= rest - 1) {
    Peer& peer = parts_.peers.at(std::countr_zero(rest));
    if (peer.receiving) peer.move_to(uuid);
  }
}

// False when no copy with the data is known to have the new generation.
bool GenerationGate::note_diskless() {
  if ((item_.reported & parts_.access.holders()) == 0) return false;
  exposed_uuid_ = parts_.superblock().current_uuid;
  if (began_diskless_) own_missing_ = false;
  return true;
}

void GenerationGate::disk_lost() {
  BM_ASSERT(!parts_.failed);
  meta::Superblock& state = parts_.superblock();
  const bool behind = (state.flags & meta::kConsistent) == 0;
  Peer* source = parts_.target.source();
  if (parts_.attach.held()) {
    // Lost again before it was used: clients have seen what they had seen.
    state.current_uuid = exposed_uuid_;
  } else if (source != nullptr) {
    // All that clients have seen is at the source; the bits are what this copy lacked.
    exposed_uuid_ = state.current_uuid = source->current_uuid;
    parts_.bitmap->clear_all(source->slot);
  } else if (behind && last_source_ < limits::kSlots) {
    state.current_uuid = exposed_uuid_;
    parts_.bitmap->clear_all(last_source_);
  } else {
    exposed_uuid_ = behind ? 0 : rotating_ ? before_uuid_ : state.current_uuid;
  }
  last_source_ = limits::kSlots;
  own_missing_ = true;
}

void GenerationGate::source_lost(const Peer& source) {
  BM_ASSERT(!parts_.failed);
  BM_ASSERT(source.resync == ResyncRole::kTarget);
  exposed_uuid_ = source.current_uuid;
  last_source_ = source.slot;
}

uint64_t GenerationGate::exposed_uuid() const {
  if (parts_.failed || parts_.attach.held()) return exposed_uuid_;
  const bool waits = parts_.access.behind() && parts_.target.sources() == 0;
  return waits && last_source_ < limits::kSlots ? exposed_uuid_ : 0;
}

void GenerationGate::disk_back() {
  BM_ASSERT(!parts_.failed);
  own_missing_ = false;
  exposed_uuid_ = 0;
  last_source_ = limits::kSlots;
}

bool GenerationGate::exposes(uint64_t uuid) const {
  if (parts_.attach.held()) return uuid == exposed_uuid_;
  if (!parts_.failed) return last_source_ == limits::kSlots || uuid == exposed_uuid_;
  if (exposed_uuid_ == 0) return false;
  return uuid == exposed_uuid_ || uuid == parts_.superblock().current_uuid;
}

void GenerationGate::served_by(uint64_t uuid) {
  BM_ASSERT(exposes(uuid));
  BM_ASSERT(!rotating_);
  exposed_uuid_ = uuid;
  // The copy may be put back later as it was while it was away, and would have this generation.
  own_missing_ = true;
}

void GenerationGate::abandon() {
  BM_ASSERT(!abandoned_);
  abandoned_ = true;
  if (!rotating_) fail_held();
}

void GenerationGate::fail_held() {
  while (HeldAck* held = held_.pop_front()) {
    held->failed = true;
    held->release(*held);
  }
}

void GenerationGate::release_held() {
  // A released one may come back with a need for another generation.
  while (!needed_ && !rotating_ && !parts_.suspension.active()) {
    HeldAck* held = held_.pop_front();
    if (held == nullptr) return;
    held->release(*held);
  }
}

}  // namespace blkmirror::engine
