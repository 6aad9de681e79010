// See device_object.h.
#include "bind/device_object.h"

#include "bind/device_commands.h"
#include "bind/js_values.h"

namespace blkmirror::bind {

namespace {

constexpr uint32_t kEventsPerTurn = 256;
constexpr unsigned kEndingMs = 3000;  // for a clean end when the process ends

}  // namespace

Napi::Function DeviceObject::define(Napi::Env env) {
  auto methods = command_methods<DeviceObject>();
  methods.push_back(InstanceMethod("keepAlive", &DeviceObject::keep_alive));
  return DefineClass(env, "Device", methods);
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

Napi::Value DeviceObject::run_command(const Napi::CallbackInfo& info) {
  const auto* command = static_cast<const DeviceCommand*>(info.Data());
  BM_ASSERT(command != nullptr);
  return command->run(*thread_, info);
}

// (keep): whether the process may not end meanwhile.
void DeviceObject::keep_alive(const Napi::CallbackInfo& info) {
  if (signal_ != nullptr) signal_->ref(info[0].As<Napi::Boolean>().Value());
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
    callback_->call(told_object(Env(), *thread_, event, text));
    if (last) return finish();
    if (signal_ == nullptr) return;  // torn down by what was called
    if (count + 1 == kEventsPerTurn) signal_->send();
  }
  thread_->reclaim();
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
