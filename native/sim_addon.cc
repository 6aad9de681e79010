// Entry point of the test-only addon of the simulated world. Decides nothing.

#include <napi.h>

#include "simbind/objects.h"
#include "simbind/world_holder.h"

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  blkmirror::simbind::define_classes(env);
  exports.Set("World", blkmirror::simbind::WorldObject::define(env));
  return exports;
}

NODE_API_MODULE(blkmirror_sim, init_addon)
