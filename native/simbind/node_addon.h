// The addon of one life of a simulated node: an object of the shape of `Addon` in
// src/plane/addon.ts, whose Device and Lobby are the simulated ones.
#pragma once

#include <napi.h>

#include <memory>

#include "bind/device_commands.h"
#include "simbind/world_holder.h"

namespace blkmirror::simbind {

Napi::Object node_addon(Napi::Env env, const Making& life);

class SimDevice final : public Napi::ObjectWrap<SimDevice>, public LifeObject {
 public:
  static Napi::Function define(Napi::Env env);
  // (spec, callback, making)
  explicit SimDevice(const Napi::CallbackInfo& info);
  void note() override { holder_->note(*this); }
  void tell() override;
  void life_over() override;

 private:
  template <class T>
  friend std::vector<Napi::ClassPropertyDescriptor<T>> bind::command_methods();

  Napi::Value run_command(const Napi::CallbackInfo& info);
  void keep_alive(const Napi::CallbackInfo&) {}

  Holder holder_;
  std::shared_ptr<sim::Runner> runner_;
  Napi::FunctionReference callback_;
};

class SimLobby final : public Napi::ObjectWrap<SimLobby>, public LifeObject {
 public:
  static Napi::Function define(Napi::Env env);
  // (callback, making)
  explicit SimLobby(const Napi::CallbackInfo& info);
  void note() override { holder_->note(*this); }
  void tell() override;
  void life_over() override;

 private:
  Napi::Value listen(const Napi::CallbackInfo& info);
  void close_listener(const Napi::CallbackInfo& info);
  Napi::Value dial(const Napi::CallbackInfo& info);
  Napi::Value take(const Napi::CallbackInfo& info);
  void close_socket(const Napi::CallbackInfo& info);
  void refuse(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void nothing(const Napi::CallbackInfo&) {}

  Holder holder_;
  std::shared_ptr<sim::Lobby> lobby_;
  Napi::FunctionReference callback_;
};

}  // namespace blkmirror::simbind
