// Passes the service's state on to host/service_notify.
#include "bind/service_notice.h"

#include "base/assert.h"
#include "bind/js_values.h"
#include "host/service_notify.h"

namespace blkmirror::bind {

Napi::Value notify_manager(const Napi::CallbackInfo& info) {
  BM_ASSERT(info[0].IsString());
  BM_ASSERT(info[1].IsString());
  const std::string address = info[0].As<Napi::String>().Utf8Value();
  const std::string state = info[1].As<Napi::String>().Utf8Value();
  return Napi::String::New(info.Env(), errno_name(host::notify_service_manager(address, state)));
}

}  // namespace blkmirror::bind
