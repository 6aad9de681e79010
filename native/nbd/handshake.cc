// See handshake.h.
#include "nbd/handshake.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "base/limits.h"

namespace blkmirror::nbd {

namespace {

constexpr uint32_t kOptionBytes = 8192;  // longer ones are skipped unread
constexpr std::string_view kDescription = "replicated block device";

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The name and the wanted information of NBD_OPT_INFO and NBD_OPT_GO; false when malformed.
struct InfoRequest {
  std::string_view name;
  bool wants_name = false;
  bool wants_description = false;
};

bool parse_info(std::span<const std::byte> data, InfoRequest& request) {
  if (data.size() < 6) return false;
  const uint32_t name_bytes = load_be32(data.data());
  if (name_bytes > data.size() - 6) return false;
  request.name = text(data.subspan(4, name_bytes));
  const auto wanted = data.subspan(4 + name_bytes);
  const uint16_t count = load_be16(wanted.data());
  if (wanted.size() != 2 + 2 * size_t{count}) return false;
  for (size_t i = 0; i < count; i++) {
    const Info info{load_be16(wanted.data() + 2 + 2 * i)};
    request.wants_name |= info == Info::kName;
    request.wants_description |= info == Info::kDescription;
  }
  return true;
}

}  // namespace

// Every server may advertise FAST_ZERO; requests that would not be fast are answered ENOTSUP.
uint16_t transmission_flags() {
  return kHasFlags | kSendFlush | kSendFua | kSendTrim | kSendWriteZeroes | kCanMultiConn |
         kSendFastZero;
}

Handshake::Handshake(const Export& exported) : exported_(exported) {
  BM_ASSERT(exported.name.size() <= kNameBytes);
  WireGreeting greeting;
  greeting.init_magic = big_endian(kInitMagic);
  greeting.option_magic = big_endian(kOptionMagic);
  greeting.flags = big_endian(uint16_t{kFixedNewstyle | kNoZeroes});
  put(&greeting, sizeof greeting);
}

Handshake::Step Handshake::step(std::span<const std::byte> input) {
  BM_ASSERT(output_bytes_ == 0);
  switch (state_) {
    case State::kClientFlags:
      return client_flags(input);
    case State::kOption:
      return option(input);
    case State::kSkip:
      return skip(input);
  }
  BM_ASSERT(false);
}

Handshake::Step Handshake::client_flags(std::span<const std::byte> input) {
  if (input.size() < 4) return {0, Next::kInput};
  const uint32_t flags = load_be32(input.data());
  constexpr uint32_t kKnown = kFixedNewstyle | kNoZeroes;
  if ((flags & ~kKnown) != 0) return {4, Next::kClose};
  no_zeroes_ = (flags & kNoZeroes) != 0;
  state_ = State::kOption;
  return {4, Next::kAgain};
}

Handshake::Step Handshake::option(std::span<const std::byte> input) {
  BM_ASSERT(skip_bytes_ == 0);
  WireOption wire;
  if (input.size() < sizeof wire) return {0, Next::kInput};
  std::memcpy(&wire, input.data(), sizeof wire);
  if (big_endian(uint64_t{wire.magic}) != kOptionMagic) return {0, Next::kClose};
  const uint32_t option = big_endian(uint32_t{wire.option});
  const uint32_t length = big_endian(uint32_t{wire.length});
  if (length > kOptionBytes) {
    if (Option{option} == Option::kExportName) return {sizeof wire, Next::kClose};
    skip_bytes_ = length;
    state_ = State::kSkip;
    reply(option, OptionReply::kTooBig);
    return {sizeof wire, Next::kAgain};
  }
  if (input.size() < sizeof wire + length) return {0, Next::kInput};
  return {sizeof wire + length, answer(option, input.subspan(sizeof wire, length))};
}

Handshake::Step Handshake::skip(std::span<const std::byte> input) {
  BM_ASSERT(skip_bytes_ > 0);
  const auto part = static_cast<uint32_t>(std::min<size_t>(input.size(), skip_bytes_));
  skip_bytes_ -= part;
  if (skip_bytes_ > 0) return {part, Next::kInput};
  state_ = State::kOption;
  return {part, Next::kAgain};
}

Handshake::Next Handshake::answer(uint32_t option, std::span<const std::byte> data) {
  BM_ASSERT(state_ == State::kOption);
  BM_ASSERT(data.size() <= kOptionBytes);
  switch (Option{option}) {
    case Option::kExportName:
      return export_name(text(data));
    case Option::kAbort:
      reply(option, OptionReply::kAck);
      return Next::kClose;
    case Option::kList:
      return list(data);
    case Option::kInfo:
    case Option::kGo:
      return info(option, data);
  }
  reply(option, OptionReply::kUnsupported);
  return Next::kAgain;
}

// The only refusal that this option knows is to hang up.
Handshake::Next Handshake::export_name(std::string_view name) {
  if (!is_ours(name)) return Next::kClose;
  WireExport wire;
  wire.size_bytes = big_endian(exported_.size_bytes);
  wire.flags = big_endian(transmission_flags());
  put(&wire, sizeof wire);
  constexpr std::array<std::byte, kExportZeroes> kZeroes{};
  if (!no_zeroes_) put(kZeroes.data(), kZeroes.size());
  return Next::kTransmission;
}

Handshake::Next Handshake::list(std::span<const std::byte> data) {
  const auto option = static_cast<uint32_t>(Option::kList);
  if (!data.empty()) {
    reply(option, OptionReply::kInvalid);
    return Next::kAgain;
  }
  const std::string_view name = exported_.name;
  std::array<std::byte, 4 + kNameBytes> entry;
  store_be32(entry.data(), static_cast<uint32_t>(name.size()));
  std::memcpy(entry.data() + 4, name.data(), name.size());
  reply(option, OptionReply::kServer, entry.data(), 4 + name.size());
  reply(option, OptionReply::kAck);
  return Next::kAgain;
}

// The block size is told even to clients that did not ask: requests below it will be refused.
Handshake::Next Handshake::info(uint32_t option, std::span<const std::byte> data) {
  InfoRequest request;
  if (!parse_info(data, request)) {
    reply(option, OptionReply::kInvalid);
    return Next::kAgain;
  }
  if (!is_ours(request.name)) {
    reply(option, OptionReply::kUnknown);
    return Next::kAgain;
  }
  WireInfoExport size;
  size.info = big_endian(static_cast<uint16_t>(Info::kExport));
  size.size_bytes = big_endian(exported_.size_bytes);
  size.flags = big_endian(transmission_flags());
  reply(option, OptionReply::kInfo, &size, sizeof size);
  if (request.wants_name) info_text(option, Info::kName, exported_.name);
  if (request.wants_description) info_text(option, Info::kDescription, kDescription);
  WireInfoBlockSize block;
  block.info = big_endian(static_cast<uint16_t>(Info::kBlockSize));
  block.minimum = big_endian(exported_.minimum_block);
  block.preferred = big_endian(exported_.preferred_block);
  block.maximum = big_endian(limits::kRequestBytes);
  reply(option, OptionReply::kInfo, &block, sizeof block);
  reply(option, OptionReply::kAck);
  return Option{option} == Option::kGo ? Next::kTransmission : Next::kAgain;
}

void Handshake::info_text(uint32_t option, Info kind, std::string_view text) {
  BM_ASSERT(text.size() <= kNameBytes);
  std::array<std::byte, 2 + kNameBytes> data;
  store_be16(data.data(), static_cast<uint16_t>(kind));
  std::memcpy(data.data() + 2, text.data(), text.size());
  reply(option, OptionReply::kInfo, data.data(), 2 + text.size());
}

void Handshake::reply(uint32_t option, OptionReply type, const void* data, size_t bytes) {
  WireOptionReply wire;
  wire.magic = big_endian(kOptionReplyMagic);
  wire.option = big_endian(option);
  wire.type = big_endian(static_cast<uint32_t>(type));
  wire.length = big_endian(static_cast<uint32_t>(bytes));
  put(&wire, sizeof wire);
  if (bytes > 0) put(data, bytes);
}

void Handshake::put(const void* data, size_t bytes) {
  BM_ASSERT(data != nullptr);
  BM_ASSERT(bytes <= output_.size() - output_bytes_);
  std::memcpy(output_.data() + output_bytes_, data, bytes);
  output_bytes_ += bytes;
}

bool Handshake::is_ours(std::string_view name) const {
  return name.empty() || name == exported_.name;
}

}  // namespace blkmirror::nbd
