// How much of a resync is in flight, alone and beside an application.
#include "base/limits.h"
#include "check.h"
#include "engine/resync_pace.h"

namespace blkmirror::engine {
namespace {

constexpr uint64_t kStartUs = 1'000'000;
constexpr uint64_t kShortUs = 500;
// A block in more than the time of these tests.
constexpr uint64_t kLeastPerSecond = limits::kResyncBytes / 2;

// A block is asked for, and written after `round_trip_us`.
void copy_block(ResyncPace& pace, uint64_t round_trip_us) {
  pace.asked(kStartUs, limits::kResyncBytes);
  pace.block_written(kStartUs, round_trip_us);
}

// A resync that has seen its shortest round trip, and an application that has just written.
ResyncPace beside_an_application() {
  ResyncPace pace;
  pace.set_rates(0, kLeastPerSecond);
  pace.begin();
  copy_block(pace, kShortUs);
  pace.application_request(kStartUs);
  return pace;
}

TEST(alone_a_resync_has_its_whole_window) {
  ResyncPace pace;
  pace.set_rates(0, kLeastPerSecond);
  pace.begin();
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
  CHECK(!pace.may_ask(kStartUs, limits::kResyncWindow));
  copy_block(pace, 100 * kShortUs);
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
}

TEST(blocks_that_wait_shrink_the_window_to_one_and_a_pause) {
  ResyncPace pace = beside_an_application();
  for (uint32_t i = 1; i < limits::kResyncWindow; ++i) {
    copy_block(pace, 10 * kShortUs);
  }
  CHECK(pace.may_ask(kStartUs, 0));
  CHECK(!pace.may_ask(kStartUs, 1));
  copy_block(pace, 10 * kShortUs);
  CHECK(!pace.may_ask(kStartUs, 0));
  const uint64_t rested_us = pace.rate_allows_us(kStartUs, 0);
  CHECK(rested_us > kStartUs + 20 * kShortUs);
  CHECK(!pace.may_ask(rested_us - 1, 0));
  // Without another request of the application nobody would look before.
  pace.application_request(rested_us);
  CHECK(pace.may_ask(rested_us, 0));
}

TEST(blocks_that_do_not_wait_open_the_window_again) {
  ResyncPace pace = beside_an_application();
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) {
    copy_block(pace, 10 * kShortUs);
  }
  CHECK(!pace.may_ask(kStartUs, 1));
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) copy_block(pace, kShortUs);
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
}

TEST(a_long_way_is_no_reason_to_shrink) {
  ResyncPace pace;
  pace.set_rates(0, kLeastPerSecond);
  pace.begin();
  constexpr uint64_t kFarUs = 200'000;
  copy_block(pace, kFarUs);
  pace.application_request(kStartUs);
  copy_block(pace, kFarUs + 100);
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
}

TEST(an_application_that_fell_silent_gives_all_back) {
  ResyncPace pace = beside_an_application();
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) {
    copy_block(pace, 1000 * kShortUs);
  }
  CHECK(!pace.may_ask(kStartUs, 0));
  const uint64_t later_us = kStartUs + 1'000'000;
  CHECK(pace.may_ask(later_us, limits::kResyncWindow - 1));
}

TEST(beside_an_application_the_least_rate_opens_the_window) {
  ResyncPace pace = beside_an_application();
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) copy_block(pace, 100 * kShortUs);
  CHECK(!pace.may_ask(kStartUs, 0));
  const uint64_t soon_us = kStartUs + 20 * kShortUs;
  pace.set_rates(0, 100ull * limits::kResyncBytes);
  pace.application_request(soon_us);
  CHECK(pace.may_ask(soon_us, 5));
  for (uint32_t i = 0; i < 3; ++i) pace.asked(soon_us, limits::kResyncBytes);
  CHECK(!pace.may_ask(soon_us, 5));
  CHECK_EQ(pace.rate_allows_us(soon_us, 5), soon_us + 10'000);
  CHECK(pace.may_ask(soon_us + 10'000, 5));
}

TEST(without_a_least_rate_a_resync_leaves_no_room) {
  ResyncPace pace = beside_an_application();
  pace.set_rates(0, 0);
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) copy_block(pace, 100 * kShortUs);
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
}

TEST(the_ceiling_holds_for_an_empty_window) {
  ResyncPace pace;
  pace.set_rates(limits::kResyncBytes, 0);
  pace.begin();
  pace.asked(kStartUs, limits::kResyncBytes);
  CHECK(!pace.may_ask(kStartUs, 0));
  CHECK_EQ(pace.rate_allows_us(kStartUs, 0), kStartUs - RateLimit::kBurstUs + 1'000'000);
  CHECK(pace.may_ask(kStartUs + 1'000'000, 0));
}

}  // namespace
}  // namespace blkmirror::engine
