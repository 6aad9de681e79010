// A buddy allocator over one mapped region. A block of order n is 4 KiB << n, aligned to its
// size within the region; its buddy is the block whose page number differs in bit n.
//
// Invariants:
// - A page belongs to exactly one block, free (in free_[order]) or taken (references > 0).
// - Two free buddies never exist beside each other: they are joined when the second returns.
// - While somebody waits in line, only the one at its head is given a buffer.
#include "base/buffer_pool.h"

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "base/pages.h"

namespace blkmirror {

namespace {

constexpr uint32_t kLargestBytes = 256u << 10;

uint32_t pages_of(uint32_t order) { return 1u << order; }

}  // namespace

BufferPool::~BufferPool() {
  if (region_ == nullptr) return;
  unmap_pages(region_, region_bytes_);
}

Status BufferPool::init(uint32_t bytes) {
  BM_ASSERT(region_ == nullptr);
  BM_ASSERT(bytes > 0);
  BM_ASSERT(bytes % kLargestBytes == 0);
  region_ = map_pages(bytes);
  if (region_ == nullptr) return Error{ENOMEM, "mapping the buffer pool"};
  region_bytes_ = bytes;
  free_bytes_ = bytes;
  const uint32_t pages = bytes / limits::kPageBytes;
  blocks_ = std::vector<FreeBlock>(pages);
  buffers_ = std::vector<Buffer>(pages);
  for (uint32_t page = 0; page < pages; page += pages_of(kOrders - 1)) {
    insert_free(page, kOrders - 1);
  }
  return {};
}

Buffer* BufferPool::try_get(uint32_t length) {
  BM_ASSERT(region_ != nullptr);
  if (!serving_ && !line_.empty()) return nullptr;
  return take(order_for(length));
}

Buffer* BufferPool::try_find(const void* data) {
  const auto* at = static_cast<const std::byte*>(data);
  if (region_ == nullptr || at < region_ || at >= region_ + region_bytes_) return nullptr;
  Buffer& buffer = buffers_[static_cast<size_t>(at - region_) / limits::kPageBytes];
  return buffer.references > 0 && buffer.data == at ? &buffer : nullptr;
}

void BufferPool::wait(BufferWaiter& waiter) {
  BM_ASSERT(waiter.ready != nullptr);
  BM_ASSERT(order_for(waiter.length) < kOrders);
  line_.push_back(waiter);
}

void BufferPool::cancel(BufferWaiter& waiter) {
  BM_ASSERT(waiter.link.linked());
  line_.remove(waiter);
  // Those behind a large request may fit now, and no release need ever come to notice it.
  serve_line();
}

void BufferPool::reference(Buffer& buffer) {
  BM_ASSERT(buffer.pool != nullptr);
  BM_ASSERT(buffer.references > 0);
  ++buffer.references;
}

void BufferPool::release(Buffer& buffer) {
  BM_ASSERT(buffer.pool != nullptr);
  BM_ASSERT(buffer.references > 0);
  if (--buffer.references > 0) return;
  BufferPool& pool = *buffer.pool;
  pool.give_back(buffer);
  pool.serve_line();
}

uint32_t BufferPool::order_for(uint32_t length) {
  BM_ASSERT(length > 0);
  BM_ASSERT(length <= kLargestBytes);
  const uint32_t pages = (length + limits::kPageBytes - 1) / limits::kPageBytes;
  return static_cast<uint32_t>(std::countr_zero(std::bit_ceil(pages)));
}

bool BufferPool::available(uint32_t order) const {
  BM_ASSERT(order < kOrders);
  for (uint32_t o = order; o < kOrders; ++o) {
    if (!free_[o].empty()) return true;
  }
  return false;
}

Buffer* BufferPool::take(uint32_t order) {
  BM_ASSERT(order < kOrders);
  uint32_t found = order;
  while (found < kOrders && free_[found].empty()) ++found;
  if (found == kOrders) return nullptr;
  FreeBlock* block = free_[found].pop_front();
  BM_ASSERT(block->free);
  block->free = false;
  const uint32_t page = page_of(*block);
  while (found > order) {
    --found;
    insert_free(page + pages_of(found), found);
  }
  Buffer& buffer = buffers_[page];
  BM_ASSERT(buffer.references == 0);
  buffer.data = region_ + uint64_t{page} * limits::kPageBytes;
  buffer.capacity = limits::kPageBytes << order;
  buffer.references = 1;
  buffer.pool = this;
  free_bytes_ -= buffer.capacity;
  return &buffer;
}

void BufferPool::give_back(Buffer& buffer) {
  BM_ASSERT(buffer.pool == this);
  BM_ASSERT(buffer.references == 0);
  free_bytes_ += buffer.capacity;
  auto page = static_cast<uint32_t>(&buffer - buffers_.data());
  uint32_t order = order_for(buffer.capacity);
  while (order < kOrders - 1) {
    FreeBlock& buddy = blocks_[page ^ pages_of(order)];
    if (!buddy.free || buddy.order != order) break;
    free_[order].remove(buddy);
    buddy.free = false;
    page &= ~pages_of(order);
    ++order;
  }
  insert_free(page, order);
}

void BufferPool::serve_line() {
  if (serving_) return;  // the outer call goes on
  serving_ = true;
  for (BufferWaiter* waiter = line_.front(); waiter != nullptr; waiter = line_.front()) {
    if (!available(order_for(waiter->length))) break;
    line_.remove(*waiter);
    waiter->ready(*waiter);
  }
  serving_ = false;
}

void BufferPool::insert_free(uint32_t page, uint32_t order) {
  BM_ASSERT(page < blocks_.size());
  BM_ASSERT(page % pages_of(order) == 0);
  FreeBlock& block = blocks_[page];
  block.order = static_cast<uint8_t>(order);
  block.free = true;
  free_[order].push_front(block);
}

uint32_t BufferPool::page_of(const FreeBlock& block) const {
  BM_ASSERT(&block >= blocks_.data());
  return static_cast<uint32_t>(&block - blocks_.data());
}

}  // namespace blkmirror
