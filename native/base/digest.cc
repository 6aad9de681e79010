// See digest.h.
#include "base/digest.h"

#include <cstring>

#include "base/assert.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace blkmirror {

Digest digest_of(uint64_t seed, const void* data, size_t bytes) {
  BM_ASSERT(data != nullptr);
  BM_ASSERT(bytes > 0);
  const XXH128_hash_t hash = XXH3_128bits_withSeed(data, bytes, seed);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  static_assert(sizeof canonical.digest == kDigestBytes);
  Digest digest;
  std::memcpy(digest.data(), canonical.digest, kDigestBytes);
  return digest;
}

}  // namespace blkmirror
