// The test framework itself: comparison across integer types, and what a failure does.

#include "check.h"

TEST(check_compares_integers_of_different_signedness) {
  CHECK_EQ(uint64_t{5}, 5);
  CHECK(!check::equal(-1, UINT32_MAX));
}

TEST(check_shows_small_integers_as_numbers) {
  CHECK_EQ(check::show(uint8_t{65}), std::string("65"));
}

TEST(check_keeps_the_first_failure) {
  check::fail("a.cc", 1, "first");
  check::fail("b.cc", 2, "second");
  const std::string kept = check::failure();
  check::failure().clear();
  CHECK_EQ(kept, std::string("a.cc:1: first"));
}
