// Kernel devices, for JavaScript: each function returns a promise of what a worker thread did.
#pragma once

#include <napi.h>

namespace blkmirror::bind {

// () → [{index, connected}]; ENOENT: the kernel has no nbd
Napi::Value nbd_status_async(const Napi::CallbackInfo& info);
// (device) → {fd}: the daemon's end of the connection
Napi::Value nbd_connect_async(const Napi::CallbackInfo& info);
Napi::Value nbd_reconfigure_async(const Napi::CallbackInfo& info);
// (index)
Napi::Value nbd_disconnect_async(const Napi::CallbackInfo& info);
// (path) → {fd}: the device is claimed until it is closed
Napi::Value claim_block_device_async(const Napi::CallbackInfo& info);

}  // namespace blkmirror::bind
