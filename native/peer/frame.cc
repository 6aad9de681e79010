// Coding and checking of frame headers.
#include "peer/frame.h"

#include <array>
#include <cerrno>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/limits.h"

namespace blkmirror::peer {

namespace {

struct PayloadRule {
  uint32_t least;
  uint32_t most;
  uint32_t unit;  // the payload is a multiple of this
};

constexpr uint32_t kBitmapPagePayload = 8 + 3968;

PayloadRule payload_rule(FrameType type) {
  switch (type) {
    case FrameType::kControl:
      return {2, limits::kControlBytes, 1};
    case FrameType::kData:
    case FrameType::kResyncData:
    case FrameType::kReadData:
      return {512, limits::kPieceBytes, 512};
    case FrameType::kZeroes:
    case FrameType::kResyncRequest:
    case FrameType::kReadRequest:
    case FrameType::kReadFailed:
      return {8, 8, 8};
    case FrameType::kResyncSum:
      return {24, 24, 8};
    case FrameType::kWritten:
    case FrameType::kReceived:
      return {8, 8 * limits::kWritesInFlight, 8};
    case FrameType::kBitmapPage:
      return {8, kBitmapPagePayload, 8};
    case FrameType::kNewUuid:
      return {0, kNameBytes * limits::kSlots, kNameBytes};
    case FrameType::kFlush:
    case FrameType::kPing:
    case FrameType::kPong:
    case FrameType::kBitmapEnd:
    case FrameType::kBitmapDurable:
    case FrameType::kResyncWritten:
    case FrameType::kResyncBusy:
    case FrameType::kCheckpoint:
    case FrameType::kResyncDone:
    case FrameType::kResyncWanted:
      return {0, 0, 1};
  }
  return {1, 0, 1};
}

bool payload_fits(const FrameHeader& header) {
  const PayloadRule rule = payload_rule(header.type);
  if (header.payload_bytes < rule.least || header.payload_bytes > rule.most) return false;
  return header.payload_bytes % rule.unit == 0;
}

}  // namespace

bool is_control_text(const std::string& text) {
  const PayloadRule rule = payload_rule(FrameType::kControl);
  return text.size() >= rule.least && text.size() <= rule.most;
}

std::string control_frame(const std::string& text) {
  BM_ASSERT(is_control_text(text));
  FrameHeader header;
  header.payload_bytes = static_cast<uint32_t>(text.size());
  BM_ASSERT(header.type == FrameType::kControl);
  std::array<std::byte, kFrameHeaderBytes> bytes;
  encode(header, bytes);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + text;
}

bool is_bulk(FrameType type) {
  return type == FrameType::kData || type == FrameType::kResyncData || type == FrameType::kReadData;
}

void encode(const FrameHeader& header, std::span<std::byte, kFrameHeaderBytes> bytes) {
  BM_ASSERT(payload_fits(header));
  BM_ASSERT((header.flags & ~kKnownFlags) == 0);
  std::byte* at = bytes.data();
  store_be16(at, kFrameMagic);
  at[2] = static_cast<std::byte>(header.type);
  at[3] = std::byte{0};
  store_be16(at + 4, header.flags);
  store_be16(at + 6, header.volume);
  store_be32(at + 8, header.payload_bytes);
  store_be64(at + 12, header.sequence);
  store_be64(at + 20, header.offset);
  store_be32(at + 28, crc32c(0, at, 28));
}

Result<FrameHeader> decode(std::span<const std::byte, kFrameHeaderBytes> bytes) {
  const std::byte* at = bytes.data();
  if (load_be16(at) != kFrameMagic) return Error{EPROTO, "a frame with a wrong magic number"};
  if (load_be32(at + 28) != crc32c(0, at, 28)) {
    return Error{EPROTO, "a frame header with a wrong checksum"};
  }
  const auto type = std::to_integer<uint8_t>(at[2]);
  if (type == 0 || type > kLastFrameType) return Error{EPROTO, "a frame of an unknown type"};
  FrameHeader header;
  header.type = static_cast<FrameType>(type);
  header.flags = load_be16(at + 4);
  header.volume = load_be16(at + 6);
  header.payload_bytes = load_be32(at + 8);
  header.sequence = load_be64(at + 12);
  header.offset = load_be64(at + 20);
  if (at[3] != std::byte{0}) return Error{EPROTO, "a frame with reserved bits set"};
  if ((header.flags & ~kKnownFlags) != 0) return Error{EPROTO, "a frame with unknown flags"};
  if (header.volume != 0) return Error{EPROTO, "a frame for an unknown volume"};
  if (!payload_fits(header)) return Error{EPROTO, "a frame with an impossible payload length"};
  return header;
}

}  // namespace blkmirror::peer
