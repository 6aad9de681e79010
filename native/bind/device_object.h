// The JavaScript object of one attached copy: passes commands to its EngineThread and calls one
// function with what comes back. src/plane/nativeDevice.ts is its only user.
//
// Its methods are those of device_commands.h. It keeps itself alive until `ended`.
#pragma once

#include <napi.h>

#include <memory>

#include "bind/engine_thread.h"
#include "bind/main_signal.h"

namespace blkmirror::bind {

class DeviceObject final : public Napi::ObjectWrap<DeviceObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // (spec, callback)
  explicit DeviceObject(const Napi::CallbackInfo& info);
  ~DeviceObject() override;

 private:
  template <class T>
  friend std::vector<Napi::ClassPropertyDescriptor<T>> command_methods();

  Napi::Value run_command(const Napi::CallbackInfo& info);
  void keep_alive(const Napi::CallbackInfo& info);
  void drain();
  void finish();
  // The process or its environment ends.
  void tear_down();

  std::unique_ptr<EngineThread> thread_;
  std::unique_ptr<EventCallback> callback_;
  MainSignal* signal_ = nullptr;  // null after `ended`
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
};

}  // namespace blkmirror::bind
