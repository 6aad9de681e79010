// Digests: known answers, so that two versions and two machines agree, and the seed.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "base/digest.h"
#include "check.h"

using namespace blkmirror;

namespace {

std::vector<std::byte> counting(size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (size_t at = 0; at < bytes; ++at) made[at] = std::byte(at * 7 % 251);
  return made;
}

std::string hex(const Digest& digest) {
  std::string text;
  for (const std::byte byte : digest) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", std::to_integer<unsigned>(byte));
    text += two;
  }
  return text;
}

}  // namespace

TEST(digest_is_the_same_on_every_machine) {
  const auto block = counting(4096);
  CHECK_EQ(hex(digest_of(0, block.data(), 4096)), "dec463517b2529a15d9027c84d5f33f7");
  const Digest seeded = digest_of(0x1234567890abcdef, block.data(), 512);
  CHECK_EQ(hex(seeded), "84de60205dd632029ecf9cb27804f68d");
}

TEST(digest_tells_each_changed_bit_and_the_seed) {
  auto block = counting(512);
  const Digest before = digest_of(5, block.data(), block.size());
  for (std::byte& byte : block) {
    byte ^= std::byte{0x10};
    CHECK(digest_of(5, block.data(), block.size()) != before);
    byte ^= std::byte{0x10};
  }
  CHECK(digest_of(5, block.data(), block.size()) == before);
  CHECK(digest_of(6, block.data(), block.size()) != before);
}
