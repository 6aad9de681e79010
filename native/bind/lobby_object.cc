// See lobby_object.h.
#include "bind/lobby_object.h"

#include <cerrno>

#include "base/assert.h"
#include "bind/js_values.h"

namespace blkmirror::bind {

namespace {

host::LobbyId id_at(const Napi::CallbackInfo& info, size_t index) {
  return host::LobbyId(info[index].As<Napi::Number>().Int64Value());
}

Napi::Number id_value(Napi::Env env, host::LobbyId id) {
  return Napi::Number::New(env, double(id));
}

}  // namespace

Napi::Function LobbyObject::define(Napi::Env env) {
  using Self = LobbyObject;
  return DefineClass(env, "Lobby",
                     {
                         InstanceMethod("listen", &Self::listen),
                         InstanceMethod("closeListener", &Self::close_listener),
                         InstanceMethod("dial", &Self::dial),
                         InstanceMethod("take", &Self::take),
                         InstanceMethod("closeSocket", &Self::close_socket),
                         InstanceMethod("setBuffers", &Self::set_buffers),
                         InstanceMethod("refuse", &Self::refuse),
                         InstanceMethod("keepAlive", &Self::keep_alive),
                         InstanceMethod("close", &Self::close),
                     });
}

LobbyObject::LobbyObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LobbyObject>(info) {
  const Napi::Env env = info.Env();
  callback_ = std::make_unique<EventCallback>(info[0].As<Napi::Function>(), "blkmirror lobby");
  signal_ = MainSignal::open(
      env, [](void* owner) { static_cast<LobbyObject*>(owner)->drain(); }, this);
  auto started = host::Lobby::start(*this);
  if (!started.ok()) {
    signal_->close(nullptr, nullptr);
    signal_ = nullptr;
    error_of(env, started.failure()).ThrowAsJavaScriptException();
    return;
  }
  lobby_ = std::move(started.value());
  Ref();
  const napi_status added = napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle handle, void* self) {
        auto* object = static_cast<LobbyObject*>(self);
        object->lobby_.reset();
        object->callback_.reset();
        std::exchange(object->signal_, nullptr)
            ->close(
                [](void* done) {
                  napi_remove_async_cleanup_hook(static_cast<napi_async_cleanup_hook_handle>(done));
                },
                handle);
      },
      this, &cleanup_);
  BM_ASSERT(added == napi_ok);
}

LobbyObject::~LobbyObject() { BM_ASSERT(lobby_ == nullptr); }

bool LobbyObject::closed(const Napi::CallbackInfo& info) {
  if (lobby_ != nullptr) return false;
  error_of(info.Env(), {ECANCELED, "the plane is closed"}).ThrowAsJavaScriptException();
  return true;
}

// (host, port) → {id, address}
Napi::Value LobbyObject::listen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closed(info)) return env.Undefined();
  const auto port = uint16_t(info[1].As<Napi::Number>().Uint32Value());
  auto listener = lobby_->listen(info[0].As<Napi::String>().Utf8Value(), port);
  if (!listener.ok()) {
    error_of(env, listener.failure()).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", id_value(env, listener.value().id));
  object.Set("address", listener.value().address);
  return object;
}

// (listener)
void LobbyObject::close_listener(const Napi::CallbackInfo& info) {
  if (lobby_ != nullptr) lobby_->close_listener(id_at(info, 0));
}

// (spec) → socket
Napi::Value LobbyObject::dial(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closed(info)) return env.Undefined();
  auto socket = lobby_->dial(dial_spec_of(info[0].As<Napi::Object>()));
  if (socket.ok()) return id_value(env, socket.value());
  error_of(env, socket.failure()).ThrowAsJavaScriptException();
  return env.Undefined();
}

// (socket) → fd, -1 when it is gone
Napi::Value LobbyObject::take(const Napi::CallbackInfo& info) {
  const int fd = lobby_ == nullptr ? -1 : lobby_->take(id_at(info, 0));
  return Napi::Number::New(info.Env(), fd);
}

// (socket)
void LobbyObject::close_socket(const Napi::CallbackInfo& info) {
  if (lobby_ != nullptr) lobby_->close_socket(id_at(info, 0));
}

// (socket, sndbufBytes, rcvbufBytes)
void LobbyObject::set_buffers(const Napi::CallbackInfo& info) {
  if (lobby_ == nullptr) return;
  host::SocketBuffers buffers;
  buffers.sndbuf_bytes = info[1].As<Napi::Number>().Uint32Value();
  buffers.rcvbuf_bytes = info[2].As<Napi::Number>().Uint32Value();
  lobby_->set_buffers(id_at(info, 0), buffers);
}

// (socket, text)
void LobbyObject::refuse(const Napi::CallbackInfo& info) {
  if (lobby_ == nullptr) return;
  lobby_->refuse(id_at(info, 0), info[1].As<Napi::String>().Utf8Value());
}

// (keep): whether the process may not end meanwhile.
void LobbyObject::keep_alive(const Napi::CallbackInfo& info) {
  if (signal_ != nullptr) signal_->ref(info[0].As<Napi::Boolean>().Value());
}

void LobbyObject::close(const Napi::CallbackInfo&) {
  if (lobby_ != nullptr) shut();
}

void LobbyObject::shut() {
  BM_ASSERT(signal_ != nullptr);
  lobby_.reset();
  signal_->close(nullptr, nullptr);
  signal_ = nullptr;
  if (!draining_) callback_.reset();
  const napi_status removed = napi_remove_async_cleanup_hook(cleanup_);
  BM_ASSERT(removed == napi_ok);
  Unref();
}

void LobbyObject::accepted(host::LobbyId listener, host::LobbyId socket, const std::string& remote,
                           const std::string& hello) {
  put({true, listener, socket, remote, hello, 0});
}

void LobbyObject::dialled(host::LobbyId socket, const std::string& remote, int error,
                          const std::string& message) {
  put({false, 0, socket, remote, message, error});
}

void LobbyObject::put(Arrival arrival) {
  const std::lock_guard<std::mutex> lock(mutex_);
  arrivals_.push_back(std::move(arrival));
  signal_->send();
}

void LobbyObject::drain() {
  std::vector<Arrival> taken;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    taken.swap(arrivals_);
  }
  draining_ = true;
  for (const Arrival& arrival : taken) {
    if (signal_ == nullptr) break;  // closed by what was called
    const Napi::HandleScope scope(Env());
    callback_->call(to_object(arrival));
  }
  draining_ = false;
  if (signal_ == nullptr) callback_.reset();
}

Napi::Object LobbyObject::to_object(const Arrival& arrival) {
  const Napi::Env env = Env();
  Napi::Object object = Napi::Object::New(env);
  object.Set("type", arrival.accepted ? "accepted" : "dialled");
  object.Set("socket", id_value(env, arrival.socket));
  object.Set("remoteAddress", arrival.remote);
  if (arrival.accepted) {
    object.Set("listener", id_value(env, arrival.listener));
    object.Set("hello", arrival.text);
  } else {
    object.Set("code", errno_name(arrival.error));
    object.Set("message", arrival.text);
  }
  return object;
}

}  // namespace blkmirror::bind
