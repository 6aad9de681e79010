// A digest of 128 bits that tells whether two copies of a block are the same (XXH3 of the xxHash
// library, whose header is compiled in).
//
// It is no signature: the seed, which clients of the device cannot know, keeps them from writing
// blocks that only look the same.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace blkmirror {

inline constexpr size_t kDigestBytes = 16;

// In the library's canonical byte order, the same on every machine.
using Digest = std::array<std::byte, kDigestBytes>;

Digest digest_of(uint64_t seed, const void* data, size_t bytes);

}  // namespace blkmirror
