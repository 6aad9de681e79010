// A freshly formatted copy whose metadata is overwritten and which is then attached, written to
// and closed: whatever its metadata says, that ends, and nothing outside the copy is harmed.
#pragma once

#include <cstring>

#include "engine_fixture.h"
#include "fuzz/input.h"

namespace blkmirror::fuzz {

class AttachStage {
 public:
  static constexpr uint64_t kMetadataId = 42;
  static constexpr uint64_t kDiskBytes = fixture::kDiskBytes;

  AttachStage() : world_(1), copy_(world_, "alpha", {"beta", "gamma"}), client_(copy_) {}

  // As formatted.
  meta::Layout layout() const {
    return meta::compute_layout(true, kDiskBytes, kDiskBytes, 7, 512).value();
  }
  fixture::Copy& copy() { return copy_; }

  void overwrite(uint64_t offset, std::span<const std::byte> bytes) {
    BM_ASSERT(offset % 512 == 0);
    BM_ASSERT(bytes.size() % 512 == 0);
    world_.disk(copy_.disk).write(offset, bytes.data(), static_cast<uint32_t>(bytes.size()), true);
  }

  // A crash while extent 3 was hot and the first block was out of sync.
  void crash_in_use() {
    BM_ASSERT(copy_.attach() == 0);
    copy_.make_up_to_date(0x3333333333333330);
    BM_ASSERT(client_.serve_and_connect());
    BM_ASSERT(client_.write(uint64_t{3} * limits::kExtentBytes, std::byte{0x33}, 4096) == 0);
    copy_.crash(io::SimCrash::kProcess);
    fixture::Copy::leaked().clear();
  }

  // The error of the attach; when there is none the copy was used and closed.
  int use() {
    const int error = copy_.attach();
    if (error == 0 && copy_.out_of_sync(0) > 0) dirty_ = true;
    if (error != 0) {
      copy_.engine.reset();
      return error;
    }
    fixture::Client again(copy_);
    if (again.serve_and_connect()) {
      // Answered, if only with an error: an inconsistent copy is not read.
      BM_ASSERT(again.write(0, std::byte{0x44}, 4096) != UINT32_MAX);
      again.request(0, 0, 4096, nullptr);
      BM_ASSERT(again.reply() != UINT32_MAX);
    }
    copy_.close();
    return 0;
  }
  // Towards the first peer, as attached by use().
  bool dirty() const { return dirty_; }

 private:
  io::SimWorld world_;
  fixture::Copy copy_;
  fixture::Client client_;
  bool dirty_ = false;
};

}  // namespace blkmirror::fuzz
