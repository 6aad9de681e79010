// The frame header of the replication stream: 32 bytes, big-endian, guarded by a CRC32C.
//
//   0 magic 16, 2 type 8, 3 reserved 8, 4 flags 16, 6 volume 16, 8 payload bytes 32,
//   12 sequence 64, 20 offset 64, 28 header CRC32C 32 (over bytes 0 to 27)
//
// Golden bytes in test/wire fix the format. A frame that does not pass decode() closes its
// connection with ProtocolError. Used by peer/link and by the lobby that reads first frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace blkmirror::peer {

inline constexpr uint16_t kFrameMagic = 0xb1c5;
inline constexpr size_t kFrameHeaderBytes = 32;

enum class FrameType : uint8_t {
  kControl = 1,         // payload: JSON
  kData = 2,            // sequence, offset; payload: the bytes to write
  kZeroes = 3,          // sequence, offset; payload: length 32, reserved 32
  kFlush = 4,           // sequence
  kWritten = 5,         // payload: sequences (64 each) of Data, Zeroes, Flush, NewUuid done
  kPing = 6,            // sequence: any
  kPong = 7,            // sequence: the ping's
  kNewUuid = 8,         // sequence; offset: the new currentUuid; payload: names of the nodes
                        // that miss writes from here on, 64 bytes each, padded with zeroes
  kBitmapPage = 9,      // offset: page index; payload: state 8, reserved 56, then bits if partial
  kBitmapEnd = 10,      // sequence: number of pages sent; offset: the sender's currentUuid
  kBitmapDurable = 11,  // the merged bitmap is durable here
  kResyncRequest = 12,  // sequence, offset; payload: length 32, reserved 32
  kResyncData = 13,     // sequence and offset of the request; payload: the bytes
  kResyncWritten = 14,  // sequence of the request
  kResyncBusy = 15,     // sequence: not written (or not readable), ask again later
  kCheckpoint = 16,     // the target's flush and bitmap are durable; sequence: its number
  kResyncDone = 17,     // the target's superblock is durable; offset: its currentUuid now
  kReadRequest = 18,    // sequence, offset; payload: length 32, reserved 32
  kReadData = 19,       // sequence of the request; payload: the bytes
  kReadFailed = 20,     // sequence of the request; payload: errno 32, reserved 32
  kReceived = 21,       // protocol B; payload: sequences (64 each) of Data, Zeroes, Flush received
  kResyncSum = 22,      // sequence, offset of the request; payload: seed 64, digest 128
  kResyncWanted = 23,   // sequence of the request: what is here differs, send the bytes
};
inline constexpr uint8_t kLastFrameType = 23;
inline constexpr uint32_t kNameBytes = 64;

// On Data, Zeroes and Flush: a write was acknowledged since the previous one of these.
inline constexpr uint16_t kFlagEpoch = 1;
inline constexpr uint16_t kFlagDurable = 2;   // FUA
inline constexpr uint16_t kFlagMayUnmap = 4;  // Zeroes: space may be freed
// Data, Zeroes: the sender has no backing disk and lacks this write.
inline constexpr uint16_t kFlagDiskless = 8;
// ResyncRequest: a digest first, and the bytes only when they are wanted.
inline constexpr uint16_t kFlagCompare = 16;
inline constexpr uint16_t kKnownFlags = 31;

struct FrameHeader {
  FrameType type = FrameType::kControl;
  uint16_t flags = 0;
  uint16_t volume = 0;
  uint32_t payload_bytes = 0;
  uint64_t sequence = 0;
  uint64_t offset = 0;  // bytes, except where the type says otherwise
};

void encode(const FrameHeader& header, std::span<std::byte, kFrameHeaderBytes> bytes);

// EPROTO for a wrong magic, CRC, type, flag, reserved bit, volume, or a payload length that the
// type does not allow.
Result<FrameHeader> decode(std::span<const std::byte, kFrameHeaderBytes> bytes);

// Whether a control frame can carry it, by its length.
bool is_control_text(const std::string& text);
// A whole Control frame; is_control_text() holds.
std::string control_frame(const std::string& text);

// Frames whose payload goes to an aligned buffer of its own.
bool is_bulk(FrameType type);

}  // namespace blkmirror::peer
