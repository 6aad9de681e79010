// The whole of the native test framework: one binary for each test_*.cc, run by native/test/run.sh.
// TEST(name) { ... } registers a test; CHECK(cond) and CHECK_EQ(a, b) end the test when they fail.
// A binary prints `ok NAME` or `FAIL NAME: why` for each test and exits 1 when one failed.
// An argument runs only the tests whose name contains it. CHECKs belong in the test's own function:
// they return from the function they stand in; a helper that checks returns void and is followed by
// CHECK_OK(), which ends the caller when the helper failed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace check {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

// The reason the running test failed; empty while it has not.
inline std::string& failure() {
  static std::string text;
  return text;
}

struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

inline void fail(const char* file, int line, const std::string& why) {
  if (failure().empty()) failure() = std::string(file) + ":" + std::to_string(line) + ": " + why;
}

template <typename T>
std::string show(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_enum_v<T>) {
    out << static_cast<int64_t>(value);
  } else if constexpr (std::is_same_v<T, uint8_t> || std::is_same_v<T, int8_t>) {
    out << static_cast<int>(value);
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else {
    out << "(unprintable)";
  }
  return out.str();
}

template <typename A, typename B>
bool equal(const A& a, const B& b) {
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> &&
                !std::is_same_v<B, bool>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

inline int run(const char* only) {
  int failed = 0;
  for (const Test& test : tests()) {
    if (only != nullptr && std::strstr(test.name, only) == nullptr) continue;
    failure().clear();
    test.body();
    if (failure().empty()) {
      std::printf("ok %s\n", test.name);
    } else {
      std::printf("FAIL %s: %s\n", test.name, failure().c_str());
      failed++;
    }
    std::fflush(stdout);
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace check

#define TEST(name)                                                           \
  static void test_##name();                                                 \
  static const check::Registration registration_##name(#name, &test_##name); \
  static void test_##name()

#define CHECK(cond)                                      \
  do {                                                   \
    if (!(cond)) {                                       \
      check::fail(__FILE__, __LINE__, "not so: " #cond); \
      return;                                            \
    }                                                    \
  } while (0)

#define CHECK_EQ(a, b)                                                                       \
  do {                                                                                       \
    const auto check_a = (a);                                                                \
    const auto check_b = (b);                                                                \
    if (!check::equal(check_a, check_b)) {                                                   \
      check::fail(                                                                           \
          __FILE__, __LINE__,                                                                \
          #a " is " + check::show(check_a) + ", expected " #b " = " + check::show(check_b)); \
      return;                                                                                \
    }                                                                                        \
  } while (0)

#define CHECK_OK()                         \
  do {                                     \
    if (!check::failure().empty()) return; \
  } while (0)

#ifndef CHECK_NO_MAIN
int main(int argc, char** argv) { return check::run(argc > 1 ? argv[1] : nullptr); }
#endif
