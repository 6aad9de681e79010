// A simulated disk: sparse contents in memory behind a volatile write cache.
//
// What was written is read back at once, but survives power_loss() for certain only when it was
// written durably or flushed; every other block keeps or loses its writes by a coin toss. A block
// overwritten in the cache may have been written back before, so any of its versions since the
// last flush may be the one that survives. Pages are kept for the next disk when one is gone.
// Used by SimWorld.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/sim_random.h"

namespace blkmirror::io {

class SimDisk {
 public:
  static constexpr uint32_t kPageBytes = 4096;

  SimDisk(uint64_t size_bytes, uint32_t block_bytes, SimRandom& random);
  ~SimDisk();
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  uint64_t size_bytes() const { return size_bytes_; }
  uint32_t block_bytes() const { return block_bytes_; }

  // Any offset and length inside the disk.
  void read(uint64_t offset, std::byte* data, uint32_t length) const;
  // Whole blocks. A null `data` writes zeroes.
  void write(uint64_t offset, const std::byte* data, uint32_t length, bool durable);
  // As write(), but the power or the process may have gone in the middle: each block arrives or
  // does not. True when it was torn: some did and some did not.
  bool write_torn(uint64_t offset, const std::byte* data, uint32_t length);
  void flush();
  // The number of blocks that lost something.
  uint64_t power_loss();
  // Blocks that are not certain to survive.
  bool has_unflushed() const { return !dirty_pages_.empty(); }
  bool is_unflushed(uint64_t offset) const;
  // The 4 KiB page as reads show it, until the next write; null when it was never written, or is
  // zeroes since it was trimmed as a whole.
  const std::byte* peek(uint64_t number) const;
  // Numbers of the 4 KiB pages that peek() shows, in order; the others are zeroes.
  std::vector<uint64_t> written_pages() const;
  // What reads show, as another disk.
  std::unique_ptr<SimDisk> copy() const;
  // Takes over another disk's contents, all on the medium.
  void restore(const SimDisk& from);

 private:
  static constexpr uint32_t kSectorBytes = 512;
  static constexpr uint64_t kChunkPages = 256;

  // A null pointer is a page of zeroes.
  struct Page {
    std::byte* current = nullptr;  // what reads return
    std::byte* stable = nullptr;   // what is on the medium; meaningful in dirty sectors
    uint8_t dirty = 0;             // one bit for each sector
    bool in_list = false;          // its number is in dirty_pages_
  };
  using Chunk = std::array<Page, kChunkPages>;

  static void store(std::byte*& page, uint32_t offset, const std::byte* data, uint32_t length);
  void write_page(Page& page, uint32_t inside, const std::byte* data, uint32_t length,
                  bool durable);
  void keep_replaced(Page& page, uint8_t touched);
  Page& at(uint64_t number);
  const Page* find(uint64_t number) const;
  uint64_t lose(Page& page);
  void forget_all();

  uint64_t size_bytes_;
  uint32_t block_bytes_;
  SimRandom& random_;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<uint64_t> dirty_pages_;
};

}  // namespace blkmirror::io
