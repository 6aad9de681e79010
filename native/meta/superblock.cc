// The superblock's coding. Big-endian; reserved bytes are zero; both slots hold the same bytes.
//      0 magic 64 "BLKMIRR1"      8 version 32           12 CRC32C 32 over all else, seeded with
//     16 metadata id 64          24 revision 64             the CRC32C of the metadata id
//     32 generation 64           40 own offset 64: of the first slot
//     48 device bytes 64         56 bytes of the metadata's disk 64
//     64 superblocks offset, length 64      80 activity log      96 bitmap states    112 bitmap
//    128 block bytes 32         132 extent bytes 32     136 bytes of one bitmap bit 32
//    140 slots 32               144 flags 32            148 internal 32 (0 or 1)
//    152 currentUuid 64         160 write sequence 64   168 promoted_ms 64      176 boot id 64
//    184 reserved
//    192 resource, 256 node: 64 bytes each, padded with at least one zero
//    320 historyUuids, 32 of 64, newest first
//    576 peers, 32 of 88 bytes: name 64 bytes, bitmapUuid, generation 64, flags, reserved 32
//   3392 of the same peers, 32 of 16 bytes: parted_ms 64, met_generation 64
#include "meta/superblock.h"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "meta/page_codec.h"

namespace blkmirror::meta {

namespace {

constexpr uint64_t kMagic = 0x424c4b4d49525231;
constexpr size_t kNameBytes = kMaxNameBytes + 1;

constexpr size_t kVersionAt = 8;
constexpr size_t kCrcAt = 12;
constexpr size_t kIdAt = 16;
constexpr size_t kOffsetAt = 40;
constexpr size_t kAreasAt = 64;
constexpr size_t kBlockAt = 128;
constexpr size_t kFlagsAt = 144;
constexpr size_t kUuidAt = 152;
constexpr size_t kReservedAt = 184;
constexpr size_t kResourceAt = 192;
constexpr size_t kNodeAt = kResourceAt + kNameBytes;
constexpr size_t kHistoryAt = kNodeAt + kNameBytes;
constexpr size_t kPeersAt = kHistoryAt + kHistoryUuids * 8;
constexpr size_t kPeerBytes = kNameBytes + 8 + 8 + 4 + 4;
constexpr size_t kMeetingsAt = kPeersAt + limits::kSlots * kPeerBytes;
constexpr size_t kTailAt = kMeetingsAt + limits::kSlots * 16;
static_assert(kNodeAt == 256);
static_assert(kHistoryAt == 320);
static_assert(kPeersAt == 576);
static_assert(kPeerBytes == 88);
static_assert(kMeetingsAt == 3392);
static_assert(kTailAt == 3904);
static_assert(kTailAt < 4096);

uint32_t superblock_crc(uint64_t metadata_id, ConstPageBytes bytes) {
  const uint32_t crc = crc32c(crc_seed(metadata_id), &bytes[0], kCrcAt);
  return crc32c(crc, &bytes[kIdAt], 4096 - kIdAt);
}

// Writes and reads fields one after the other.
class Writer {
 public:
  Writer(SuperblockBytes bytes, size_t at) : at_(&bytes[at]) {}
  void u32(uint32_t value) {
    store_be32(at_, value);
    at_ += 4;
  }
  void u64(uint64_t value) {
    store_be64(at_, value);
    at_ += 8;
  }
  void area(const Area& area) {
    u64(area.offset);
    u64(area.length);
  }
  void name(const std::string& text) {
    BM_ASSERT(text.size() <= kMaxNameBytes);
    std::memcpy(at_, text.data(), text.size());
    at_ += kNameBytes;
  }

 private:
  std::byte* at_;
};

class Reader {
 public:
  Reader(ConstPageBytes bytes, size_t at) : at_(&bytes[at]) {}
  uint32_t u32() {
    at_ += 4;
    return load_be32(at_ - 4);
  }
  uint64_t u64() {
    at_ += 8;
    return load_be64(at_ - 8);
  }
  Area area() {
    const uint64_t offset = u64();
    return {offset, u64()};
  }
  // False when the field is not a name padded with zeroes.
  bool name(std::string& text) {
    const auto* chars = reinterpret_cast<const char*>(at_);
    const std::string_view field(chars, kNameBytes);
    at_ += kNameBytes;
    text = field.substr(0, field.find('\0'));
    return text.size() <= kMaxNameBytes &&
           std::all_of(field.begin() + text.size(), field.end(), [](char c) { return c == 0; });
  }

 private:
  const std::byte* at_;
};

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// The number of bytes that a UTF-8 sequence beginning so has, 0 when none begins so.
size_t sequence_length(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

// Well-formed enough to be shown: no control characters, whole UTF-8 sequences.
bool printable(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<uint8_t>(text[at]);
    const size_t length = sequence_length(first);
    if (first < 0x20 || first == 0x7f) return false;
    if (length == 0 || at + length > text.size()) return false;
    for (size_t i = 1; i < length; ++i) {
      if ((static_cast<uint8_t>(text[at + i]) & 0xc0) != 0x80) return false;
    }
    at += length;
  }
  return true;
}

void encode_identity(const Superblock& superblock, SuperblockBytes bytes) {
  Writer writer(bytes, kIdAt);
  writer.u64(superblock.metadata_id);
  writer.u64(superblock.revision);
  writer.u64(superblock.generation);
  const Layout& layout = superblock.layout;
  writer.u64(layout.superblocks.offset);
  writer.u64(layout.device_size_bytes);
  writer.u64(layout.metadata_bytes);
  writer.area(layout.superblocks);
  writer.area(layout.activity_log);
  writer.area(layout.bitmap_states);
  writer.area(layout.bitmap);
  writer.u32(superblock.block);
  writer.u32(limits::kExtentBytes);
  writer.u32(limits::kBlockBytes);
  writer.u32(layout.slots);
}

void encode_state(const Superblock& superblock, SuperblockBytes bytes) {
  Writer writer(bytes, kFlagsAt);
  writer.u32(superblock.flags);
  writer.u32(superblock.layout.internal ? 1 : 0);
  writer.u64(superblock.current_uuid);
  writer.u64(superblock.write_sequence);
  writer.u64(superblock.promoted_ms);
  writer.u64(superblock.boot_id);
  Writer names(bytes, kResourceAt);
  names.name(superblock.resource);
  names.name(superblock.node);
  for (const uint64_t uuid : superblock.history_uuids) names.u64(uuid);
  for (const PeerRecord& peer : superblock.peers) {
    names.name(peer.name);
    names.u64(peer.bitmap_uuid);
    names.u64(peer.generation);
    names.u32(peer.flags);
    names.u32(0);
  }
  Writer meetings(bytes, kMeetingsAt);
  for (const PeerRecord& peer : superblock.peers) {
    meetings.u64(peer.parted_ms);
    meetings.u64(peer.met_generation);
  }
}

Result<Superblock> damaged(const char* what) { return Error{EBADMSG, what}; }

// Reads bytes 16 to 183 and checks what can be checked without the names.
Status decode_fixed(ConstPageBytes bytes, uint64_t offset, Superblock& superblock) {
  Reader reader(bytes, kIdAt);
  superblock.metadata_id = reader.u64();
  superblock.revision = reader.u64();
  superblock.generation = reader.u64();
  const uint64_t own_offset = reader.u64();
  Layout& layout = superblock.layout;
  layout.device_size_bytes = reader.u64();
  layout.metadata_bytes = reader.u64();
  layout.superblocks = reader.area();
  layout.activity_log = reader.area();
  layout.bitmap_states = reader.area();
  layout.bitmap = reader.area();
  superblock.block = reader.u32();
  const uint32_t extent_bytes = reader.u32();
  const uint32_t bit_bytes = reader.u32();
  layout.slots = reader.u32();
  superblock.flags = reader.u32();
  const uint32_t internal = reader.u32();
  superblock.current_uuid = reader.u64();
  superblock.write_sequence = reader.u64();
  superblock.promoted_ms = reader.u64();
  superblock.boot_id = reader.u64();
  layout.internal = internal == 1;
  if (own_offset != layout.superblocks.offset ||
      (offset != own_offset && offset != own_offset + limits::kPageBytes)) {
    return Error{EBADMSG, "the superblock was written for another place"};
  }
  if (extent_bytes != limits::kExtentBytes || bit_bytes != limits::kBlockBytes) {
    return Error{ENOTSUP, "the superblock has other extent or bit sizes"};
  }
  if (internal > 1 || (superblock.flags & ~kKnownFlags) != 0) {
    return Error{EBADMSG, "the superblock has flags that do not exist"};
  }
  if (!layout_valid(layout, superblock.block)) {
    return Error{EBADMSG, "the superblock describes impossible areas"};
  }
  return {};
}

bool peer_valid(const Superblock& superblock, uint32_t slot) {
  const PeerRecord& peer = superblock.peers[slot];
  if ((peer.flags & ~kKnownPeerFlags) != 0) return false;
  if (peer.name.empty()) return true;
  if (slot >= superblock.layout.slots || !printable(peer.name)) return false;
  for (uint32_t other = 0; other < slot; ++other) {
    if (superblock.peers[other].name == peer.name) return false;
  }
  return true;
}

Status decode_names(ConstPageBytes bytes, Superblock& superblock) {
  Reader reader(bytes, kResourceAt);
  const bool resource_padded = reader.name(superblock.resource);
  const bool node_padded = reader.name(superblock.node);
  if (!resource_padded || superblock.resource.empty() || !printable(superblock.resource)) {
    return Error{EBADMSG, "the superblock has no usable resource name"};
  }
  if (!node_padded || superblock.node.empty() || !printable(superblock.node)) {
    return Error{EBADMSG, "the superblock has no usable node name"};
  }
  for (uint64_t& uuid : superblock.history_uuids) uuid = reader.u64();
  for (uint32_t slot = 0; slot < limits::kSlots; ++slot) {
    PeerRecord& peer = superblock.peers[slot];
    const bool padded = reader.name(peer.name);
    peer.bitmap_uuid = reader.u64();
    peer.generation = reader.u64();
    peer.flags = reader.u32();
    const uint32_t reserved = reader.u32();
    if (!padded || reserved != 0 || !peer_valid(superblock, slot)) {
      return Error{EBADMSG, "the superblock has an impossible peer"};
    }
  }
  Reader meetings(bytes, kMeetingsAt);
  for (PeerRecord& peer : superblock.peers) {
    peer.parted_ms = meetings.u64();
    peer.met_generation = meetings.u64();
  }
  return {};
}

// The one at `last` goes for the new one.
void push_front(History& history, uint64_t uuid, History::iterator last) {
  std::copy_backward(history.begin(), last, last + 1);
  history.front() = uuid;
}

bool is_generation(uint64_t uuid) { return uuid != 0 && uuid != kJustCreatedUuid; }

}  // namespace

bool superblock_valid(const Superblock& superblock) {
  if (!layout_valid(superblock.layout, superblock.block)) return false;
  for (const std::string* name : {&superblock.resource, &superblock.node}) {
    if (name->empty() || name->size() > kMaxNameBytes || !printable(*name)) return false;
  }
  if ((superblock.flags & ~kKnownFlags) != 0) return false;
  for (uint32_t slot = 0; slot < limits::kSlots; ++slot) {
    if (superblock.peers[slot].name.size() > kMaxNameBytes) return false;
    if (!peer_valid(superblock, slot)) return false;
  }
  return true;
}

void encode(const Superblock& superblock, SuperblockBytes bytes) {
  BM_ASSERT(superblock_valid(superblock));
  BM_ASSERT(superblock.layout.superblocks.offset % limits::kPageBytes == 0);
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  store_be64(&bytes[0], kMagic);
  store_be32(&bytes[kVersionAt], kMetadataVersion);
  encode_identity(superblock, bytes);
  encode_state(superblock, bytes);
  store_be32(&bytes[kCrcAt], superblock_crc(superblock.metadata_id, bytes));
}

Result<Superblock> decode(std::span<const std::byte, 4096> bytes, uint64_t offset) {
  if (load_be64(&bytes[0]) != kMagic) return Error{ENODATA, "no metadata here"};
  const uint32_t version = load_be32(&bytes[kVersionAt]);
  if (version < kOldestVersion || version > kMetadataVersion) {
    return Error{ENOTSUP, "the metadata has a version this program does not know"};
  }
  if (load_be32(&bytes[kCrcAt]) != superblock_crc(load_be64(&bytes[kIdAt]), bytes)) {
    return damaged("the superblock's checksum is wrong");
  }
  if (!all_zero(bytes.subspan(kReservedAt, kResourceAt - kReservedAt)) ||
      !all_zero(bytes.subspan(kTailAt))) {
    return damaged("the superblock's reserved bytes are in use");
  }
  Superblock superblock;
  const Status fixed = decode_fixed(bytes, offset, superblock);
  if (!fixed.ok()) return fixed.error();
  const Status names = decode_names(bytes, superblock);
  if (!names.ok()) return names.error();
  return superblock;
}

SlotPair decode_slots(std::span<const std::byte, 4096> first,
                      std::span<const std::byte, 4096> second, uint64_t offset) {
  BM_ASSERT(offset % 4096 == 0);
  BM_ASSERT(first.data() != second.data());
  return {decode(first, offset), decode(second, offset)};
}

Result<uint32_t> SlotPair::newest() const {
  if (!first.ok() && !second.ok()) {
    for (const int code : {ENOTSUP, EBADMSG}) {
      if (first.error().code == code) return first.error();
    }
    return second.error();
  }
  if (!second.ok()) return 0u;
  if (!first.ok()) return 1u;
  if (first.value().metadata_id != second.value().metadata_id) {
    return Error{EBADMSG, "its two superblocks do not belong together"};
  }
  return first.value().revision >= second.value().revision ? 0u : 1u;
}

bool contains(const History& history, uint64_t uuid) {
  return std::find(history.begin(), history.end(), uuid) != history.end();
}

void push_history(History& history, uint64_t uuid) {
  if (!is_generation(uuid) || contains(history, uuid)) return;
  push_front(history, uuid, history.end() - 1);
}

void leave_behind(Superblock& superblock, uint64_t uuid) {
  History& history = superblock.history_uuids;
  if (!is_generation(uuid) || contains(history, uuid)) return;
  const auto is_named = [&superblock](uint64_t old) {
    return std::any_of(superblock.peers.begin(), superblock.peers.end(),
                       [old](const PeerRecord& peer) { return peer.bitmap_uuid == old; });
  };
  auto last = history.end() - 1;
  while (last != history.begin() && is_generation(*last) && is_named(*last)) --last;
  push_front(history, uuid, last);
}

void take_over_history(Superblock& superblock, const History& past) {
  const bool behind = contains(past, superblock.current_uuid);
  if (!behind) superblock.history_uuids = {};
  for (auto uuid = past.rbegin(); uuid != past.rend(); ++uuid) leave_behind(superblock, *uuid);
  if (behind) return;
  for (PeerRecord& peer : superblock.peers) {
    if (!contains(superblock.history_uuids, peer.bitmap_uuid)) peer.bitmap_uuid = 0;
  }
}

void stamp_partings(Superblock& superblock, uint64_t wall_ms) {
  BM_ASSERT(wall_ms != 0);
  for (PeerRecord& peer : superblock.peers) {
    if (peer.bitmap_uuid == 0) {
      peer.parted_ms = 0;
    } else if (peer.parted_ms == 0) {
      peer.parted_ms = wall_ms;
    }
    BM_ASSERT((peer.bitmap_uuid == 0) == (peer.parted_ms == 0));
  }
}

void rotate_uuid(Superblock& superblock, uint32_t not_receiving, uint64_t uuid) {
  BM_ASSERT(uuid != 0);
  BM_ASSERT(uuid != kJustCreatedUuid);
  const uint64_t old = superblock.current_uuid;
  for (uint32_t slot = 0; slot < limits::kSlots; ++slot) {
    PeerRecord& peer = superblock.peers[slot];
    if ((not_receiving >> slot & 1) != 0 && peer.bitmap_uuid == 0) peer.bitmap_uuid = old;
  }
  leave_behind(superblock, old);
  superblock.current_uuid = uuid;
}

}  // namespace blkmirror::meta
