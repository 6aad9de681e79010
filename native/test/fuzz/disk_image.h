// What lies on a simulated disk, to be put on others: a copy that was formatted or used once need
// not be again for every input.
#pragma once

#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/limits.h"
#include "io/sim_disk.h"

namespace blkmirror::fuzz {

class DiskImage {
 public:
  // As reads find it now.
  explicit DiskImage(const io::SimDisk& disk) : size_bytes_(disk.size_bytes()) {
    for (const uint64_t page : disk.written_pages()) {
      const uint64_t offset = page * limits::kPageBytes;
      pages_.emplace_back(offset, std::vector<std::byte>(limits::kPageBytes));
      disk.read(offset, pages_.back().second.data(), limits::kPageBytes);
    }
    BM_ASSERT(!pages_.empty());
  }
  // On a disk that nothing was written to; durably.
  void put(io::SimDisk& disk) const {
    BM_ASSERT(disk.size_bytes() == size_bytes_);
    BM_ASSERT(disk.written_pages().empty());
    for (const auto& [offset, bytes] : pages_) {
      disk.write(offset, bytes.data(), limits::kPageBytes, true);
    }
  }

 private:
  uint64_t size_bytes_;
  std::vector<std::pair<uint64_t, std::vector<std::byte>>> pages_;
};

}  // namespace blkmirror::fuzz
