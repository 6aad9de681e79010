// Everything that reads foreign bytes, each as a function that a fuzzer calls with any input.
//
// A target returns, or ends the process: a failed assertion, a sanitizer's report, or a wait that
// never ends. `npm run fuzz` builds each with libFuzzer; native/test/test_fuzz_corpus runs the
// inputs kept under fuzz/corpus/NAME. What JavaScript parses is fuzzed by scripts/fuzz/control.mjs.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace blkmirror::fuzz {

using Target = void(std::span<const std::byte> input);

Target nbd_handshake;       // the client's bytes of a handshake
Target nbd_requests;        // a client's requests, valid or not, in a session
Target replication_frames;  // a peer's frames, in every state of a connection
Target superblock;          // both slots of a disk that is attached
Target activity_log;        // pages of the activity log of a disk that is attached
Target bitmap;              // pages of bitmap and page states of a disk that is attached

struct NamedTarget {
  const char* name;
  Target* run;
};

inline constexpr std::array kTargets = {
    NamedTarget{"nbd_handshake", nbd_handshake},
    NamedTarget{"nbd_requests", nbd_requests},
    NamedTarget{"replication_frames", replication_frames},
    NamedTarget{"superblock", superblock},
    NamedTarget{"activity_log", activity_log},
    NamedTarget{"bitmap", bitmap},
};

}  // namespace blkmirror::fuzz
