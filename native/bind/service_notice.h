// The service manager's notification socket, for JavaScript.
#pragma once

#include <napi.h>

namespace blkmirror::bind {

// (address, state) → the errno's name, empty when it was sent
Napi::Value notify_manager(const Napi::CallbackInfo& info);

}  // namespace blkmirror::bind
