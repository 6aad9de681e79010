// The methods of a device's JavaScript object, whatever runs its engine: each takes its arguments
// apart and posts an action, or answers from what the runner has told.
//
// Commands take a ticket (a number above 0) and answer whether they were accepted; `completed`
// with that ticket follows unless `ended` comes first. A new command is added here alone.
#pragma once

#include <napi.h>

#include <span>
#include <string>
#include <vector>

#include "bind/engine_runner.h"

namespace blkmirror::bind {

struct DeviceCommand {
  const char* name;
  Napi::Value (*run)(EngineRunner& runner, const Napi::CallbackInfo& info);
};

std::span<const DeviceCommand> device_commands();

// What the callback is called with for an event.
Napi::Object told_object(Napi::Env env, EngineRunner& runner, const Event& event,
                         const std::string& text);

// As methods of the class T, whose `run_command` finds the DeviceCommand in `info.Data()`.
template <class T>
std::vector<Napi::ClassPropertyDescriptor<T>> command_methods() {
  std::vector<Napi::ClassPropertyDescriptor<T>> methods;
  for (const DeviceCommand& command : device_commands()) {
    methods.push_back(T::InstanceMethod(command.name, &T::run_command, napi_default,
                                        const_cast<DeviceCommand*>(&command)));
  }
  return methods;
}

}  // namespace blkmirror::bind
