// Memory of simulated engines: not populated, not locked, used again by the next one, for as long
// as the process lives.
#pragma once

namespace blkmirror::sim {

// From here on.
void use_engine_pages();

}  // namespace blkmirror::sim
