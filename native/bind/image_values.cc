// See image_values.h. The superblock's numbers are a table: a field is added in one line here
// and in one line of src/offline/dumpFields.ts.
#include "bind/image_values.h"

#include "bind/js_values.h"

namespace blkmirror::bind {

namespace {

using meta::Superblock;

struct Field {
  const char* name;
  uint64_t (*get)(const Superblock& superblock);
  void (*set)(Superblock& superblock, uint64_t value);
};

#define BM_FIELD(name, member)                                                      \
  {                                                                                 \
    name, [](const Superblock& s) { return uint64_t(s.member); },                   \
        [](Superblock& s, uint64_t value) { s.member = decltype(s.member)(value); } \
  }

constexpr Field kFields[] = {
    BM_FIELD("metadataId", metadata_id),
    BM_FIELD("revision", revision),
    BM_FIELD("generation", generation),
    BM_FIELD("currentUuid", current_uuid),
    BM_FIELD("writeSequence", write_sequence),
    BM_FIELD("promotedMs", promoted_ms),
    BM_FIELD("bootId", boot_id),
    BM_FIELD("flags", flags),
    BM_FIELD("blockBytes", block),
    BM_FIELD("maxPeers", layout.slots),
    BM_FIELD("internal", layout.internal),
    BM_FIELD("deviceBytes", layout.device_size_bytes),
    BM_FIELD("metadataDiskBytes", layout.metadata_bytes),
    BM_FIELD("superblocksOffset", layout.superblocks.offset),
    BM_FIELD("superblocksBytes", layout.superblocks.length),
    BM_FIELD("activityLogOffset", layout.activity_log.offset),
    BM_FIELD("activityLogBytes", layout.activity_log.length),
    BM_FIELD("bitmapStatesOffset", layout.bitmap_states.offset),
    BM_FIELD("bitmapStatesBytes", layout.bitmap_states.length),
    BM_FIELD("bitmapOffset", layout.bitmap.offset),
    BM_FIELD("bitmapBytes", layout.bitmap.length),
};

#undef BM_FIELD

void set_bigint(Napi::Object& object, const char* name, uint64_t value) {
  object.Set(name, Napi::BigInt::New(object.Env(), value));
}

Napi::Value buffer_of(Napi::Env env, const std::vector<std::byte>& bytes) {
  const auto* start = reinterpret_cast<const uint8_t*>(bytes.data());
  return Napi::Buffer<uint8_t>::Copy(env, start, bytes.size());
}

std::vector<std::byte> bytes_of(const Napi::Value& value) {
  if (!value.IsBuffer()) return {};
  const auto buffer = value.As<Napi::Buffer<uint8_t>>();
  const auto* start = reinterpret_cast<const std::byte*>(buffer.Data());
  return {start, start + buffer.Length()};
}

Napi::Array history_of(Napi::Env env, const Superblock& superblock) {
  uint32_t count = meta::kHistoryUuids;
  while (count > 0 && superblock.history_uuids[count - 1] == 0) --count;
  Napi::Array history = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; ++i) {
    history.Set(i, Napi::BigInt::New(env, superblock.history_uuids[i]));
  }
  return history;
}

bool used(const meta::PeerRecord& peer) {
  return !peer.name.empty() || peer.bitmap_uuid != 0 || peer.generation != 0 ||
         peer.met_generation != 0 || peer.parted_ms != 0 || peer.flags != 0;
}

Napi::Object superblock_object(Napi::Env env, const Superblock& superblock) {
  Napi::Object object = Napi::Object::New(env);
  for (const Field& field : kFields) set_bigint(object, field.name, field.get(superblock));
  object.Set("resource", superblock.resource);
  object.Set("node", superblock.node);
  object.Set("historyUuids", history_of(env, superblock));
  Napi::Array peers = Napi::Array::New(env);
  for (uint32_t slot = 0; slot < limits::kSlots; ++slot) {
    const meta::PeerRecord& peer = superblock.peers[slot];
    if (!used(peer)) continue;
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("slot", slot);
    entry.Set("name", peer.name);
    set_bigint(entry, "bitmapUuid", peer.bitmap_uuid);
    set_bigint(entry, "generation", peer.generation);
    set_bigint(entry, "metGeneration", peer.met_generation);
    set_bigint(entry, "partedMs", peer.parted_ms);
    set_bigint(entry, "flags", peer.flags);
    peers.Set(peers.Length(), entry);
  }
  object.Set("peers", peers);
  return object;
}

Superblock superblock_of(const Napi::Object& object) {
  Superblock superblock;
  for (const Field& field : kFields) field.set(superblock, bigint_of(object.Get(field.name)));
  superblock.resource = text_of(object, "resource");
  superblock.node = text_of(object, "node");
  const std::vector<uint64_t> history = bigints_of(object.Get("historyUuids"));
  for (size_t i = 0; i < history.size() && i < meta::kHistoryUuids; ++i) {
    superblock.history_uuids[i] = history[i];
  }
  const auto peers = object.Get("peers").As<Napi::Array>();
  for (uint32_t i = 0; i < peers.Length(); ++i) {
    const auto entry = Napi::Value(peers.Get(i)).As<Napi::Object>();
    const uint32_t slot = number_of(entry, "slot");
    if (slot >= limits::kSlots) continue;
    meta::PeerRecord& peer = superblock.peers[slot];
    peer.name = text_of(entry, "name");
    peer.bitmap_uuid = bigint_of(entry.Get("bitmapUuid"));
    peer.generation = bigint_of(entry.Get("generation"));
    peer.met_generation = bigint_of(entry.Get("metGeneration"));
    peer.parted_ms = bigint_of(entry.Get("partedMs"));
    peer.flags = uint32_t(bigint_of(entry.Get("flags")));
  }
  return superblock;
}

Image image_of(const Napi::Object& object) {
  Image image;
  image.superblock = superblock_of(object.Get("superblock").As<Napi::Object>());
  image.hot = bytes_of(object.Get("hot"));
  const auto slots = object.Get("slots").As<Napi::Array>();
  for (uint32_t i = 0; i < slots.Length(); ++i) {
    const auto entry = Napi::Value(slots.Get(i)).As<Napi::Object>();
    image.slots.push_back({bytes_of(entry.Get("states")), bytes_of(entry.Get("bits"))});
  }
  return image;
}

}  // namespace

Napi::Object image_object(Napi::Env env, const Image& image) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("superblock", superblock_object(env, image.superblock));
  object.Set("attached", image.attached);
  object.Set("damagedPages", double(image.damaged_pages));
  object.Set("hot", buffer_of(env, image.hot));
  Napi::Array slots = Napi::Array::New(env, image.slots.size());
  for (uint32_t i = 0; i < image.slots.size(); ++i) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("states", buffer_of(env, image.slots[i].states));
    entry.Set("bits", buffer_of(env, image.slots[i].bits));
    slots.Set(i, entry);
  }
  object.Set("slots", slots);
  return object;
}

RestoreSpec restore_spec_of(const Napi::Object& object) {
  RestoreSpec spec;
  spec.resource = text_of(object, "resource");
  spec.paths = disk_paths_of(object);
  spec.force = flag_of(object, "force");
  spec.expected_revision = bigint_of(object.Get("expectedRevision"));
  spec.image = image_of(object.Get("image").As<Napi::Object>());
  return spec;
}

RepairSpec repair_spec_of(const Napi::Object& object) {
  RepairSpec spec;
  spec.resource = text_of(object, "resource");
  spec.node = text_of(object, "node");
  spec.paths = disk_paths_of(object);
  spec.last_superblock = bigint_of(object.Get("lastSuperblockOffset"));
  spec.scan = flag_of(object, "scan");
  return spec;
}

GrowthSpec growth_spec_of(const Napi::Object& object) {
  GrowthSpec spec;
  spec.resource = text_of(object, "resource");
  spec.node = text_of(object, "node");
  spec.paths = disk_paths_of(object);
  spec.last_superblock = bigint_of(object.Get("lastSuperblockOffset"));
  spec.device_bytes = bigint_of(object.Get("deviceBytes"));
  return spec;
}

Napi::Object growth_object(Napi::Env env, const GrowthReport& report) {
  BM_ASSERT(report.new_bytes > report.old_bytes);
  Napi::Object object = Napi::Object::New(env);
  set_bigint(object, "oldBytes", report.old_bytes);
  set_bigint(object, "newBytes", report.new_bytes);
  return object;
}

Napi::Object repair_object(Napi::Env env, const RepairReport& report) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("repaired", report.repaired);
  Napi::Array slots = Napi::Array::New(env, 2);
  for (uint32_t i = 0; i < 2; ++i) slots.Set(i, report.slots[i]);
  object.Set("slots", slots);
  object.Set("logPages", double(report.log_pages));
  object.Set("bitmapPages", double(report.bitmap_pages));
  object.Set("moved", report.moved);
  Napi::Array strays = Napi::Array::New(env, report.strays.size());
  for (uint32_t i = 0; i < report.strays.size(); ++i) {
    Napi::Object entry = Napi::Object::New(env);
    set_bigint(entry, "offset", report.strays[i].offset);
    entry.Set("superblock", superblock_object(env, report.strays[i].superblock));
    strays.Set(i, entry);
  }
  object.Set("strays", strays);
  return object;
}

Napi::Object layout_object(Napi::Env env, const meta::Layout& layout) {
  Napi::Object object = Napi::Object::New(env);
  set_bigint(object, "deviceBytes", layout.device_size_bytes);
  set_bigint(object, "metadataBytes",
             layout.end() - (layout.internal ? layout.activity_log.offset : 0));
  return object;
}

}  // namespace blkmirror::bind
