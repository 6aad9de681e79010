// A value, or an errno with a sentence for the user: what was refused, why, what to do.
//
// For host/ only, which meets the administrator's mistakes; the I/O path uses base/result.h,
// whose texts are static.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace blkmirror::host {

struct Failure {
  int error = 0;  // a positive errno
  std::string message;
};

template <class T>
class [[nodiscard]] Outcome {
 public:
  Outcome(T value) : value_(std::move(value)) {}           // NOLINT: implicit on purpose
  Outcome(Failure failure) : value_(std::move(failure)) {  // NOLINT: implicit on purpose
    BM_ASSERT(std::get<Failure>(value_).error > 0);
  }

  bool ok() const { return std::holds_alternative<T>(value_); }
  T& value() {
    BM_ASSERT(ok());
    return std::get<T>(value_);
  }
  const Failure& failure() const {
    BM_ASSERT(!ok());
    return std::get<Failure>(value_);
  }

 private:
  std::variant<T, Failure> value_;
};

}  // namespace blkmirror::host
