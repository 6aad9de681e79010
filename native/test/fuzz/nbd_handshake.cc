// A client's bytes through the whole handshake, in any cut.
#include "base/assert.h"
#include "fuzz/targets.h"
#include "nbd/handshake.h"

namespace blkmirror::fuzz {

void nbd_handshake(std::span<const std::byte> input) {
  nbd::Export exported;
  exported.name = "r0";
  exported.size_bytes = 1u << 20;
  nbd::Handshake handshake(exported);
  BM_ASSERT(!handshake.output().empty());
  // The greeting, then one step for each byte and each answer at most.
  for (size_t steps = 2 * input.size() + 2; steps > 0; --steps) {
    handshake.clear_output();
    const nbd::Handshake::Step step = handshake.step(input);
    BM_ASSERT(step.consumed <= input.size());
    BM_ASSERT(handshake.output().size() <= 4096);
    input = input.subspan(step.consumed);
    const bool over = step.next == nbd::Handshake::Next::kTransmission ||
                      step.next == nbd::Handshake::Next::kClose;
    if (over || (step.next == nbd::Handshake::Next::kInput && step.consumed == 0)) return;
  }
  BM_ASSERT(false && "the handshake does not end");
}

}  // namespace blkmirror::fuzz
