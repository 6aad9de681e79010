// The replies that one send carries: headers gathered side by side, data by reference.
//
// Headers of replies without data that follow each other share one part of the vector, so a
// batch of write replies is a single piece of memory. Only simple replies for now; structured
// ones will be further ways to add a header. Used by Session, one for each.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/limits.h"
#include "nbd/protocol.h"

namespace blkmirror::nbd {

class ReplyBatch {
 public:
  // Room for one more header, with the data of one piece.
  bool has_room() const { return header_count_ < kHeaders && has_room_for_data(); }
  bool has_room_for_data() const { return part_count_ + 2 <= kParts && bytes_ < kBytes; }
  bool empty() const { return part_count_ == 0; }
  // handle as received.
  void add_simple(uint64_t handle, WireError error);
  void add_data(const std::byte* data, uint32_t length);
  void clear();

  // To be handed to Io::send, which may modify them.
  iovec* parts() { return parts_.data(); }
  uint32_t part_count() const { return part_count_; }

 private:
  static constexpr uint32_t kHeaders = limits::kRequestsPerClient;
  static constexpr uint32_t kParts = 2 * kHeaders;
  static constexpr uint64_t kBytes = 2u << 20;  // enough to keep a socket busy

  std::array<WireSimpleReply, kHeaders> headers_;
  std::array<iovec, kParts> parts_;
  uint32_t header_count_ = 0;
  uint32_t part_count_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace blkmirror::nbd
