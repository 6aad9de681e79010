// The JavaScript object of one attached copy: passes commands to its EngineThread and calls one
// function with what comes back. src/plane/nativeDevice.ts is its only user.
//
// Commands take a ticket (a number above 0) and answer whether they were accepted; `completed`
// with that ticket follows unless `ended` comes first. It keeps itself alive until `ended`.
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
  Napi::Value connect_link(const Napi::CallbackInfo& info);
  void close_link(const Napi::CallbackInfo& info);
  Napi::Value send_control(const Napi::CallbackInfo& info);
  Napi::Value establish(const Napi::CallbackInfo& info);
  void pause_resync(const Napi::CallbackInfo& info);
  Napi::Value serve(const Napi::CallbackInfo& info);
  Napi::Value withdraw(const Napi::CallbackInfo& info);
  Napi::Value update_metadata(const Napi::CallbackInfo& info);
  void supply_uuids(const Napi::CallbackInfo& info);
  void set_options(const Napi::CallbackInfo& info);
  void stop(const Napi::CallbackInfo& info);
  void keep_alive(const Napi::CallbackInfo& info);
  Napi::Value metadata(const Napi::CallbackInfo& info);
  Napi::Value statistics(const Napi::CallbackInfo& info);
  Napi::Value warnings(const Napi::CallbackInfo& info);

  Napi::Value post(const Napi::CallbackInfo& info, EngineThread::Action action);
  void drain();
  Napi::Object to_object(const Event& event, const std::string& text);
  void finish();
  // The process or its environment ends.
  void tear_down();

  std::unique_ptr<EngineThread> thread_;
  std::unique_ptr<EventCallback> callback_;
  MainSignal* signal_ = nullptr;  // null after `ended`
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
};

}  // namespace blkmirror::bind
