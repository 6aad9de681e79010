// How much of a resync is in flight, alone and beside an application.
#include "base/limits.h"
#include "check.h"
#include "engine/resync_pace.h"

namespace blkmirror::engine {
namespace {

constexpr uint64_t kStartUs = 1'000'000;
constexpr uint64_t kShortUs = 500;

// A resync that has seen its shortest round trip, and an application that has just written.
ResyncPace beside_an_application() {
  ResyncPace pace;
  pace.begin();
  pace.block_written(kStartUs, kShortUs);
  pace.application_request(kStartUs);
  return pace;
}

TEST(alone_a_resync_has_its_whole_window) {
  ResyncPace pace;
  pace.begin();
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
  CHECK(!pace.may_ask(kStartUs, limits::kResyncWindow));
  pace.block_written(kStartUs, 100 * kShortUs);
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
}

TEST(blocks_that_wait_shrink_the_window_to_one_and_a_pause) {
  ResyncPace pace = beside_an_application();
  for (uint32_t i = 1; i < limits::kResyncWindow; ++i) {
    pace.block_written(kStartUs, 10 * kShortUs);
  }
  CHECK(pace.may_ask(kStartUs, 0));
  CHECK(!pace.may_ask(kStartUs, 1));
  pace.block_written(kStartUs, 10 * kShortUs);
  CHECK(!pace.may_ask(kStartUs, 0));
  CHECK(pace.may_ask(kStartUs + 10 * kShortUs, 0));
}

TEST(blocks_that_do_not_wait_open_the_window_again) {
  ResyncPace pace = beside_an_application();
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) {
    pace.block_written(kStartUs, 10 * kShortUs);
  }
  CHECK(!pace.may_ask(kStartUs, 1));
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) pace.block_written(kStartUs, kShortUs);
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
}

TEST(a_long_way_is_no_reason_to_shrink) {
  ResyncPace pace;
  pace.begin();
  constexpr uint64_t kFarUs = 200'000;
  pace.block_written(kStartUs, kFarUs);
  pace.application_request(kStartUs);
  pace.block_written(kStartUs, kFarUs + 100);
  CHECK(pace.may_ask(kStartUs, limits::kResyncWindow - 1));
}

TEST(an_application_that_fell_silent_gives_all_back) {
  ResyncPace pace = beside_an_application();
  for (uint32_t i = 0; i < 2 * limits::kResyncWindow; ++i) {
    pace.block_written(kStartUs, 1000 * kShortUs);
  }
  CHECK(!pace.may_ask(kStartUs, 0));
  const uint64_t later_us = kStartUs + 1'000'000;
  CHECK(pace.may_ask(later_us, limits::kResyncWindow - 1));
}

}  // namespace
}  // namespace blkmirror::engine
