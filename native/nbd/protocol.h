// The NBD protocol on the wire: constants and structures, all integers big-endian.
//
// Source: github.com/NetworkBlockDevice/nbd, doc/proto.md. What is not served (structured
// replies, TLS, metadata contexts) is not listed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace blkmirror::nbd {

// Handshake.
inline constexpr uint64_t kInitMagic = 0x4e42444d41474943;    // "NBDMAGIC"
inline constexpr uint64_t kOptionMagic = 0x49484156454f5054;  // "IHAVEOPT"
inline constexpr uint64_t kOptionReplyMagic = 0x0003e889045565a9;
inline constexpr uint16_t kFixedNewstyle = 1;  // handshake and client flags
inline constexpr uint16_t kNoZeroes = 2;

enum class Option : uint32_t { kExportName = 1, kAbort = 2, kList = 3, kInfo = 6, kGo = 7 };

enum class OptionReply : uint32_t {
  kAck = 1,
  kServer = 2,
  kInfo = 3,
  kUnsupported = 0x80000001,
  kInvalid = 0x80000003,
  kUnknown = 0x80000006,
  kTooBig = 0x80000009,
};

enum class Info : uint16_t { kExport = 0, kName = 1, kDescription = 2, kBlockSize = 3 };

// Transmission flags.
inline constexpr uint16_t kHasFlags = 1 << 0;
inline constexpr uint16_t kSendFlush = 1 << 2;
inline constexpr uint16_t kSendFua = 1 << 3;
inline constexpr uint16_t kSendTrim = 1 << 5;
inline constexpr uint16_t kSendWriteZeroes = 1 << 6;
inline constexpr uint16_t kCanMultiConn = 1 << 8;
inline constexpr uint16_t kSendFastZero = 1 << 11;

// Transmission.
inline constexpr uint32_t kRequestMagic = 0x25609513;
inline constexpr uint32_t kSimpleReplyMagic = 0x67446698;

enum class Command : uint16_t {
  kRead = 0,
  kWrite = 1,
  kDisconnect = 2,
  kFlush = 3,
  kTrim = 4,
  kWriteZeroes = 6,
};

inline constexpr uint16_t kFlagFua = 1 << 0;
inline constexpr uint16_t kFlagNoHole = 1 << 1;
inline constexpr uint16_t kFlagFastZero = 1 << 4;

// Errors in replies.
enum class WireError : uint32_t {
  kNone = 0,
  kPermission = 1,
  kIo = 5,
  kNoMemory = 12,
  kInvalid = 22,
  kNoSpace = 28,
  kOverflow = 75,
  kNotSupported = 95,
  kShutdown = 108,
};

struct [[gnu::packed]] WireGreeting {
  uint64_t init_magic;
  uint64_t option_magic;
  uint16_t flags;
};
static_assert(sizeof(WireGreeting) == 18);

struct [[gnu::packed]] WireOption {
  uint64_t magic;
  uint32_t option;
  uint32_t length;
};
static_assert(sizeof(WireOption) == 16);

struct [[gnu::packed]] WireOptionReply {
  uint64_t magic;
  uint32_t option;
  uint32_t type;
  uint32_t length;
};
static_assert(sizeof(WireOptionReply) == 20);

struct [[gnu::packed]] WireExport {  // the answer to kExportName; then 124 zeroes or none
  uint64_t size_bytes;
  uint16_t flags;
};
static_assert(sizeof(WireExport) == 10);
inline constexpr size_t kExportZeroes = 124;

struct [[gnu::packed]] WireInfoExport {
  uint16_t info;
  uint64_t size_bytes;
  uint16_t flags;
};
static_assert(sizeof(WireInfoExport) == 12);

struct [[gnu::packed]] WireInfoBlockSize {
  uint16_t info;
  uint32_t minimum;
  uint32_t preferred;
  uint32_t maximum;
};
static_assert(sizeof(WireInfoBlockSize) == 14);

struct [[gnu::packed]] WireRequest {
  uint32_t magic;
  uint16_t flags;
  uint16_t type;
  uint64_t handle;
  uint64_t offset;
  uint32_t length;
};
static_assert(sizeof(WireRequest) == 28);
static_assert(offsetof(WireRequest, handle) == 8);
static_assert(offsetof(WireRequest, length) == 24);

struct [[gnu::packed]] WireSimpleReply {
  uint32_t magic;
  uint32_t error;
  uint64_t handle;
};
static_assert(sizeof(WireSimpleReply) == 16);

}  // namespace blkmirror::nbd
