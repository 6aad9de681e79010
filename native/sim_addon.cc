// Entry point of the test-only addon of the simulated world. Decides nothing.

#include <napi.h>

#include "simbind/objects.h"

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  exports.Set("World", blkmirror::simbind::WorldObject::define(env));
  return exports;
}

NODE_API_MODULE(blkmirror_sim, init_addon)
