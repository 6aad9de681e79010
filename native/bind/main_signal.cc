// See main_signal.h.
#include "bind/main_signal.h"

#include "base/assert.h"

namespace blkmirror::bind {

MainSignal* MainSignal::open(Napi::Env env, void (*fired)(void* owner), void* owner) {
  BM_ASSERT(fired != nullptr);
  uv_loop_t* loop = nullptr;
  const napi_status found = napi_get_uv_event_loop(env, &loop);
  BM_ASSERT(found == napi_ok);
  auto* signal = new MainSignal;
  signal->fired_ = fired;
  signal->owner_ = owner;
  signal->handle_.data = signal;
  const int started = uv_async_init(loop, &signal->handle_, [](uv_async_t* handle) {
    auto* self = static_cast<MainSignal*>(handle->data);
    self->fired_(self->owner_);
  });
  BM_ASSERT(started == 0);
  signal->ref(false);
  return signal;
}

void MainSignal::send() {
  const int sent = uv_async_send(&handle_);
  BM_ASSERT(sent == 0);
}

void MainSignal::ref(bool keep_alive) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
  BM_ASSERT(uv_is_closing(handle) == 0);
  if (keep_alive) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void MainSignal::close(void (*closed)(void* owner), void* owner) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
  BM_ASSERT(uv_is_closing(handle) == 0);
  closed_ = closed;
  owner_ = owner;
  uv_close(handle, [](uv_handle_t* gone) {
    auto* self = static_cast<MainSignal*>(gone->data);
    if (self->closed_ != nullptr) self->closed_(self->owner_);
    delete self;
  });
}

EventCallback::EventCallback(Napi::Function function, const char* name)
    : function_(Napi::Persistent(function)), context_(function.Env(), name) {
  BM_ASSERT(!function_.IsEmpty());
}

void EventCallback::call(Napi::Value event) {
  const Napi::Env env = event.Env();
  function_.Value().MakeCallback(env.Global(), {event}, context_);
  if (!env.IsExceptionPending()) return;
  const Napi::Error error = env.GetAndClearPendingException();
  const napi_status told = napi_fatal_exception(env, error.Value());
  BM_ASSERT(told == napi_ok);
}

}  // namespace blkmirror::bind
