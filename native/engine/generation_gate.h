// Rule 6: nothing is acknowledged while some copy is not receiving writes, unless a currentUuid
// newer than the last one shared with that copy is durable on every copy that is receiving.
//
// Every acknowledgement passes here. The first one after a peer went missing starts a new
// generation with a UUID supplied in advance; acknowledgements wait until it is durable here and
// on the receiving peers. With no UUID left the device stays suspended until one is supplied;
// it also does, without a new generation, while a lost peer is to be fenced (suspension).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/limits.h"
#include "base/list.h"
#include "engine/ack_tracker.h"
#include "meta/superblock_store.h"

namespace blkmirror::engine {

struct Parts;
struct Peer;

// An acknowledgement that may have to wait.
struct HeldAck {
  void (*release)(HeldAck& held) = nullptr;
  void* owner = nullptr;
  bool failed = false;  // no copy can vouch for it now, or the device was closed
  ListLink link;
};

class GenerationGate {
 public:
  explicit GenerationGate(Parts& parts);

  void acknowledge(HeldAck& held);
  // The set of receiving peers, or what the metadata says of them, has changed.
  void recheck();
  // This node begins to feed the others, or fed a peer until now. Whom no Primary feeds may take
  // the current generation over from a third node: who misses writes now may come to share it.
  // recheck() looks at it.
  void generation_may_spread();
  void supply(std::span<const uint64_t> uuids);
  // The backing disk is about to be gone: the own copy misses what comes from here on, and
  // nothing is acknowledged before a newer generation is durable on a peer that has the data.
  void disk_lost();
  // The own copy receives again.
  void disk_back();
  // The source of a copy that is behind is about to be gone: only it has all that clients have
  // seen. Nothing is acknowledged before such a copy is there again (data_access).
  void source_lost(const Peer& source);
  void source_back() { last_source_ = limits::kSlots; }
  // Without a backing disk, held, or behind without a source: the generation whose data clients
  // have seen (0: clients have seen nothing), and whether a copy of generation `uuid` has all of
  // that.
  uint64_t exposed_uuid() const;
  bool exposes(uint64_t uuid) const;
  // Such a copy answers from here on: what it has is what clients see, in a generation of its own.
  void served_by(uint64_t uuid);
  // Clients are gone: nobody waits for an answer any more, so none is held.
  void abandon();
  bool closed() const { return rotating_ || !held_.empty(); }
  bool rotating() const { return rotating_; }

 private:
  static constexpr uint32_t kSupply = 16;

  static void committed(meta::Waiter& waiter, int error);
  static void everywhere(Outstanding& item);
  uint32_t not_receiving_unshared() const;
  void rotate();
  void announce(uint64_t uuid, uint32_t missing);
  void release_held();
  void note_shared();
  bool note_diskless();
  void fail_held();

  Parts& parts_;
  bool needed_ = false;
  bool rotating_ = false;
  bool abandoned_ = false;
  bool own_missing_ = false;     // the own copy, or one put back, may share the generation
  bool began_diskless_ = false;  // the rotation under way
  uint64_t before_uuid_ = 0;     // the generation before the rotation under way
  uint64_t exposed_uuid_ = 0;
  uint32_t last_source_ = limits::kSlots;  // slot of the source lost while behind
  std::array<uint64_t, kSupply> supply_{};
  uint32_t supplied_ = 0;
  Outstanding item_;
  meta::Waiter waiter_;
  List<HeldAck, &HeldAck::link> held_;
};

}  // namespace blkmirror::engine
