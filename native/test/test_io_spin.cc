// When a data-plane thread looks for completions before it sleeps.

#include "check.h"
#include "io/spin.h"

using namespace blkmirror::io;

namespace {

constexpr uint64_t kShortUs = Spin::kMostUs;
constexpr uint64_t kLongUs = 10 * Spin::kMostUs;

// How many short sleeps it takes until looking is worth it; at most `limit`.
uint32_t sleeps_until_worth(Spin& spin, uint32_t limit) {
  uint32_t count = 0;
  while (!spin.worth_it() && count < limit) {
    spin.slept(kShortUs);
    count++;
  }
  return count;
}

}  // namespace

TEST(spin_begins_after_short_sleeps_only) {
  Spin spin;
  CHECK(!spin.worth_it());
  for (uint32_t i = 0; i < 1000; i++) spin.slept(kLongUs);
  CHECK(!spin.worth_it());
  CHECK(sleeps_until_worth(spin, 100) < 20);
  CHECK(spin.worth_it());
  spin.slept(kLongUs);
  CHECK(!spin.worth_it());
}

TEST(spin_ends_when_it_finds_nothing) {
  Spin spin;
  sleeps_until_worth(spin, 100);
  for (uint32_t i = 0; i < 1000; i++) spin.looked(true);
  uint32_t in_vain = 0;
  while (spin.worth_it()) {
    spin.looked(false);
    in_vain++;
  }
  CHECK(in_vain <= 2);
  CHECK(sleeps_until_worth(spin, 1000) > 50);
}

TEST(spin_leaves_a_busy_processor_alone_for_long) {
  Spin spin;
  sleeps_until_worth(spin, 100);
  spin.disturbed();
  CHECK(!spin.worth_it());
  const uint32_t sleeps = sleeps_until_worth(spin, 10000);
  CHECK(sleeps > 1000);
  CHECK(sleeps < 10000);
}
