// Entry point of the Node addon: registers what bind/ exports. Decides nothing.

#include <napi.h>

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  exports.Set("addonVersion", Napi::String::New(env, "0.1.0"));
  return exports;
}

NODE_API_MODULE(blkmirror, init_addon)
