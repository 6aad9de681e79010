// Memory of simulated engines: not populated, not locked, used again. What an engine that
// crashed had is taken from it by its Io's number, for it is never taken apart.
#pragma once

#include <cstdint>

#include "io/sim_world.h"

namespace blkmirror::sim {

class EnginePages {
 public:
  // From here on engines run in this world; null: in none.
  static void use(const io::SimWorld* world);
  // Nothing of what ran on this Io is used any more.
  static void forget(uint32_t io_index);
};

}  // namespace blkmirror::sim
