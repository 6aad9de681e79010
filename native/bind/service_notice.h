// The service manager's notification socket, for JavaScript.
#pragma once

#include <napi.h>

namespace blkmirror::bind {

// (address, state) → the errno's name, empty when it was sent
Napi::Value notify_manager(const Napi::CallbackInfo& info);
// (address, name, fd) → the errno's name: the manager keeps a copy of the descriptor
Napi::Value store_descriptor(const Napi::CallbackInfo& info);
// (address, timeoutMs) → a promise: the manager has acted on all that was sent
Napi::Value wait_for_manager_async(const Napi::CallbackInfo& info);
// (path) → a descriptor of a socket that receives what the three above send, the caller's
Napi::Value bind_notices(const Napi::CallbackInfo& info);
// (descriptor, timeoutMs) → a promise of {state, fd}: fd is the caller's, -1 when there is none
Napi::Value receive_notice_async(const Napi::CallbackInfo& info);
// (bytes) → a descriptor of them, the caller's
Napi::Value keep_bytes(const Napi::CallbackInfo& info);

}  // namespace blkmirror::bind
