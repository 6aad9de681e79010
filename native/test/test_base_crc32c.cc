// CRC32C against published vectors; the instruction and the tables agree; byte order helpers.
#include "base/crc32c.h"

#include <array>
#include <cstring>
#include <vector>

#include "base/endian.h"
#include "check.h"

using namespace blkmirror;

TEST(crc32c_gives_the_published_vectors) {
  // RFC 3720, appendix B.4.
  std::array<uint8_t, 32> bytes{};
  CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283u);
  CHECK_EQ(crc32c(0, bytes.data(), 32), 0x8a9136aau);
  bytes.fill(0xff);
  CHECK_EQ(crc32c(0, bytes.data(), 32), 0x62a8ab43u);
  for (uint8_t i = 0; i < 32; ++i) bytes[i] = i;
  CHECK_EQ(crc32c(0, bytes.data(), 32), 0x46dd794eu);
  for (uint8_t i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>(31 - i);
  CHECK_EQ(crc32c(0, bytes.data(), 32), 0x113fdb5cu);
  CHECK_EQ(crc32c(0, nullptr, 0), 0u);
}

TEST(crc32c_instruction_and_tables_agree_at_any_length_and_alignment) {
  std::vector<uint8_t> bytes(300);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 167 + 13);
  for (size_t start = 0; start < 9; ++start) {
    for (size_t length = 0; length + start <= bytes.size(); ++length) {
      const uint32_t soft = crc32c_software(7, &bytes[start], length);
      CHECK_EQ(crc32c_hardware(7, &bytes[start], length), soft);
    }
  }
}

TEST(crc32c_continues_where_another_ended) {
  const char text[] = "what was written is still there";
  const uint32_t whole = crc32c(5, text, sizeof text);
  for (size_t cut = 0; cut <= sizeof text; ++cut) {
    CHECK_EQ(crc32c(crc32c(5, text, cut), text + cut, sizeof text - cut), whole);
    CHECK_EQ(crc32c_software(crc32c_software(5, text, cut), text + cut, sizeof text - cut), whole);
  }
}

TEST(endian_stores_the_stated_order) {
  uint8_t bytes[9] = {};
  store_be16(bytes + 1, 0x0102);
  CHECK_EQ(std::memcmp(bytes, "\0\1\2", 3), 0);
  store_be32(bytes + 1, 0x01020304);
  CHECK_EQ(std::memcmp(bytes, "\0\1\2\3\4", 5), 0);
  store_be64(bytes + 1, 0x0102030405060708);
  CHECK_EQ(std::memcmp(bytes, "\0\1\2\3\4\5\6\7\10", 9), 0);
  CHECK_EQ(load_be16(bytes + 1), 0x0102);
  CHECK_EQ(load_be32(bytes + 1), 0x01020304u);
  CHECK_EQ(load_be64(bytes + 1), 0x0102030405060708u);
  CHECK_EQ(load_le64(bytes + 1), 0x0807060504030201u);
  store_le64(bytes, 0x0807060504030201);
  CHECK_EQ(load_be64(bytes), 0x0102030405060708u);
}
