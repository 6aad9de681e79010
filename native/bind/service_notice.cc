// Passes the service's state on to host/service_notify.
#include "bind/service_notice.h"

#include <memory>
#include <string>
#include <utility>

#include "base/assert.h"
#include "bind/async_work.h"
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

Napi::Value store_descriptor(const Napi::CallbackInfo& info) {
  const std::string address = info[0].As<Napi::String>().Utf8Value();
  const std::string state = "FDSTORE=1\nFDNAME=" + info[1].As<Napi::String>().Utf8Value();
  const int fd = info[2].As<Napi::Number>().Int32Value();
  BM_ASSERT(fd >= 0);
  return Napi::String::New(info.Env(),
                           errno_name(host::notify_with_descriptor(address, state, fd)));
}

Napi::Value wait_for_manager_async(const Napi::CallbackInfo& info) {
  const std::string address = info[0].As<Napi::String>().Utf8Value();
  const int timeout_ms = info[1].As<Napi::Number>().Int32Value();
  const auto work = [address, timeout_ms]() -> host::Outcome<bool> {
    const int error = host::wait_for_service_manager(address, timeout_ms);
    if (error == 0) return true;
    return host::Failure{error, "the service manager does not answer"};
  };
  const auto convert = [](Napi::Env env, const bool&) { return Napi::Object::New(env); };
  return AsyncWork<bool>::start(info.Env(), work, convert);
}

Napi::Value bind_notices(const Napi::CallbackInfo& info) {
  BM_ASSERT(info[0].IsString());
  auto bound = host::bind_notices(info[0].As<Napi::String>().Utf8Value());
  if (bound.ok()) return Napi::Number::New(info.Env(), bound.value().release());
  error_of(info.Env(), bound.failure()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Value receive_notice_async(const Napi::CallbackInfo& info) {
  using Shared = std::shared_ptr<host::Notice>;
  const int socket = info[0].As<Napi::Number>().Int32Value();
  const int timeout_ms = info[1].As<Napi::Number>().Int32Value();
  BM_ASSERT(socket >= 0);
  const auto work = [socket, timeout_ms]() -> host::Outcome<Shared> {
    auto received = host::receive_notice(socket, timeout_ms);
    if (!received.ok()) return received.failure();
    return std::make_shared<host::Notice>(std::move(received.value()));
  };
  const auto convert = [](Napi::Env env, const Shared& notice) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("state", notice->state);
    object.Set("fd", notice->descriptor.release());
    return object;
  };
  return AsyncWork<Shared>::start(info.Env(), work, convert);
}

Napi::Value keep_bytes(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  auto kept = host::keep_bytes(bytes.Data(), bytes.ByteLength());
  if (kept.ok()) return Napi::Number::New(info.Env(), kept.value().release());
  error_of(info.Env(), kept.failure()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

}  // namespace blkmirror::bind
