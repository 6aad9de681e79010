// Nodes and clients as JavaScript objects: see objects.h.
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "simbind/node_addon.h"
#include "simbind/objects.h"

namespace blkmirror::simbind {

namespace {

int32_t errno_of(const std::string& name) {
  for (const int error : {EIO, ENOSPC, EAGAIN, EREMOTEIO, ENODATA, ETIMEDOUT, ENODEV}) {
    if (name == strerrorname_np(error)) return error;
  }
  return 0;
}

void take_range(const Napi::Value& value, uint64_t& first, uint64_t& second) {
  if (!value.IsArray()) return;
  const auto range = value.As<Napi::Array>();
  first = uint64_t(Napi::Value(range.Get(0u)).As<Napi::Number>().Int64Value());
  second = uint64_t(Napi::Value(range.Get(1u)).As<Napi::Number>().Int64Value());
}

Making& making_of(const Napi::CallbackInfo& info) {
  return *info[0].As<Napi::External<Making>>().Data();
}

}  // namespace

Napi::Function NodeObject::define(Napi::Env env) {
  using Self = NodeObject;
  return DefineClass(env, "Node",
                     {
                         InstanceAccessor<&Self::name>("name"),
                         InstanceAccessor<&Self::running>("running"),
                         InstanceMethod("boot", &Self::boot),
                         InstanceMethod("addDisk", &Self::add_disk),
                         InstanceMethod("crash", &Self::crash),
                         InstanceMethod("pause", &Self::pause),
                         InstanceMethod("resume", &Self::resume),
                         InstanceMethod("setDisk", &Self::set_disk),
                         InstanceMethod("healDisk", &Self::heal_disk),
                         InstanceMethod("damageMetadata", &Self::damage_metadata),
                         InstanceMethod("snapshotDisk", &Self::snapshot_disk),
                         InstanceMethod("restoreDisk", &Self::restore_disk),
                         InstanceMethod("accepts", &Self::accepts),
                     });
}

NodeObject::NodeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NodeObject>(info) {
  const Making& making = making_of(info);
  holder_ = making.holder;
  node_ = making.node;
}

sim::Node& NodeObject::node_of(const Napi::Value& value) {
  NodeObject* object = Unwrap(value.As<Napi::Object>());
  BM_ASSERT(object != nullptr);
  return *object->node_;
}

Napi::Value NodeObject::name(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::String::New(info.Env(), node_->name());
}

Napi::Value NodeObject::running(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), node_->running());
}

// → addon
Napi::Value NodeObject::boot(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closed(env, holder_)) return env.Undefined();
  if (node_->running()) {
    throw_error(env, node_->name() + " runs already");
    return env.Undefined();
  }
  node_->boot();
  Making life{holder_, node_, node_->life()};
  return node_addon(env, life);
}

// (path, sizeBytes, blockBytes)
void NodeObject::add_disk(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  const std::string path = text_at(info, 0);
  const uint64_t bytes = number_at(info, 1);
  const uint64_t block = number_at(info, 2);
  const bool sound = (block == 512 || block == 4096) && bytes > 0 && bytes % block == 0;
  if (!sound || node_->find_disk(path) != nullptr) {
    return throw_error(info.Env(), path + ": a wrong size, or it is there already");
  }
  node_->add_disk(path, bytes, uint32_t(block));
}

// (how)
void NodeObject::crash(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  if (holder_->telling) return throw_error(info.Env(), "crash() was called inside a callback");
  holder_->end_lives(node_);
  const bool power = text_at(info, 0) == "power";
  holder_->world->crash(*node_, power ? io::SimCrash::kPower : io::SimCrash::kProcess);
}

void NodeObject::pause(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  if (node_->running() && !node_->paused()) holder_->world->count("pause");
  node_->pause();
  holder_->update_news();
}

void NodeObject::resume(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  node_->resume();
  holder_->update_news();
}

sim::NodeDisk* NodeObject::disk_at(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return nullptr;
  sim::NodeDisk* disk = node_->find_disk(text_at(info, 0));
  if (disk == nullptr) throw_error(info.Env(), "no disk " + text_at(info, 0));
  return disk;
}

// (path, behaviour)
void NodeObject::set_disk(const Napi::CallbackInfo& info) {
  const sim::NodeDisk* disk = disk_at(info);
  if (disk == nullptr) return;
  const auto object = info[1].As<Napi::Object>();
  io::SimDiskBehaviour& how = holder_->world->sim().behaviour(disk->id);
  uint64_t least_us = how.minimum_us;
  uint64_t most_us = how.maximum_us;
  take_range(object.Get("latencyUs"), least_us, most_us);
  how.minimum_us = uint32_t(least_us);
  how.maximum_us = uint32_t(most_us);
  take_range(object.Get("errorRange"), how.error_begin, how.error_end);
  how.flush_us = uint32_t(number_in(object, "flushUs", how.flush_us));
  how.read_error_rate = uint32_t(number_in(object, "readErrorRate", how.read_error_rate));
  how.write_error_rate = uint32_t(number_in(object, "writeErrorRate", how.write_error_rate));
  how.flush_error_rate = uint32_t(number_in(object, "flushErrorRate", how.flush_error_rate));
  if (object.Get("errorCode").IsString()) {
    const int32_t error = errno_of(object.Get("errorCode").ToString().Utf8Value());
    if (error == 0) return throw_error(info.Env(), "an errorCode that disks do not answer with");
    how.rate_error = -error;
  }
  const Napi::Value hang = object.Get("hang");
  if (!hang.IsBoolean()) return;
  how.hang = hang.ToBoolean();
  if (!how.hang) holder_->world->sim().release(disk->id);
}

// (path)
void NodeObject::heal_disk(const Napi::CallbackInfo& info) {
  const sim::NodeDisk* disk = disk_at(info);
  if (disk == nullptr) return;
  holder_->world->sim().behaviour(disk->id) = {};
  holder_->world->sim().release(disk->id);
}

// (path, area, how) → whether
Napi::Value NodeObject::damage_metadata(const Napi::CallbackInfo& info) {
  if (disk_at(info) == nullptr) return info.Env().Undefined();
  const std::string area = text_at(info, 1);
  const std::string how = text_at(info, 2);
  const auto where = area == "superblock0"   ? sim::Area::kSuperblock0
                     : area == "superblock1" ? sim::Area::kSuperblock1
                     : area == "activityLog" ? sim::Area::kActivityLog
                                             : sim::Area::kBitmap;
  const auto damage = how == "flip"   ? sim::Damage::kFlip
                      : how == "tear" ? sim::Damage::kTear
                      : how == "zero" ? sim::Damage::kZero
                                      : sim::Damage::kMisdirect;
  return Napi::Boolean::New(info.Env(), node_->damage(text_at(info, 0), where, damage));
}

// (path) → id
Napi::Value NodeObject::snapshot_disk(const Napi::CallbackInfo& info) {
  if (disk_at(info) == nullptr) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), node_->snapshot(text_at(info, 0)));
}

// (path, id)
void NodeObject::restore_disk(const Napi::CallbackInfo& info) {
  const sim::NodeDisk* disk = disk_at(info);
  if (disk == nullptr) return;
  const uint64_t snapshot = number_at(info, 1);
  if (disk->owner != nullptr || snapshot >= disk->snapshots.size()) {
    return throw_error(info.Env(), "the disk is attached, or there is no such snapshot");
  }
  node_->restore(text_at(info, 0), uint32_t(snapshot));
}

// (socketPath) → whether
Napi::Value NodeObject::accepts(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), node_->nbd_socket(text_at(info, 0)) != io::kNoSocket);
}

Napi::Function ClientObject::define(Napi::Env env) {
  using Self = ClientObject;
  return DefineClass(env, "Client",
                     {
                         InstanceMethod("connect", &Self::connect),
                         InstanceMethod("start", &Self::start),
                         InstanceMethod("stop", &Self::stop),
                         InstanceMethod("drop", &Self::drop),
                         InstanceMethod("allowErrors", &Self::allow_errors),
                         InstanceAccessor<&Self::connected>("connected"),
                         InstanceAccessor<&Self::idle>("idle"),
                         InstanceAccessor<&Self::counters>("counters"),
                     });
}

ClientObject::ClientObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ClientObject>(info) {
  const Making& making = making_of(info);
  holder_ = making.holder;
  client_ = making.client;
}

// (node, socketPath, branch) → whether
Napi::Value ClientObject::connect(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  const auto branch = uint32_t(number_at(info, 2));
  if (holder_->world->branch(branch) == nullptr) {
    throw_error(info.Env(), "no branch " + std::to_string(branch));
    return info.Env().Undefined();
  }
  sim::Node& node = NodeObject::node_of(info[0]);
  const bool accepted = holder_->world->connect(*client_, node, text_at(info, 1), branch);
  return Napi::Boolean::New(info.Env(), accepted);
}

void ClientObject::start(const Napi::CallbackInfo& info) {
  if (!closed(info.Env(), holder_)) client_->random.start();
}

void ClientObject::stop(const Napi::CallbackInfo& info) {
  if (!closed(info.Env(), holder_)) client_->random.stop();
}

void ClientObject::drop(const Napi::CallbackInfo& info) {
  if (!closed(info.Env(), holder_)) client_->random.drop();
}

// (allowed)
void ClientObject::allow_errors(const Napi::CallbackInfo& info) {
  if (!closed(info.Env(), holder_)) client_->random.errors_allowed = info[0].ToBoolean();
}

Napi::Value ClientObject::connected(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), client_->random.connected());
}

Napi::Value ClientObject::idle(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), client_->random.idle());
}

Napi::Value ClientObject::counters(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  const sim::ClientCounters& from = client_->random.counters();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("answers", double(from.answers));
  object.Set("errors", double(from.errors));
  object.Set("reads", double(from.reads));
  object.Set("writes", double(from.writes));
  object.Set("flushes", double(from.flushes));
  return object;
}

}  // namespace blkmirror::simbind
