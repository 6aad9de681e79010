// See node_addon.h.
#include "simbind/node_addon.h"

#include <cerrno>

#include "base/assert.h"
#include "bind/js_values.h"
#include "sim/format.h"
#include "simbind/objects.h"

namespace blkmirror::simbind {

namespace {

using host::Failure;

const Making& making_at(const Napi::CallbackInfo& info, size_t index) {
  return *info[index].As<Napi::External<Making>>().Data();
}

bool over(const Making& life) {
  return life.holder->world == nullptr || !life.node->running() || life.node->life() != life.life;
}

// A promise that was settled at once; one of a life that is over never is.
template <class T>
Napi::Value promise(Napi::Env env, const Making& life, host::Outcome<T> outcome,
                    Napi::Object (*convert)(Napi::Env env, const T& value)) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  if (over(life)) return deferred.Promise();
  if (outcome.ok()) {
    deferred.Resolve(convert(env, outcome.value()));
  } else {
    deferred.Reject(bind::error_of(env, outcome.failure()).Value());
  }
  return deferred.Promise();
}

Failure not_there(const std::string& path) {
  return {ENOENT, "cannot open " + path + ": No such file or directory"};
}

host::Outcome<host::DiskFacts> facts_of(sim::Node& node, const std::string& path) {
  const sim::NodeDisk* disk = node.find_disk(path);
  if (disk == nullptr) return not_there(path);
  host::DiskFacts facts;
  facts.size_bytes = disk->bytes;
  facts.logical_block = disk->block;
  return facts;
}

host::Outcome<meta::Superblock> create(sim::Node& node, const bind::CreateSpec& spec) {
  BM_ASSERT(!spec.up_to_date);  // adopting is not simulated
  sim::NodeDisk* data = node.find_disk(spec.paths.disk);
  if (data == nullptr) return not_there(spec.paths.disk);
  sim::NodeDisk* meta = spec.paths.meta_disk.empty() ? data : node.find_disk(spec.paths.meta_disk);
  if (meta == nullptr) return not_there(spec.paths.meta_disk);
  if (data->owner != nullptr || meta->owner != nullptr) {
    return Failure{EBUSY, spec.paths.disk + " is attached"};
  }
  sim::FormatSpec format;
  format.resource = spec.resource;
  format.node = spec.node;
  format.path = spec.paths.meta_disk.empty() ? spec.paths.disk : spec.paths.meta_disk;
  format.slots = spec.slots;
  format.block = data->block;
  format.force = spec.force;
  format.metadata_id = node.world_random().next();
  io::SimDisk* holder = spec.paths.meta_disk.empty() ? nullptr : &node.disk_of(*meta);
  return sim::format(node.disk_of(*data), holder, format);
}

host::Outcome<meta::Superblock> read(sim::Node& node, const std::string& path,
                                     const std::string& meta_path) {
  const std::string& holder = meta_path.empty() ? path : meta_path;
  const sim::NodeDisk* disk = node.find_disk(holder);
  if (disk == nullptr) return not_there(holder);
  const auto found = sim::read_superblock(node.disk_of(*disk), meta_path.empty());
  if (found.ok()) return found.value();
  return bind::metadata_failure(found.error().code, found.error().what, holder, "RESOURCE");
}

}  // namespace

Napi::Object node_addon(Napi::Env env, const Making& life) {
  const auto shared = std::make_shared<Making>(life);
  Napi::Object addon = Napi::Object::New(env);
  addon.Set("Device", Napi::Function::New(env, [shared](const Napi::CallbackInfo& info) {
              const auto making = Napi::External<Making>::New(info.Env(), shared.get());
              return classes(info.Env()).device.New({info[0], info[1], making});
            }));
  addon.Set("Lobby", Napi::Function::New(env, [shared](const Napi::CallbackInfo& info) {
              const auto making = Napi::External<Making>::New(info.Env(), shared.get());
              return classes(info.Env()).lobby.New({info[0], making});
            }));
  addon.Set("inspectDisk", Napi::Function::New(env, [shared](const Napi::CallbackInfo& info) {
              return promise(info.Env(), *shared, facts_of(*shared->node, text_at(info, 0)),
                             &bind::disk_info);
            }));
  addon.Set("createMetadata", Napi::Function::New(env, [shared](const Napi::CallbackInfo& info) {
              if (over(*shared)) return Napi::Value(Napi::Promise::Deferred(info.Env()).Promise());
              const auto spec = bind::create_spec_of(info[0].As<Napi::Object>());
              return promise(info.Env(), *shared, create(*shared->node, spec),
                             &bind::metadata_object);
            }));
  addon.Set("readMetadata", Napi::Function::New(env, [shared](const Napi::CallbackInfo& info) {
              return promise(info.Env(), *shared,
                             read(*shared->node, text_at(info, 0), text_at(info, 1)),
                             &bind::metadata_object);
            }));
  return addon;
}

void define_classes(Napi::Env env) {
  auto* all = new Classes();
  all->node = Napi::Persistent(NodeObject::define(env));
  all->client = Napi::Persistent(ClientObject::define(env));
  all->model = Napi::Persistent(ModelObject::define(env));
  all->device = Napi::Persistent(SimDevice::define(env));
  all->lobby = Napi::Persistent(SimLobby::define(env));
  env.SetInstanceData(all);
}

Classes& classes(Napi::Env env) {
  auto* all = env.GetInstanceData<Classes>();
  BM_ASSERT(all != nullptr);
  return *all;
}

Napi::Function SimDevice::define(Napi::Env env) {
  auto methods = bind::command_methods<SimDevice>();
  methods.push_back(InstanceMethod("keepAlive", &SimDevice::keep_alive));
  return DefineClass(env, "SimDevice", methods);
}

SimDevice::SimDevice(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SimDevice>(info) {
  const Making& making = making_at(info, 2);
  if (over(making)) {
    bind::error_of(info.Env(), {ESHUTDOWN, "the node is down"}).ThrowAsJavaScriptException();
    return;
  }
  holder_ = making.holder;
  node = making.node;
  callback_ = Napi::Persistent(info[1].As<Napi::Function>());
  runner_ = node->start_runner(bind::start_spec_of(info[0].As<Napi::Object>()), *this);
  holder_->objects.push_back(this);
  Ref();
}

Napi::Value SimDevice::run_command(const Napi::CallbackInfo& info) {
  const auto* command = static_cast<const bind::DeviceCommand*>(info.Data());
  BM_ASSERT(command != nullptr);
  return command->run(*runner_, info);
}

void SimDevice::tell() {
  bind::Event event;
  std::string text;
  const Napi::Env env = Env();
  while (!callback_.IsEmpty() && runner_->events().try_take(event, text)) {
    const Napi::HandleScope scope(env);
    callback_.Call({bind::told_object(env, *runner_, event, text)});
    if (env.IsExceptionPending()) return;
    if (event.kind != bind::EventKind::kEnded) continue;
    holder_->remove(*this);
    return life_over();
  }
}

void SimDevice::life_over() {
  BM_ASSERT(!callback_.IsEmpty());
  callback_.Reset();
  Unref();
}

Napi::Function SimLobby::define(Napi::Env env) {
  using Self = SimLobby;
  return DefineClass(env, "SimLobby",
                     {
                         InstanceMethod("listen", &Self::listen),
                         InstanceMethod("closeListener", &Self::close_listener),
                         InstanceMethod("dial", &Self::dial),
                         InstanceMethod("take", &Self::take),
                         InstanceMethod("closeSocket", &Self::close_socket),
                         InstanceMethod("setBuffers", &Self::nothing),
                         InstanceMethod("refuse", &Self::refuse),
                         InstanceMethod("keepAlive", &Self::nothing),
                         InstanceMethod("close", &Self::close),
                     });
}

SimLobby::SimLobby(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SimLobby>(info) {
  const Making& making = making_at(info, 1);
  if (over(making)) {
    bind::error_of(info.Env(), {ESHUTDOWN, "the node is down"}).ThrowAsJavaScriptException();
    return;
  }
  holder_ = making.holder;
  node = making.node;
  callback_ = Napi::Persistent(info[0].As<Napi::Function>());
  lobby_ = node->start_lobby(*this);
  holder_->objects.push_back(this);
  Ref();
}

// (host, port) → {id, address}
Napi::Value SimLobby::listen(const Napi::CallbackInfo& info) {
  auto listener = lobby_->listen(text_at(info, 0), static_cast<uint16_t>(number_at(info, 1)));
  if (!listener.ok()) {
    bind::error_of(info.Env(), listener.failure()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("id", double(listener.value().id));
  object.Set("address", listener.value().address);
  return object;
}

void SimLobby::close_listener(const Napi::CallbackInfo& info) {
  lobby_->close_listener(number_at(info, 0));
}

// (spec) → socket
Napi::Value SimLobby::dial(const Napi::CallbackInfo& info) {
  auto socket = lobby_->dial(bind::dial_spec_of(info[0].As<Napi::Object>()));
  if (socket.ok()) return Napi::Number::New(info.Env(), double(socket.value()));
  bind::error_of(info.Env(), socket.failure()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Value SimLobby::take(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), lobby_->take(number_at(info, 0)));
}

void SimLobby::close_socket(const Napi::CallbackInfo& info) {
  lobby_->close_socket(number_at(info, 0));
}

void SimLobby::refuse(const Napi::CallbackInfo& info) {
  lobby_->refuse(number_at(info, 0), text_at(info, 1));
}

void SimLobby::close(const Napi::CallbackInfo&) {
  lobby_->close();
  if (callback_.IsEmpty()) return;
  holder_->remove(*this);
  life_over();
}

void SimLobby::tell() {
  const Napi::Env env = Env();
  for (const sim::LobbyNews& news : lobby_->take_news()) {
    if (callback_.IsEmpty()) return;  // closed by what was called
    const Napi::HandleScope scope(env);
    Napi::Object object = Napi::Object::New(env);
    object.Set("type", news.accepted ? "accepted" : "dialled");
    object.Set("socket", double(news.socket));
    object.Set("remoteAddress", news.remote);
    if (news.accepted) {
      object.Set("listener", double(news.listener));
      object.Set("hello", news.text);
    } else {
      object.Set("code", bind::errno_name(news.error));
      object.Set("message", news.text);
    }
    callback_.Call({object});
    if (env.IsExceptionPending()) return;
  }
}

void SimLobby::life_over() {
  BM_ASSERT(!callback_.IsEmpty());
  callback_.Reset();
  Unref();
}

}  // namespace blkmirror::simbind
