// A value or an errno with context, for functions that can fail (no exceptions here).
//
// `Error::what` is a string literal that says which step failed. Every Result is handled:
// the types are [[nodiscard]].
#pragma once

#include <utility>
#include <variant>

#include "base/assert.h"

namespace blkmirror {

struct Error {
  int code = 0;           // a positive errno
  const char* what = "";  // static storage
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit on purpose
  Result(Error error) : value_(error) {}         // NOLINT: implicit on purpose

  bool ok() const { return std::holds_alternative<T>(value_); }
  T& value() {
    BM_ASSERT(ok());
    return std::get<T>(value_);
  }
  const T& value() const {
    BM_ASSERT(ok());
    return std::get<T>(value_);
  }
  Error error() const {
    BM_ASSERT(!ok());
    return std::get<Error>(value_);
  }

 private:
  std::variant<T, Error> value_;
};

// A Result without a value.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(error) { BM_ASSERT(error.code > 0); }  // NOLINT: implicit

  bool ok() const { return error_.code == 0; }
  Error error() const {
    BM_ASSERT(!ok());
    return error_;
  }

 private:
  Error error_;
};

}  // namespace blkmirror
