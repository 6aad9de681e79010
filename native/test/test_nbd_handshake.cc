// The fixed newstyle handshake as transcripts, and the judgement of requests as a table.

#include <cerrno>
#include <string>
#include <vector>

#include "base/endian.h"
#include "base/limits.h"
#include "check.h"
#include "nbd/handshake.h"
#include "nbd/validate.h"

using namespace blkmirror;
using namespace blkmirror::nbd;

namespace {

std::string be16(uint16_t v) {
  char b[2];
  store_be16(b, v);
  return {b, 2};
}
std::string be32(uint32_t v) {
  char b[4];
  store_be32(b, v);
  return {b, 4};
}
std::string be64(uint64_t v) {
  char b[8];
  store_be64(b, v);
  return {b, 8};
}

std::string option(uint32_t number, const std::string& data) {
  return "IHAVEOPT" + be32(number) + be32(static_cast<uint32_t>(data.size())) + data;
}

std::string info_data(const std::string& name, const std::vector<uint16_t>& wanted) {
  std::string data =
      be32(static_cast<uint32_t>(name.size())) + name + be16(static_cast<uint16_t>(wanted.size()));
  for (const uint16_t info : wanted) data += be16(info);
  return data;
}

std::string reply(uint32_t number, uint32_t type, const std::string& data = "") {
  return be64(0x3e889045565a9) + be32(number) + be32(type) +
         be32(static_cast<uint32_t>(data.size())) + data;
}

constexpr uint64_t kSize = 64u << 20;
constexpr uint16_t kFlags = 0x096d;  // flags, flush, FUA, trim, write zeroes, multi-conn, fast zero

std::string export_info() { return be16(0) + be64(kSize) + be16(kFlags); }
std::string block_info() { return be16(3) + be32(512) + be32(4096) + be32(32 << 20); }

Export sample() {
  Export exported;
  exported.name = "r0";
  exported.size_bytes = kSize;
  return exported;
}

// Feeds the input `chunk` bytes at a time; appends "#T", "#C" for the end of the handshake.
std::string converse(const std::string& input, size_t chunk = 1u << 20) {
  const Export exported = sample();
  Handshake handshake(exported);
  std::string output;
  const auto take = [&] {
    const auto bytes = handshake.output();
    output.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    handshake.clear_output();
  };
  take();
  size_t begin = 0;
  size_t end = 0;
  while (true) {
    const auto step =
        handshake.step({reinterpret_cast<const std::byte*>(input.data()) + begin, end - begin});
    begin += step.consumed;
    take();
    if (step.next == Handshake::Next::kTransmission) return output + "#T";
    if (step.next == Handshake::Next::kClose) return output + "#C";
    if (step.next == Handshake::Next::kAgain) continue;
    if (end == input.size()) return output;
    end = std::min(input.size(), end + chunk);
  }
}

const std::string kGreeting = "NBDMAGICIHAVEOPT" + be16(3);

RequestHeader request(Command command, uint64_t offset, uint32_t length, uint16_t flags = 0) {
  return {command, flags, 1, offset, length};
}

}  // namespace

TEST(nbd_handshake_go_with_everything) {
  const std::string input = be32(3) + option(7, info_data("r0", {1, 2, 3, 99}));
  const std::string expected = kGreeting + reply(7, 3, export_info()) +
                               reply(7, 3, be16(1) + "r0") +
                               reply(7, 3, be16(2) + "replicated block device") +
                               reply(7, 3, block_info()) + reply(7, 1) + "#T";
  CHECK(converse(input) == expected);
  CHECK(converse(input, 1) == expected);
}

TEST(nbd_handshake_info_list_abort) {
  const std::string input =
      be32(1) + option(6, info_data("", {})) + option(3, "") + option(3, "x") + option(2, "");
  const std::string expected = kGreeting + reply(6, 3, export_info()) + reply(6, 3, block_info()) +
                               reply(6, 1) + reply(3, 2, be32(2) + "r0") + reply(3, 1) +
                               reply(3, 0x80000003) + reply(2, 1) + "#C";
  CHECK(converse(input, 3) == expected);
}

TEST(nbd_handshake_export_name) {
  const std::string answer = kGreeting + be64(kSize) + be16(kFlags);
  CHECK(converse(be32(3) + option(1, "r0")) == answer + "#T");
  CHECK(converse(be32(1) + option(1, "")) == answer + std::string(124, '\0') + "#T");
  CHECK(converse(be32(3) + option(1, "other")) == kGreeting + "#C");
  CHECK(converse(be32(3) + option(1, std::string(9000, 'x'))) == kGreeting + "#C");
}

TEST(nbd_handshake_refuses_politely_and_goes_on) {
  const std::string long_data(20'000, 'x');
  const std::string input = be32(3) + option(5, "") + option(8, "") + option(10, "abc") +
                            option(7, long_data) + option(7, info_data("other", {})) +
                            option(7, "short") + option(7, be32(100) + "r0" + be16(0)) +
                            option(7, be32(2) + "r0" + be16(2) + be16(3)) + option(2, "");
  const std::string expected = kGreeting + reply(5, 0x80000001) + reply(8, 0x80000001) +
                               reply(10, 0x80000001) + reply(7, 0x80000009) + reply(7, 0x80000006) +
                               reply(7, 0x80000003) + reply(7, 0x80000003) + reply(7, 0x80000003) +
                               reply(2, 1) + "#C";
  CHECK(converse(input) == expected);
  CHECK(converse(input, 7) == expected);
}

TEST(nbd_handshake_hangs_up_on_nonsense) {
  CHECK(converse(be32(4)) == kGreeting + "#C");
  CHECK(converse(be32(3) + "GET / HTTP/1.1\r\n\r\n") == kGreeting + "#C");
}

TEST(nbd_validate_table) {
  const Export exported = sample();
  Export slow = exported;
  Export fast = exported;
  fast.fast_zero = true;
  Export large = exported;
  large.minimum_block = 4096;
  const struct {
    const Export* exported;
    RequestHeader request;
    int error;
    bool hang_up;
  } table[] = {
      {&exported, request(Command::kRead, 0, 512), 0, false},
      {&exported, request(Command::kRead, 0, 32 << 20), 0, false},
      {&exported, request(Command::kRead, 0, (32 << 20) + 512), EINVAL, false},
      {&exported, request(Command::kRead, kSize - 512, 512, kFlagFua), 0, false},
      {&exported, request(Command::kRead, kSize - 512, 1024), EINVAL, false},
      {&exported, request(Command::kRead, UINT64_MAX - 511, 512), EINVAL, false},
      {&exported, request(Command::kRead, 0, 0), 0, false},
      {&exported, request(Command::kRead, 0, 512, kFlagNoHole), EINVAL, false},
      {&exported, request(Command::kRead, 0, 512, 1 << 2), EINVAL, false},
      {&exported, request(Command::kRead, 256, 512), EINVAL, false},
      {&exported, request(Command::kRead, 0, 513), EINVAL, false},
      {&large, request(Command::kRead, 512, 4096), EINVAL, false},
      {&large, request(Command::kRead, 4096, 4096), 0, false},
      {&exported, request(Command::kWrite, kSize, 512), ENOSPC, false},
      {&exported, request(Command::kWrite, 0, 512, kFlagFua), 0, false},
      {&exported, request(Command::kWrite, 0, 512, kFlagFastZero), EINVAL, false},
      {&exported, request(Command::kWrite, 1, 512), EINVAL, false},
      {&exported, request(Command::kWrite, 0, (32 << 20) + 512), EINVAL, false},
      {&exported, request(Command::kWrite, 0, 0xffffffff), EINVAL, true},
      {&exported, request(Command::kTrim, kSize - 512, 1024), EINVAL, false},
      {&exported, request(Command::kTrim, 0, 48 << 20), 0, false},
      {&exported, request(Command::kTrim, 0, 512, kFlagNoHole), EINVAL, false},
      {&exported, request(Command::kWriteZeroes, kSize, 512), ENOSPC, false},
      {&exported, request(Command::kWriteZeroes, 0, kSize, kFlagNoHole | kFlagFua), 0, false},
      {&slow, request(Command::kWriteZeroes, 0, 512, kFlagFastZero), EOPNOTSUPP, false},
      {&fast, request(Command::kWriteZeroes, 0, 512, kFlagFastZero), 0, false},
      {&exported, request(Command::kFlush, 0, 0), 0, false},
      {&exported, request(Command::kFlush, 0, 512), EINVAL, false},
      {&exported, request(Command::kFlush, 512, 0), EINVAL, false},
      {&exported, request(Command{5}, 0, 512), EINVAL, false},
      {&exported, request(Command{7}, 0, 512), EINVAL, false},
      {&exported, request(Command{0xffff}, 0, 0), EINVAL, false},
      {&exported, request(Command::kDisconnect, 7, 7, 0xffff), 0, false},
  };
  for (const auto& row : table) {
    const Verdict verdict = validate(row.request, *row.exported);
    CHECK_EQ(verdict.error, row.error);
    CHECK_EQ(verdict.hang_up, row.hang_up);
    const bool write = row.request.command == Command::kWrite;
    CHECK_EQ(verdict.payload, write ? row.request.length : 0);
  }
}

TEST(nbd_errors_on_the_wire) {
  CHECK_EQ(to_wire(0), WireError::kNone);
  CHECK_EQ(to_wire(EPERM), WireError::kPermission);
  CHECK_EQ(to_wire(EROFS), WireError::kPermission);
  CHECK_EQ(to_wire(EIO), WireError::kIo);
  CHECK_EQ(to_wire(ENOMEM), WireError::kNoMemory);
  CHECK_EQ(to_wire(EINVAL), WireError::kInvalid);
  CHECK_EQ(to_wire(EDQUOT), WireError::kNoSpace);
  CHECK_EQ(to_wire(ENOSPC), WireError::kNoSpace);
  CHECK_EQ(to_wire(EOPNOTSUPP), WireError::kNotSupported);
  CHECK_EQ(to_wire(ESHUTDOWN), WireError::kShutdown);
  CHECK_EQ(to_wire(ENOTCONN), WireError::kIo);
}
