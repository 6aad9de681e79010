// Work on a worker thread whose outcome is a promise's.
#pragma once

#include <napi.h>

#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "bind/js_values.h"
#include "host/failure.h"

namespace blkmirror::bind {

template <class T>
class AsyncWork final : public Napi::AsyncWorker {
 public:
  using Work = std::function<host::Outcome<T>()>;
  using Convert = Napi::Object (*)(Napi::Env env, const T& value);

  static Napi::Value start(Napi::Env env, Work work, Convert convert) {
    auto* worker = new AsyncWork(env, std::move(work), convert);
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

  // On this thread, where the work does not wait.
  static Napi::Value run(Napi::Env env, Work work, Convert convert) {
    AsyncWork done(env, std::move(work), convert);
    const Napi::Promise promise = done.deferred_.Promise();
    done.Execute();
    done.OnOK();
    return promise;
  }

  void Execute() override { outcome_.emplace(work_()); }

  void OnOK() override {
    const Napi::HandleScope scope(Env());
    BM_ASSERT(outcome_.has_value());
    if (outcome_->ok()) {
      deferred_.Resolve(convert_(Env(), outcome_->value()));
    } else {
      deferred_.Reject(error_of(Env(), outcome_->failure()).Value());
    }
  }

 private:
  AsyncWork(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env), work_(std::move(work)), convert_(convert), deferred_(env) {}

  Work work_;
  Convert convert_;
  Napi::Promise::Deferred deferred_;
  std::optional<host::Outcome<T>> outcome_;
};

}  // namespace blkmirror::bind
