// See validate.h.
#include "nbd/validate.h"

#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "base/limits.h"

namespace blkmirror::nbd {

namespace {

// A refused write's data is skipped up to this length; a longer one is an attack or nonsense.
constexpr uint32_t kSkipBytes = 2 * limits::kRequestBytes;

bool is_known(Command command) {
  switch (command) {
    case Command::kRead:
    case Command::kWrite:
    case Command::kDisconnect:
    case Command::kFlush:
    case Command::kTrim:
    case Command::kWriteZeroes:
      return true;
  }
  return false;
}

// The protocol allows FUA with every command.
uint16_t allowed_flags(Command command) {
  if (command != Command::kWriteZeroes) return kFlagFua;
  return kFlagFua | kFlagNoHole | kFlagFastZero;
}

int check_range(const RequestHeader& request, const Export& exported) {
  BM_ASSERT(exported.minimum_block >= 512);
  BM_ASSERT((exported.minimum_block & (exported.minimum_block - 1)) == 0);
  const bool transfers = request.command == Command::kRead || request.command == Command::kWrite;
  if (transfers && request.length > limits::kRequestBytes) return EINVAL;
  const bool beyond =
      request.offset > exported.size_bytes || request.length > exported.size_bytes - request.offset;
  if (beyond) {
    const bool writes =
        request.command == Command::kWrite || request.command == Command::kWriteZeroes;
    return writes ? ENOSPC : EINVAL;
  }
  const uint64_t mask = exported.minimum_block - 1;
  return ((request.offset | request.length) & mask) != 0 ? EINVAL : 0;
}

int check(const RequestHeader& request, const Export& exported) {
  if (!is_known(request.command)) return EINVAL;
  if (request.command == Command::kDisconnect) return 0;
  if ((request.flags & ~allowed_flags(request.command)) != 0) return EINVAL;
  if (request.command == Command::kFlush) {
    return request.offset != 0 || request.length != 0 ? EINVAL : 0;
  }
  if (const int error = check_range(request, exported); error != 0) return error;
  const bool fast = (request.flags & kFlagFastZero) != 0;
  return fast && !exported.fast_zero ? EOPNOTSUPP : 0;
}

}  // namespace

bool decode_request(const std::byte* from, RequestHeader& header) {
  BM_ASSERT(from != nullptr);
  WireRequest wire;
  std::memcpy(&wire, from, sizeof wire);
  header.command = Command{big_endian(uint16_t{wire.type})};
  header.flags = big_endian(uint16_t{wire.flags});
  header.handle = wire.handle;
  header.offset = big_endian(uint64_t{wire.offset});
  header.length = big_endian(uint32_t{wire.length});
  return big_endian(uint32_t{wire.magic}) == kRequestMagic;
}

Verdict validate(const RequestHeader& request, const Export& exported) {
  Verdict verdict;
  verdict.error = check(request, exported);
  if (request.command == Command::kWrite) verdict.payload = request.length;
  verdict.hang_up = verdict.error != 0 && verdict.payload > kSkipBytes;
  BM_ASSERT(verdict.error != 0 || verdict.payload <= limits::kRequestBytes);
  return verdict;
}

WireError to_wire(int error) {
  BM_ASSERT(error >= 0);
  switch (error) {
    case 0:
      return WireError::kNone;
    case EPERM:
    case EROFS:
      return WireError::kPermission;
    case ENOMEM:
      return WireError::kNoMemory;
    case EINVAL:
      return WireError::kInvalid;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return WireError::kNoSpace;
    case EOVERFLOW:
      return WireError::kOverflow;
    case EOPNOTSUPP:
      return WireError::kNotSupported;
    case ESHUTDOWN:
      return WireError::kShutdown;
    default:
      return WireError::kIo;
  }
}

}  // namespace blkmirror::nbd
