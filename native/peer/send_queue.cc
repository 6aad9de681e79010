// See send_queue.h.
#include "peer/send_queue.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace blkmirror::peer {

SendQueue::SendQueue() : ring_(kRingBytes), segments_(kSegments), parts_(kPartsPerSend) {}

uint32_t SendQueue::space() const {
  const uint32_t used = static_cast<uint32_t>(ring_tail_ - ring_head_);
  const uint32_t segments = segment_tail_ - segment_head_;
  // A frame takes at most four segments (two when the ring wraps, one payload, one spare).
  if (segments + 4 > kSegments) return 0;
  return kRingBytes - used;
}

void SendQueue::append(const void* data, uint32_t length) {
  BM_ASSERT(length <= kRingBytes - (ring_tail_ - ring_head_));
  const auto* from = static_cast<const std::byte*>(data);
  pushed_bytes_ += length;
  while (length > 0) {
    const uint32_t position = static_cast<uint32_t>(ring_tail_ % kRingBytes);
    const uint32_t part = std::min(length, kRingBytes - position);
    std::memcpy(ring_.get() + position, from, part);
    Segment* last = segment_tail_ != segment_gathered_ ? &segment(segment_tail_ - 1) : nullptr;
    const bool joins =
        last != nullptr && last->buffer == nullptr && last->position + last->length == position;
    if (joins) {
      last->length += part;
    } else {
      BM_ASSERT(segment_tail_ - segment_head_ < kSegments);
      segment(segment_tail_) = Segment{position, part, nullptr};
      segment_tail_ += 1;
    }
    ring_tail_ += part;
    from += part;
    length -= part;
  }
}

void SendQueue::push(const FrameHeader& header, std::span<const std::byte> payload) {
  BM_ASSERT(header.payload_bytes == payload.size());
  BM_ASSERT(space() >= kFrameHeaderBytes + payload.size());
  std::byte bytes[kFrameHeaderBytes];
  encode(header, bytes);
  append(bytes, kFrameHeaderBytes);
  append(payload.data(), static_cast<uint32_t>(payload.size()));
}

void SendQueue::push_bulk(const FrameHeader& header, Buffer& buffer) {
  BM_ASSERT(is_bulk(header.type));
  BM_ASSERT(header.payload_bytes <= buffer.capacity);
  BM_ASSERT(space() >= kFrameHeaderBytes);
  std::byte bytes[kFrameHeaderBytes];
  encode(header, bytes);
  append(bytes, kFrameHeaderBytes);
  BufferPool::reference(buffer);
  segment(segment_tail_) = Segment{0, header.payload_bytes, &buffer};
  segment_tail_ += 1;
  pushed_bytes_ += header.payload_bytes;
}

uint32_t SendQueue::gather() {
  BM_ASSERT(segment_gathered_ == segment_head_);
  uint32_t count = 0;
  uint32_t bytes = 0;
  while (segment_gathered_ != segment_tail_ && count < kPartsPerSend && bytes < kBytesPerSend) {
    const Segment& next = segment(segment_gathered_);
    std::byte* data = next.buffer != nullptr ? next.buffer->data : ring_.get() + next.position;
    parts_[count] = iovec{data, next.length};
    bytes += next.length;
    count += 1;
    segment_gathered_ += 1;
  }
  return count;
}

void SendQueue::complete() {
  while (segment_head_ != segment_gathered_) {
    Segment& done = segment(segment_head_);
    sent_bytes_ += done.length;
    if (done.buffer != nullptr) {
      BufferPool::release(*done.buffer);
    } else {
      ring_head_ += done.length;
    }
    done.buffer = nullptr;
    segment_head_ += 1;
  }
  BM_ASSERT(ring_head_ <= ring_tail_);
  BM_ASSERT(sent_bytes_ <= pushed_bytes_);
}

void SendQueue::clear() {
  while (segment_tail_ != segment_gathered_) {
    segment_tail_ -= 1;
    Segment& dropped = segment(segment_tail_);
    pushed_bytes_ -= dropped.length;
    if (dropped.buffer != nullptr) {
      BufferPool::release(*dropped.buffer);
    } else {
      ring_tail_ -= dropped.length;
    }
    dropped.buffer = nullptr;
  }
  BM_ASSERT(ring_head_ <= ring_tail_);
}

}  // namespace blkmirror::peer
