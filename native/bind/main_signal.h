// Wakes Node's main thread from any thread, without allocating (uv_async_send).
//
// Opened and closed on the main thread. It keeps the process alive only while ref() says so.
// After close() nothing fires; the handle frees itself when libuv has let go of it.
#pragma once

#include <napi.h>
#include <uv.h>

namespace blkmirror::bind {

class MainSignal {
 public:
  // `fired` runs on the main thread, once for one or several send().
  static MainSignal* open(Napi::Env env, void (*fired)(void* owner), void* owner);
  void send();
  void ref(bool keep_alive);
  // `closed` (may be null) runs when the handle is gone.
  void close(void (*closed)(void* owner), void* owner);

 private:
  MainSignal() = default;
  ~MainSignal() = default;

  uv_async_t handle_{};
  void (*fired_)(void* owner) = nullptr;
  void (*closed_)(void* owner) = nullptr;
  void* owner_ = nullptr;
};

// A JavaScript function that is called with events, each call followed by its microtasks.
class EventCallback {
 public:
  EventCallback(Napi::Function function, const char* name);
  // An exception it throws is the process's: uncaughtException.
  void call(Napi::Value event);

 private:
  Napi::FunctionReference function_;
  Napi::AsyncContext context_;
};

}  // namespace blkmirror::bind
