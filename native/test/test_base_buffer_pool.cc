// The buffer pool: sizes, alignment, splitting and joining, references, the waiting line.
#include "base/buffer_pool.h"

#include <cstring>
#include <random>
#include <vector>

#include "check.h"

using namespace blkmirror;

namespace {

constexpr uint32_t kLargest = 256u << 10;

// Takes a buffer of its length when it is served, and notes when that was.
struct Customer : BufferWaiter {
  BufferPool& pool;
  Buffer* buffer = nullptr;
  uint32_t served = 0;  // 1 for the first who was
  static inline uint32_t count = 0;

  Customer(BufferPool& from, uint32_t length) : pool(from) {
    this->length = length;
    ready = [](BufferWaiter& waiter) {
      auto& self = static_cast<Customer&>(waiter);
      self.buffer = self.pool.try_get(self.length);
      self.served = ++count;
    };
  }
};

}  // namespace

TEST(pool_gives_aligned_buffers_of_powers_of_two) {
  BufferPool pool;
  CHECK(pool.init(2 * kLargest).ok());
  CHECK_EQ(pool.free_bytes(), 2 * kLargest);
  const uint32_t lengths[] = {1, 4096, 4097, 12288, 65536, 131072};
  const uint32_t capacities[] = {4096, 4096, 8192, 16384, 65536, 131072};
  std::vector<Buffer*> taken;
  uint32_t total = 0;
  for (int i = 0; i < 6; ++i) {
    Buffer* buffer = pool.try_get(lengths[i]);
    CHECK(buffer != nullptr);
    CHECK_EQ(buffer->capacity, capacities[i]);
    CHECK_EQ(static_cast<uint32_t>(buffer->data - pool.region()) % buffer->capacity, 0u);
    CHECK_EQ(reinterpret_cast<uintptr_t>(buffer->data) % 4096, 0u);
    std::memset(buffer->data, i, buffer->capacity);
    total += buffer->capacity;
    taken.push_back(buffer);
  }
  CHECK_EQ(pool.free_bytes(), 2 * kLargest - total);
  for (int i = 0; i < 6; ++i) {
    CHECK_EQ(static_cast<int>(taken[i]->data[taken[i]->capacity - 1]), i);
    BufferPool::release(*taken[i]);
  }
  CHECK_EQ(pool.free_bytes(), 2 * kLargest);
}

TEST(pool_joins_what_was_split_and_fragments_block_large_ones) {
  BufferPool pool;
  CHECK(pool.init(kLargest).ok());
  std::vector<Buffer*> pages;
  while (Buffer* page = pool.try_get(4096)) pages.push_back(page);
  CHECK_EQ(pages.size(), 64u);
  CHECK_EQ(pool.free_bytes(), 0u);
  // Every other page free: half of the memory, and no two pages together.
  for (size_t i = 0; i < 64; ++i) {
    if ((pages[i]->data - pool.region()) / 4096 % 2 == 0) BufferPool::release(*pages[i]);
  }
  CHECK_EQ(pool.free_bytes(), kLargest / 2);
  CHECK(pool.try_get(8192) == nullptr);
  for (size_t i = 0; i < 64; ++i) {
    if ((pages[i]->data - pool.region()) / 4096 % 2 != 0) BufferPool::release(*pages[i]);
  }
  Buffer* whole = pool.try_get(kLargest);
  CHECK(whole != nullptr);
  BufferPool::release(*whole);
}

TEST(pool_keeps_a_buffer_until_its_last_reference_goes) {
  BufferPool pool;
  CHECK(pool.init(kLargest).ok());
  Buffer* buffer = pool.try_get(kLargest);
  CHECK(buffer != nullptr);
  BufferPool::reference(*buffer);
  BufferPool::release(*buffer);
  CHECK_EQ(pool.free_bytes(), 0u);
  CHECK(pool.try_get(1) == nullptr);
  BufferPool::release(*buffer);
  CHECK_EQ(pool.free_bytes(), kLargest);
}

TEST(pool_serves_the_line_in_order_and_starves_nobody) {
  BufferPool pool;
  CHECK(pool.init(kLargest).ok());
  Customer::count = 0;
  Buffer* first = pool.try_get(kLargest / 2);
  Buffer* second = pool.try_get(kLargest / 2);
  Customer large(pool, kLargest);
  Customer small(pool, 4096);
  CHECK(pool.try_get(kLargest) == nullptr);
  pool.wait(large);
  pool.wait(small);
  BufferPool::release(*first);
  // There is room for the small one, but it came later, and so does whoever asks now.
  CHECK_EQ(small.served, 0u);
  CHECK(pool.try_get(4096) == nullptr);
  BufferPool::release(*second);
  CHECK_EQ(large.served, 1u);
  CHECK(large.buffer != nullptr);
  CHECK_EQ(small.served, 0u);
  BufferPool::release(*large.buffer);
  CHECK_EQ(small.served, 2u);
  CHECK(small.buffer != nullptr);
  BufferPool::release(*small.buffer);
  CHECK_EQ(pool.free_bytes(), kLargest);
}

TEST(pool_serves_those_behind_when_the_head_of_the_line_leaves) {
  BufferPool pool;
  CHECK(pool.init(kLargest).ok());
  Customer::count = 0;
  Buffer* half = pool.try_get(kLargest / 2);
  Customer large(pool, kLargest);
  Customer small(pool, 4096);
  pool.wait(large);
  pool.wait(small);
  pool.cancel(large);
  CHECK_EQ(small.served, 1u);
  CHECK_EQ(large.served, 0u);
  BufferPool::release(*small.buffer);
  BufferPool::release(*half);
  CHECK_EQ(pool.free_bytes(), kLargest);
}

TEST(pool_never_gives_the_same_memory_twice) {
  BufferPool pool;
  CHECK(pool.init(4 * kLargest).ok());
  std::mt19937 random(20261121);
  std::vector<Buffer*> taken;
  std::vector<bool> used(4 * kLargest / 4096, false);
  for (int i = 0; i < 20000; ++i) {
    if (taken.empty() || random() % 2 == 0) {
      Buffer* buffer = pool.try_get(1 + random() % (4096u << random() % 7));
      if (buffer == nullptr) continue;
      const size_t start = static_cast<size_t>(buffer->data - pool.region()) / 4096;
      for (size_t p = start; p < start + buffer->capacity / 4096; ++p) {
        CHECK(!used[p]);
        used[p] = true;
      }
      taken.push_back(buffer);
    } else {
      std::swap(taken[random() % taken.size()], taken.back());
      const size_t start = static_cast<size_t>(taken.back()->data - pool.region()) / 4096;
      for (size_t p = start; p < start + taken.back()->capacity / 4096; ++p) used[p] = false;
      BufferPool::release(*taken.back());
      taken.pop_back();
    }
  }
  for (Buffer* buffer : taken) BufferPool::release(*buffer);
  CHECK_EQ(pool.free_bytes(), 4 * kLargest);
  for (int i = 0; i < 4; ++i) CHECK(pool.try_get(kLargest) != nullptr);
}
