// See reply.h.
#include "nbd/reply.h"

#include "base/assert.h"
#include "base/endian.h"

namespace blkmirror::nbd {

void ReplyBatch::add_simple(uint64_t handle, WireError error) {
  BM_ASSERT(has_room());
  WireSimpleReply& header = headers_[header_count_++];
  header.magic = big_endian(kSimpleReplyMagic);
  header.error = big_endian(static_cast<uint32_t>(error));
  header.handle = handle;
  bytes_ += sizeof header;
  if (part_count_ > 0) {
    iovec& last = parts_[part_count_ - 1];
    if (static_cast<std::byte*>(last.iov_base) + last.iov_len ==
        reinterpret_cast<std::byte*>(&header)) {
      last.iov_len += sizeof header;
      return;
    }
  }
  parts_[part_count_++] = {&header, sizeof header};
}

void ReplyBatch::add_data(const std::byte* data, uint32_t length) {
  BM_ASSERT(part_count_ < kParts);
  BM_ASSERT(length > 0);
  parts_[part_count_++] = {const_cast<std::byte*>(data), length};
  bytes_ += length;
}

void ReplyBatch::clear() {
  header_count_ = 0;
  part_count_ = 0;
  bytes_ = 0;
}

}  // namespace blkmirror::nbd
