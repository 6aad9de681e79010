// Frames waiting to be sent on one connection, gathered into few large sends.
//
// Headers and small payloads are copied into a byte ring, so neighbours become one part of the
// vector; bulk payloads stay in their pool buffers, each held by a reference until the send that
// carried it has completed. Nothing is allocated after init().
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/buffer_pool.h"
#include "base/locked_array.h"
#include "base/locked_bytes.h"
#include "peer/frame.h"

namespace blkmirror::peer {

class SendQueue {
 public:
  static constexpr uint32_t kRingBytes = 512u << 10;
  static constexpr uint32_t kSegments = 8192;
  static constexpr uint32_t kPartsPerSend = 512;
  static constexpr uint32_t kBytesPerSend = 4u << 20;

  SendQueue();

  // Bytes of headers and small payloads that still fit.
  uint32_t space() const;
  // The frame with its payload copied. space() must allow it.
  void push(const FrameHeader& header, std::span<const std::byte> payload);
  // The frame with a payload of header.payload_bytes in `buffer` at `data`; takes a reference.
  void push_bulk(const FrameHeader& header, Buffer& buffer);

  bool empty() const { return segment_head_ == segment_tail_; }
  // Fills the vector for one send; returns the number of parts. complete() ends it.
  uint32_t gather();
  iovec* parts() { return parts_.get(); }
  // The gathered send has ended: its buffers are released.
  void complete();
  // Drops everything that is not in a gathered send.
  void clear();

  uint64_t sent_bytes() const { return sent_bytes_; }
  // What sent_bytes() will be when all that was pushed is sent.
  uint64_t pushed_bytes() const { return pushed_bytes_; }

 private:
  // Bytes of the ring (buffer == nullptr) or a bulk payload.
  struct Segment {
    uint32_t position;
    uint32_t length;
    Buffer* buffer;
  };

  void append(const void* data, uint32_t length);
  Segment& segment(uint32_t index) { return segments_[index % kSegments]; }

  LockedBytes ring_;
  LockedArray<Segment> segments_;
  LockedArray<iovec> parts_;
  uint64_t ring_head_ = 0;  // first byte not yet sent
  uint64_t ring_tail_ = 0;
  uint32_t segment_head_ = 0;
  uint32_t segment_gathered_ = 0;  // end of the send in flight
  uint32_t segment_tail_ = 0;
  uint64_t sent_bytes_ = 0;
  uint64_t pushed_bytes_ = 0;
};

}  // namespace blkmirror::peer
