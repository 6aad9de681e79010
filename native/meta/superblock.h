// The superblock: what a copy knows of itself and of its peers, and its 4096-byte coding.
//
// Big-endian, guarded by a CRC32C seeded with the metadata id. decode() validates everything:
// what a disk says is never trusted. Two slots hold it (superblock_store); the one with the
// higher `revision` that decodes wins.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/limits.h"
#include "meta/layout.h"

namespace blkmirror::meta {

inline constexpr uint64_t kJustCreatedUuid = 4;  // no data was ever written
inline constexpr uint32_t kHistoryUuids = 32;
inline constexpr uint32_t kMetadataVersion = 3;
inline constexpr uint32_t kOldestVersion = 2;  // without boot_id and kCrashedMachine
inline constexpr uint32_t kMaxNameBytes = 63;

// Generations left behind, newest first; 0: none.
using History = std::array<uint64_t, kHistoryUuids>;

// Flags of the copy.
inline constexpr uint32_t kConsistent = 1u << 0;        // not in the middle of a resync
inline constexpr uint32_t kWasUpToDate = 1u << 1;       // held the newest data when last known
inline constexpr uint32_t kPrimaryIndicator = 1u << 2;  // is, or was at a crash, Primary
inline constexpr uint32_t kInUse = 1u << 3;             // attached; still set at attach: a crash
inline constexpr uint32_t kCrashed = 1u << 4;           // crashed, and not resynced since
inline constexpr uint32_t kCrashedPrimary = 1u << 5;    // as Primary
inline constexpr uint32_t kOutdated = 1u << 6;          // known to be older than a peer's
// Crashed with the machine, or nobody knows: acknowledged writes that were not flushed may be gone.
inline constexpr uint32_t kCrashedMachine = 1u << 7;
inline constexpr uint32_t kCrashFlags = kCrashed | kCrashedPrimary | kCrashedMachine;
inline constexpr uint32_t kKnownFlags = (1u << 8) - 1;

// Flags towards one peer.
inline constexpr uint32_t kPeerOutdated = 1u << 0;
inline constexpr uint32_t kPeerFullSync = 1u << 1;  // everything is out of sync towards it
// This copy became Primary while the peer missed that (it was not Primary when they parted).
inline constexpr uint32_t kPeerPromotedApart = 1u << 2;
// It has begun to fill this copy, and nobody has finished.
inline constexpr uint32_t kPeerFills = 1u << 3;
// It had crashed when it filled this copy: what a third brings may be out of sync with it.
inline constexpr uint32_t kPeerMayLack = 1u << 4;
inline constexpr uint32_t kKnownPeerFlags = (1u << 5) - 1;

struct PeerRecord {
  std::string name;          // empty: the slot is free
  uint64_t bitmap_uuid = 0;  // currentUuid when the bitmap towards it began; 0: in sync
  uint64_t generation = 0;   // the peer's attach generation when last seen
  uint32_t flags = 0;
  uint64_t parted_ms = 0;  // time of day when bitmap_uuid was first durable; 0: it is 0
  // This copy's attach generation when both last agreed; the peer durably remembers no later one.
  uint64_t met_generation = 0;
};

struct Superblock {
  uint64_t metadata_id = 0;  // random; seeds every page's CRC
  uint64_t revision = 0;     // raised by every update
  uint64_t generation = 0;   // raised by every attach
  Layout layout;             // own offset, areas, device size
  uint32_t block = 512;      // logical block size of the device, bytes
  std::string resource;      // 1 to 63 bytes
  std::string node;          // whose copy this is
  uint32_t flags = 0;
  uint64_t current_uuid = kJustCreatedUuid;
  History history_uuids{};
  std::array<PeerRecord, limits::kSlots> peers;
  uint64_t write_sequence = 0;  // of the last write known at the last update
  uint64_t promoted_ms = 0;     // time of day of the last promotion; 0: never
  uint64_t boot_id = 0;         // of the machine's start at the last attach; 0: not known
};

// Whether encode() takes it.
bool superblock_valid(const Superblock& superblock);

using SuperblockBytes = std::span<std::byte, 4096>;

void encode(const Superblock& superblock, SuperblockBytes bytes);
// `offset`: where the bytes were read (checked against the offset stored inside).
// ENODATA: no magic here; ENOTSUP: a version this program does not know; EBADMSG: damaged.
Result<Superblock> decode(std::span<const std::byte, 4096> bytes, uint64_t offset);

// Both slots as they were read.
struct SlotPair {
  Result<Superblock> first;
  Result<Superblock> second;

  // The slot (0 or 1) with the newest superblock. Where neither is valid, of two reasons the one
  // that says more; EBADMSG also where both are valid, but not of one metadata.
  Result<uint32_t> newest() const;
  const Result<Superblock>& slot(uint32_t index) const { return index == 0 ? first : second; }
};

// `offset`: of the first slot.
SlotPair decode_slots(std::span<const std::byte, 4096> first,
                      std::span<const std::byte, 4096> second, uint64_t offset);

bool contains(const History& history, uint64_t uuid);

// Puts a UUID at the front of the history unless it is 0, kJustCreatedUuid or there already.
void push_history(History& history, uint64_t uuid);

// The same for a generation that this copy went on from. Those that a bitmap_uuid names stay as
// long as it does: a bitmap_uuid that is not in the history is of a copy given up for this one.
void leave_behind(Superblock& superblock, uint64_t uuid);

// What this copy went on from is what its source went on from, `past`; where it was not behind
// that, but given up for it, nothing else: its twins were not given up with it.
void take_over_history(Superblock& superblock, const History& past);

// Notes since when each bitmap_uuid stands, and forgets it for those that are 0.
void stamp_partings(Superblock& superblock, uint64_t wall_ms);

// Starts a new generation: for each peer in `not_receiving` with bitmap_uuid 0, remembers the
// old currentUuid as its bitmap_uuid; the old one goes into the history.
void rotate_uuid(Superblock& superblock, uint32_t not_receiving, uint64_t uuid);

}  // namespace blkmirror::meta
