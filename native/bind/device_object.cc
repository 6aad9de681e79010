// See device_object.h.
#include "bind/device_object.h"

#include <cerrno>

#include "bind/js_values.h"
#include "host/owned_fd.h"
#include "host/unix_listener.h"

namespace blkmirror::bind {

namespace {

constexpr uint32_t kEventsPerTurn = 256;
constexpr unsigned kEndingMs = 3000;  // for a clean end when the process ends

uint32_t number_at(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Uint32Value();
}

bool flag_at(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Boolean>().Value();
}

// A descriptor that is closed when its command is freed without having run.
std::shared_ptr<host::OwnedFd> share(int fd) { return std::make_shared<host::OwnedFd>(fd); }

// Gives the descriptor to `io`; kNoSocket when its table is full.
io::SocketId adopt(io::UringIo& io, host::OwnedFd& fd) {
  BM_ASSERT(fd.valid());
  const io::SocketId socket = io.adopt_socket(fd.get());
  if (socket != io::kNoSocket) fd.release();
  return socket;
}

}  // namespace

Napi::Function DeviceObject::define(Napi::Env env) {
  using Self = DeviceObject;
  return DefineClass(env, "Device",
                     {
                         InstanceMethod("connectLink", &Self::connect_link),
                         InstanceMethod("closeLink", &Self::close_link),
                         InstanceMethod("sendControl", &Self::send_control),
                         InstanceMethod("establish", &Self::establish),
                         InstanceMethod("pauseResync", &Self::pause_resync),
                         InstanceMethod("serve", &Self::serve),
                         InstanceMethod("withdraw", &Self::withdraw),
                         InstanceMethod("updateMetadata", &Self::update_metadata),
                         InstanceMethod("supplyUuids", &Self::supply_uuids),
                         InstanceMethod("setOptions", &Self::set_options),
                         InstanceMethod("stop", &Self::stop),
                         InstanceMethod("keepAlive", &Self::keep_alive),
                         InstanceMethod("metadata", &Self::metadata),
                         InstanceMethod("statistics", &Self::statistics),
                         InstanceMethod("warnings", &Self::warnings),
                     });
}

DeviceObject::DeviceObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DeviceObject>(info) {
  const Napi::Env env = info.Env();
  callback_ = std::make_unique<EventCallback>(info[1].As<Napi::Function>(), "blkmirror device");
  signal_ = MainSignal::open(
      env, [](void* owner) { static_cast<DeviceObject*>(owner)->drain(); }, this);
  thread_ = std::make_unique<EngineThread>(
      start_spec_of(info[0].As<Napi::Object>()),
      [](void* owner) { static_cast<MainSignal*>(owner)->send(); }, signal_);
  if (const Status started = thread_->start(); !started.ok()) {
    signal_->close(nullptr, nullptr);
    signal_ = nullptr;
    error_of(env, {started.error().code, started.error().what}).ThrowAsJavaScriptException();
    return;
  }
  Ref();
  const napi_status added = napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void* self) {
        static_cast<DeviceObject*>(self)->tear_down();
      },
      this, &cleanup_);
  BM_ASSERT(added == napi_ok);
}

DeviceObject::~DeviceObject() { BM_ASSERT(signal_ == nullptr); }

Napi::Value DeviceObject::post(const Napi::CallbackInfo& info, EngineThread::Action action) {
  const uint64_t ticket = number_at(info, 0);
  BM_ASSERT(ticket != EngineThread::kNoTicket);
  return Napi::Boolean::New(info.Env(), thread_->post(ticket, true, std::move(action)));
}

// (ticket, slot, fd, incarnation)
Napi::Value DeviceObject::connect_link(const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 1);
  const uint32_t incarnation = number_at(info, 3);
  return post(info, [slot, incarnation, fd = share(int(number_at(info, 2)))](
                        engine::Engine& engine, io::UringIo& io, engine::Completion& completion) {
    const io::SocketId socket = adopt(io, *fd);
    if (socket == io::kNoSocket) return completion.done(completion, EMFILE, "too many sockets");
    engine.connect_link(slot, socket, incarnation, completion);
  });
}

// (slot, incarnation)
void DeviceObject::close_link(const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 0);
  const uint32_t incarnation = number_at(info, 1);
  thread_->post(EngineThread::kNoTicket, false,
                [slot, incarnation](engine::Engine& engine, io::UringIo&, engine::Completion&) {
                  engine.close_link(slot, incarnation);
                });
}

// (slot, incarnation, text)
Napi::Value DeviceObject::send_control(const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 0);
  const uint32_t incarnation = number_at(info, 1);
  const bool accepted = thread_->post(
      EngineThread::kNoTicket, true,
      [slot, incarnation, text = info[2].As<Napi::String>().Utf8Value()](
          engine::Engine& engine, io::UringIo&, engine::Completion&) {
        engine.send_control(slot, incarnation, std::as_bytes(std::span(text.data(), text.size())));
      });
  return Napi::Boolean::New(info.Env(), accepted);
}

// (ticket, slot, incarnation, plan)
Napi::Value DeviceObject::establish(const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 1);
  const uint32_t incarnation = number_at(info, 2);
  return post(info, [slot, incarnation, plan = plan_of(info[3].As<Napi::Object>())](
                        engine::Engine& engine, io::UringIo&, engine::Completion& completion) {
    engine.establish(slot, incarnation, plan, completion);
  });
}

// (slot, paused)
void DeviceObject::pause_resync(const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 0);
  const bool paused = flag_at(info, 1);
  thread_->post(EngineThread::kNoTicket, false,
                [slot, paused](engine::Engine& engine, io::UringIo&, engine::Completion&) {
                  engine.pause_resync(slot, paused);
                });
}

// (ticket, socketPath, exportName); throws when the socket cannot be created.
Napi::Value DeviceObject::serve(const Napi::CallbackInfo& info) {
  auto listener = host::listen_unix(info[1].As<Napi::String>().Utf8Value());
  if (!listener.ok()) {
    error_of(info.Env(), listener.failure()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  return post(
      info, [fd = share(listener.value().release()), name = info[2].As<Napi::String>().Utf8Value()](
                engine::Engine& engine, io::UringIo& io, engine::Completion& completion) {
        const io::SocketId socket = adopt(io, *fd);
        if (socket == io::kNoSocket) return completion.done(completion, EMFILE, "too many sockets");
        engine.serve(socket, name, completion);
      });
}

// (ticket, force)
Napi::Value DeviceObject::withdraw(const Napi::CallbackInfo& info) {
  return post(info, [force = flag_at(info, 1)](engine::Engine& engine, io::UringIo&,
                                               engine::Completion& completion) {
    engine.withdraw(force, completion);
  });
}

// (ticket, patch)
Napi::Value DeviceObject::update_metadata(const Napi::CallbackInfo& info) {
  return post(info, [patch = patch_of(info[1].As<Napi::Object>())](
                        engine::Engine& engine, io::UringIo&, engine::Completion& completion) {
    engine.update_metadata(patch, completion);
  });
}

// (uuids)
void DeviceObject::supply_uuids(const Napi::CallbackInfo& info) {
  thread_->post(EngineThread::kNoTicket, false,
                [uuids = bigints_of(info[0])](engine::Engine& engine, io::UringIo&,
                                              engine::Completion&) { engine.supply_uuids(uuids); });
}

// (alExtents, timeoutMs)
void DeviceObject::set_options(const Napi::CallbackInfo& info) {
  const uint64_t al_extents = number_at(info, 0);
  const uint64_t timeout_us = uint64_t{number_at(info, 1)} * 1000;
  thread_->post(
      EngineThread::kNoTicket, false,
      [al_extents, timeout_us](engine::Engine& engine, io::UringIo&, engine::Completion&) {
        engine.set_options(al_extents, timeout_us);
      });
}

void DeviceObject::stop(const Napi::CallbackInfo&) { thread_->stop(); }

// (keep): whether the process may not end meanwhile.
void DeviceObject::keep_alive(const Napi::CallbackInfo& info) {
  if (signal_ != nullptr) signal_->ref(flag_at(info, 0));
}

Napi::Value DeviceObject::metadata(const Napi::CallbackInfo& info) {
  const Result<meta::Superblock> superblock = thread_->events().metadata();
  if (superblock.ok()) return metadata_object(info.Env(), superblock.value());
  const Error error = superblock.error();
  error_of(info.Env(), {error.code, error.what}).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Value DeviceObject::statistics(const Napi::CallbackInfo& info) {
  return statistics_object(info.Env(), thread_->statistics(), thread_->events().named_slots());
}

// After `attached`.
Napi::Value DeviceObject::warnings(const Napi::CallbackInfo& info) {
  Napi::Array array = Napi::Array::New(info.Env());
  for (const std::string& text : thread_->warnings()) array.Set(array.Length(), text);
  return array;
}

// On the main thread, when the engine's thread has told something.
void DeviceObject::drain() {
  Event event;
  std::string text;
  for (uint32_t count = 0; count < kEventsPerTurn; count++) {
    if (!thread_->events().try_take(event, text)) break;
    const Napi::HandleScope scope(Env());
    const bool last = event.kind == EventKind::kEnded;
    if (last) {
      const bool joined = thread_->join_for(kEndingMs);
      BM_ASSERT(joined);
    }
    callback_->call(to_object(event, text));
    if (last) return finish();
    if (signal_ == nullptr) return;  // torn down by what was called
    if (count + 1 == kEventsPerTurn) signal_->send();
  }
  thread_->reclaim();
}

Napi::Object DeviceObject::to_object(const Event& event, const std::string& text) {
  Napi::Object object = event_object(Env(), event, text);
  if (event.kind != EventKind::kEnded) return object;
  const Ending& ending = thread_->ending();
  object.Set("wasAttached", ending.was_attached);
  object.Set("code", errno_name(ending.error));
  object.Set("message", ending.message);
  return object;
}

void DeviceObject::finish() {
  BM_ASSERT(signal_ != nullptr);
  signal_->close(nullptr, nullptr);
  signal_ = nullptr;
  callback_.reset();
  const napi_status removed = napi_remove_async_cleanup_hook(cleanup_);
  BM_ASSERT(removed == napi_ok);
  Unref();
}

void DeviceObject::tear_down() {
  BM_ASSERT(signal_ != nullptr);
  callback_.reset();
  MainSignal* signal = signal_;
  signal_ = nullptr;
  thread_->stop();
  if (thread_->join_for(kEndingMs)) {
    signal->close(
        [](void* handle) {
          napi_remove_async_cleanup_hook(static_cast<napi_async_cleanup_hook_handle>(handle));
        },
        cleanup_);
    return;
  }
  // A disk that hangs may not keep the process: what the thread still uses is left to it.
  thread_->abandon();
  (void)thread_.release();
  napi_remove_async_cleanup_hook(cleanup_);
}

}  // namespace blkmirror::bind
