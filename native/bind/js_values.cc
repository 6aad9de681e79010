// See js_values.h. The names are those of src/plane/addon.ts and src/plane/plane.ts.
#include "bind/js_values.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"

namespace blkmirror::bind {

namespace {

void set_bigint(Napi::Object& object, const char* name, uint64_t value) {
  object.Set(name, Napi::BigInt::New(object.Env(), value));
}

uint64_t relaxed(const std::atomic<uint64_t>& value) {
  return value.load(std::memory_order_relaxed);
}

std::optional<bool> maybe_flag(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsBoolean()) return std::nullopt;
  return value.As<Napi::Boolean>().Value();
}

std::optional<uint64_t> maybe_bigint(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsBigInt()) return std::nullopt;
  return bigint_of(value);
}

std::string meta_path_of(const Napi::Object& object) {
  const std::string path = text_of(object, "metaDisk");
  return path == "internal" ? "" : path;
}

engine::PeerPatch peer_patch_of(const Napi::Object& object) {
  engine::PeerPatch patch;
  patch.slot = number_of(object, "slot");
  patch.bitmap_uuid = maybe_bigint(object, "bitmapUuid");
  patch.generation = maybe_bigint(object, "generation");
  patch.met_generation = maybe_bigint(object, "metGeneration");
  patch.outdated = maybe_flag(object, "outdated");
  patch.promoted_apart = maybe_flag(object, "promotedApart");
  patch.fills = maybe_flag(object, "fills");
  patch.full_sync = maybe_flag(object, "fullSync");
  return patch;
}

Napi::Object peer_metadata(Napi::Env env, uint32_t slot, const meta::PeerRecord& peer) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("slot", slot);
  object.Set("name", peer.name);
  set_bigint(object, "bitmapUuid", peer.bitmap_uuid);
  set_bigint(object, "generation", peer.generation);
  set_bigint(object, "metGeneration", peer.met_generation);
  object.Set("partedMs", double(peer.parted_ms));
  object.Set("promotedApart", (peer.flags & meta::kPeerPromotedApart) != 0);
  object.Set("fills", (peer.flags & meta::kPeerFills) != 0);
  object.Set("outdated", (peer.flags & meta::kPeerOutdated) != 0);
  object.Set("fullSync", (peer.flags & meta::kPeerFullSync) != 0);
  return object;
}

const char* loss_name(engine::Loss loss) {
  switch (loss) {
    case engine::Loss::kTimeout:
      return "Timeout";
    case engine::Loss::kBrokenPipe:
      return "BrokenPipe";
    case engine::Loss::kNetworkFailure:
      return "NetworkFailure";
    case engine::Loss::kProtocolError:
      return "ProtocolError";
  }
  BM_ASSERT(false);
}

const char* event_name(EventKind kind) {
  switch (kind) {
    case EventKind::kAttached:
      return "attached";
    case EventKind::kControl:
      return "control";
    case EventKind::kLinkClosed:
      return "linkClosed";
    case EventKind::kResyncStarted:
      return "resyncStarted";
    case EventKind::kResyncFinished:
      return "resyncFinished";
    case EventKind::kGenerationChanged:
      return "generationChanged";
    case EventKind::kClientsChanged:
      return "clientsChanged";
    case EventKind::kDiskFailed:
      return "diskFailed";
    case EventKind::kIoError:
      return "ioError";
    case EventKind::kCompleted:
      return "completed";
    case EventKind::kEnded:
      return "ended";
  }
  BM_ASSERT(false);
}

void add_flags(Napi::Object& object, uint32_t flags) {
  BM_ASSERT((flags & ~meta::kKnownFlags) == 0);
  object.Set("consistent", (flags & meta::kConsistent) != 0);
  object.Set("wasUpToDate", (flags & meta::kWasUpToDate) != 0);
  object.Set("primaryIndicator", (flags & meta::kPrimaryIndicator) != 0);
  object.Set("outdated", (flags & meta::kOutdated) != 0);
  object.Set("crashed", (flags & meta::kCrashed) != 0);
  object.Set("crashedPrimary", (flags & meta::kCrashedPrimary) != 0);
  object.Set("crashedMachine", (flags & meta::kCrashedMachine) != 0);
}

}  // namespace

std::string text_of(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::String>().Utf8Value();
}

uint32_t number_of(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Number>().Uint32Value();
}

bool flag_of(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Boolean>().Value();
}

uint64_t bigint_of(const Napi::Value& value) {
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

std::vector<uint64_t> bigints_of(const Napi::Value& array) {
  std::vector<uint64_t> values;
  if (!array.IsArray()) return values;
  const auto items = array.As<Napi::Array>();
  for (uint32_t index = 0; index < items.Length(); index++) {
    values.push_back(bigint_of(items.Get(index)));
  }
  BM_ASSERT(values.size() == items.Length());
  return values;
}

std::vector<std::string> texts_of(const Napi::Object& object, const char* name) {
  std::vector<std::string> texts;
  const auto items = object.Get(name).As<Napi::Array>();
  for (uint32_t index = 0; index < items.Length(); index++) {
    texts.push_back(Napi::Value(items.Get(index)).As<Napi::String>().Utf8Value());
  }
  return texts;
}

DiskPaths disk_paths_of(const Napi::Object& object) {
  return {text_of(object, "disk"), meta_path_of(object)};
}

CreateSpec create_spec_of(const Napi::Object& object) {
  CreateSpec spec;
  spec.resource = text_of(object, "resource");
  spec.node = text_of(object, "node");
  spec.paths = disk_paths_of(object);
  spec.slots = number_of(object, "maxPeers");
  spec.force = flag_of(object, "force");
  spec.current_uuid = maybe_bigint(object, "currentUuid").value_or(meta::kJustCreatedUuid);
  spec.ancestor_uuid = maybe_bigint(object, "ancestorUuid").value_or(0);
  spec.up_to_date = maybe_flag(object, "upToDate").value_or(false);
  spec.zero = maybe_flag(object, "zero").value_or(false);
  spec.keep_bytes = maybe_bigint(object, "keepBytes").value_or(0);
  if (object.Get("equals").IsArray()) spec.equals = texts_of(object, "equals");
  return spec;
}

engine::Options options_of(const Napi::Object& object) {
  engine::Options options;
  options.al_extents = number_of(object, "alExtents");
  options.timeout_us = uint64_t{number_of(object, "timeoutMs")} * 1000;
  options.disk_timeout_us = uint64_t{number_of(object, "diskTimeoutMs")} * 1000;
  options.resync_most_per_second = uint64_t{number_of(object, "cMaxKibPerSecond")} * 1024;
  options.resync_least_per_second = uint64_t{number_of(object, "cMinKibPerSecond")} * 1024;
  const bool pass_on = text_of(object, "onIoError") == "pass_on";
  options.on_io_error = pass_on ? engine::IoErrorPolicy::kPassOn : engine::IoErrorPolicy::kDetach;
  return options;
}

engine::Protocol protocol_of(const std::string& letter) {
  if (letter == "A") return engine::Protocol::kA;
  return letter == "B" ? engine::Protocol::kB : engine::Protocol::kC;
}

StartSpec start_spec_of(const Napi::Object& object) {
  StartSpec spec;
  spec.disk = text_of(object, "disk");
  spec.meta_disk = meta_path_of(object);
  spec.claim_timeout_ms = number_of(object, "claimTimeoutMs");
  spec.attach.resource = text_of(object, "resource");
  spec.attach.node = text_of(object, "node");
  spec.attach.last_superblock = maybe_bigint(object, "lastSuperblockOffset").value_or(0);
  spec.attach.boot_id = maybe_bigint(object, "bootId").value_or(0);
  spec.attach.protocol = protocol_of(text_of(object, "protocol"));
  spec.attach.options = options_of(object);
  spec.attach.peers = texts_of(object, "peers");
  return spec;
}

host::DialSpec dial_spec_of(const Napi::Object& object) {
  host::DialSpec spec;
  spec.host = text_of(object, "host");
  spec.port = uint16_t(number_of(object, "port"));
  spec.timeout_ms = number_of(object, "timeoutMs");
  spec.buffers.sndbuf_bytes = number_of(object, "sndbufBytes");
  spec.buffers.rcvbuf_bytes = number_of(object, "rcvbufBytes");
  spec.hello = text_of(object, "hello");
  return spec;
}

engine::EstablishPlan plan_of(const Napi::Object& object) {
  engine::EstablishPlan plan;
  const std::string role = text_of(object, "resync");
  if (role == "source") plan.resync = engine::ResyncRole::kSource;
  if (role == "target") plan.resync = engine::ResyncRole::kTarget;
  plan.exchange_bitmaps = flag_of(object, "exchangeBitmaps");
  plan.compare = flag_of(object, "compare");
  plan.peer_diskless = flag_of(object, "peerDiskless");
  plan.peer_current_uuid = bigint_of(object.Get("peerCurrentUuid"));
  plan.peer_history = bigints_of(object.Get("peerHistoryUuids"));
  plan.peer_write_sequence = bigint_of(object.Get("peerWriteSequence"));
  if (flag_of(object, "peerCrashed")) plan.peer_crash_flags |= meta::kCrashed;
  if (flag_of(object, "peerCrashedPrimary")) plan.peer_crash_flags |= meta::kCrashedPrimary;
  if (flag_of(object, "peerCrashedMachine")) plan.peer_crash_flags |= meta::kCrashedMachine;
  return plan;
}

engine::MetadataPatch patch_of(const Napi::Object& object) {
  engine::MetadataPatch patch;
  patch.if_current_uuid = maybe_bigint(object, "ifCurrentUuid");
  patch.consistent = maybe_flag(object, "consistent");
  patch.was_up_to_date = maybe_flag(object, "wasUpToDate");
  patch.primary_indicator = maybe_flag(object, "primaryIndicator");
  patch.outdated = maybe_flag(object, "outdated");
  patch.clear_crashed = !maybe_flag(object, "crashed").value_or(true);
  patch.current_uuid = maybe_bigint(object, "currentUuid");
  patch.add_history = bigints_of(object.Get("addHistory"));
  const Napi::Value peers = object.Get("peers");
  if (!peers.IsArray()) return patch;
  const auto items = peers.As<Napi::Array>();
  for (uint32_t index = 0; index < items.Length(); index++) {
    patch.peers.push_back(peer_patch_of(Napi::Value(items.Get(index)).As<Napi::Object>()));
  }
  return patch;
}

std::string errno_name(int error) {
  if (error == 0) return "";
  const char* name = strerrorname_np(error);
  return name == nullptr ? "EIO" : name;
}

Napi::Error error_of(Napi::Env env, const host::Failure& failure) {
  BM_ASSERT(failure.error > 0);
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Value().Set("code", errno_name(failure.error));
  return error;
}

Napi::Object disk_info(Napi::Env env, const host::DiskFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", facts.block_device ? "block" : "file");
  set_bigint(object, "sizeBytes", facts.size_bytes);
  object.Set("logicalBlockBytes", facts.logical_block);
  return object;
}

Napi::Object metadata_object(Napi::Env env, const meta::Superblock& superblock) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("resource", superblock.resource);
  object.Set("node", superblock.node);
  set_bigint(object, "generation", superblock.generation);
  set_bigint(object, "sizeBytes", superblock.layout.device_size_bytes);
  object.Set("blockBytes", superblock.block);
  set_bigint(object, "superblockOffset", superblock.layout.superblocks.offset);
  set_bigint(object, "currentUuid", superblock.current_uuid);
  set_bigint(object, "writeSequence", superblock.write_sequence);
  object.Set("promotedMs", double(superblock.promoted_ms));
  add_flags(object, superblock.flags);
  Napi::Array history = Napi::Array::New(env);
  for (const uint64_t uuid : superblock.history_uuids) {
    if (uuid != 0) history.Set(history.Length(), Napi::BigInt::New(env, uuid));
  }
  object.Set("historyUuids", history);
  Napi::Array peers = Napi::Array::New(env);
  for (uint32_t slot = 0; slot < limits::kSlots; slot++) {
    const meta::PeerRecord& peer = superblock.peers[slot];
    if (!peer.name.empty()) peers.Set(peers.Length(), peer_metadata(env, slot, peer));
  }
  object.Set("peers", peers);
  return object;
}

void fill_statistics(const engine::Statistics& statistics, uint32_t named_slots,
                     std::span<uint64_t> words) {
  BM_ASSERT(words.size() >= kStatisticsWords);
  const uint32_t clients =
      std::min(statistics.client_count.load(std::memory_order_relaxed), limits::kClients);
  uint64_t* to = words.data();
  *to++ = statistics.suspended.load(std::memory_order_relaxed) ? 1 : 0;
  for (const auto* counter : {&statistics.exposed_uuid, &statistics.heartbeat,
                              &statistics.read_bytes, &statistics.written_bytes, &statistics.writes,
                              &statistics.metadata_writes, &statistics.hot_extents}) {
    *to++ = relaxed(*counter);
  }
  *to++ = statistics.kernel_attached.load(std::memory_order_relaxed) ? 1 : 0;
  *to++ = clients;
  *to++ = static_cast<uint64_t>(std::popcount(named_slots));
  for (uint32_t index = 0; index < clients; index++) {
    const int32_t pid = statistics.client_pids[index].load(std::memory_order_relaxed);
    *to++ = static_cast<uint32_t>(pid);
  }
  for (uint32_t slot = 0; slot < limits::kSlots; slot++) {
    if ((named_slots >> slot & 1) == 0) continue;
    const engine::PeerStatistics& peer = statistics.peers[slot];
    *to++ = slot;
    *to++ = peer.receiving.load(std::memory_order_relaxed) ? 1 : 0;
    for (const auto* counter : {&peer.out_of_sync_bytes, &peer.resync_total_bytes,
                                &peer.resynced_bytes, &peer.sent_bytes, &peer.received_bytes}) {
      *to++ = relaxed(*counter);
    }
  }
  BM_ASSERT(to <= words.data() + words.size());
}

Napi::Object event_object(Napi::Env env, const Event& event, const std::string& text) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("type", event_name(event.kind));
  switch (event.kind) {
    case EventKind::kControl:
      object.Set("text", text);
      [[fallthrough]];
    case EventKind::kLinkClosed:
    case EventKind::kResyncStarted:
    case EventKind::kResyncFinished:
      object.Set("slot", event.slot);
      object.Set("incarnation", event.incarnation);
      break;
    case EventKind::kClientsChanged:
      object.Set("count", event.count);
      break;
    case EventKind::kDiskFailed:
    case EventKind::kIoError:
      object.Set("detail", std::string(event.detail) + ": " + std::strerror(event.error));
      break;
    case EventKind::kCompleted:
      object.Set("ticket", double(event.ticket));
      object.Set("code", errno_name(event.error));
      object.Set("detail", event.detail);
      break;
    case EventKind::kAttached:
    case EventKind::kGenerationChanged:
    case EventKind::kEnded:
      break;
  }
  if (event.kind == EventKind::kLinkClosed) {
    object.Set("loss", loss_name(event.loss));
    object.Set("detail", event.detail);
  }
  return object;
}

}  // namespace blkmirror::bind
