// Runs a random test seed by seed, each in a process of its own, so that a failed assertion ends
// only that one. SEEDS=n runs the seeds 1 to n, SEED=n that one alone.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace fixture {

inline uint64_t& running_seed() {
  static uint64_t seed = 0;
  return seed;
}

// Ends the seed that runs.
[[noreturn]] inline void die(const std::string& why) {
  std::printf("seed %lu: %s\n", running_seed(), why.c_str());
  std::fflush(stdout);
  _exit(1);
}

inline bool only_one_seed() { return std::getenv("SEED") != nullptr; }

// False when the seed failed; it has said why.
inline bool run_seed(uint64_t seed, void (*body)(uint64_t seed)) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    running_seed() = seed;
    body(seed);
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  std::printf("seed %lu failed: SEED=%lu runs it again\n", seed, seed);
  return false;
}

// The number of seeds that failed.
inline uint64_t run_seeds(uint64_t usual, void (*body)(uint64_t seed)) {
  const char* const one = std::getenv("SEED");
  const char* const many = std::getenv("SEEDS");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  const uint64_t wanted = many != nullptr ? std::strtoull(many, nullptr, 10) : usual;
  const uint64_t count = one != nullptr ? 1 : wanted;
  uint64_t failures = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) failures += !run_seed(seed, body);
  return failures;
}

}  // namespace fixture
