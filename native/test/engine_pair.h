// Two engines over the simulated world, alpha and beta, with fresh copies that know each other.
#pragma once

#include "engine_fixture.h"

namespace fixture {

constexpr uint64_t kUuid = 0x1111111111111110;

struct Pair {
  io::SimWorld world;
  Copy alpha;
  Copy beta;
  explicit Pair(uint64_t seed = 1)
      : world(seed), alpha(world, "alpha", {"beta"}), beta(world, "beta", {"alpha"}) {}

  // Both attached, a full resync from alpha done.
  bool in_sync() {
    if (alpha.attach() != 0 || beta.attach() != 0) return false;
    alpha.make_up_to_date(kUuid);
    return resync();
  }
  bool resync() {
    if (!connect(world, alpha, 0, beta, 0)) return false;
    const uint32_t before = alpha.events.finished;
    if (establish(alpha, 0, engine::ResyncRole::kSource, meta::kJustCreatedUuid) != 0) return false;
    const uint64_t uuid = state(alpha).current_uuid;
    if (establish(beta, 0, engine::ResyncRole::kTarget, uuid) != 0) return false;
    return world.run_until([&] { return alpha.events.finished > before; }, 600'000'000);
  }

  // Of alpha.
  io::SimDiskBehaviour& disk() { return world.behaviour(alpha.disk); }
  static const meta::Superblock& state(const Copy& copy) { return copy.engine->superblock(); }
  bool beta_has(uint64_t offset, uint8_t fill) {
    return world.read_back(beta.disk, offset, 1)[0] == std::byte{fill};
  }
};

}  // namespace fixture
