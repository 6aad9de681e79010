// Page-aligned I/O buffers of 4 KiB to 256 KiB from one region that is mapped (and, where
// allowed, locked) at start. Getting and returning a buffer never allocates memory.
//
// A buffer is reference-counted: each operation in flight that uses it holds one reference,
// so it returns to the pool only when the kernel no longer needs it. Whoever finds the pool
// empty waits in line; the line is served first come, first served, so a large request is not
// starved by small ones. One thread uses a pool.
#pragma once

#include <cstdint>
#include <vector>

#include "base/limits.h"
#include "base/list.h"
#include "base/result.h"

namespace blkmirror {

struct Buffer {
  std::byte* data = nullptr;  // aligned to 4096
  uint32_t capacity = 0;      // bytes: a power of two from 4096 to 262144
  uint32_t references = 0;
  class BufferPool* pool = nullptr;
};

// Told once when a buffer of `length` bytes can be had (try_get then succeeds inside ready).
struct BufferWaiter {
  void (*ready)(BufferWaiter& waiter) = nullptr;
  uint32_t length = 0;  // bytes, 1 to limits::kPieceBytes
  ListLink link;
};

class BufferPool {
 public:
  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // Maps `bytes` (a multiple of 256 KiB). Returns ENOMEM when that is not to be had.
  Status init(uint32_t bytes);

  // A buffer of at least `length` bytes (1 to 262144) with one reference, or nullptr when none
  // is free or others already wait in line.
  Buffer* try_get(uint32_t length);
  // Puts the waiter at the end of the line.
  void wait(BufferWaiter& waiter);
  // Leaves the line; whoever stood behind may be served inside this call.
  void cancel(BufferWaiter& waiter);

  // Whoever stands in line is not served any more: the pool goes with a simulated crash.
  void abandon() { serving_ = true; }

  // The buffer in use that begins at `data`; null when there is none.
  Buffer* try_find(const void* data);

  static void reference(Buffer& buffer);
  // The last release returns the buffer and serves the line.
  static void release(Buffer& buffer);

  std::byte* region() const { return region_; }
  uint32_t region_bytes() const { return region_bytes_; }
  uint32_t free_bytes() const { return free_bytes_; }

 private:
  static constexpr uint32_t kOrders = 7;  // 4 KiB << 0 … 4 KiB << 6

  struct FreeBlock {
    ListLink link;
    uint8_t order = 0;
    bool free = false;
  };

  static uint32_t order_for(uint32_t length);
  Buffer* take(uint32_t order);
  void give_back(Buffer& buffer);
  void serve_line();
  bool available(uint32_t order) const;
  void insert_free(uint32_t page, uint32_t order);
  uint32_t page_of(const FreeBlock& block) const;

  std::byte* region_ = nullptr;
  uint32_t region_bytes_ = 0;
  uint32_t free_bytes_ = 0;
  bool serving_ = false;           // or abandoned
  std::vector<FreeBlock> blocks_;  // one for each page; meaningful at a block's first page
  std::vector<Buffer> buffers_;    // one for each page, likewise
  List<FreeBlock, &FreeBlock::link> free_[kOrders];
  List<BufferWaiter, &BufferWaiter::link> line_;
};

}  // namespace blkmirror
