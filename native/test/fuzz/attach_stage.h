// A copy whose metadata is overwritten and which is then attached, written to and closed: whatever
// its metadata says, that ends, and nothing outside the copy is harmed. What every input begins
// with is made once and put on a new disk each time.
#pragma once

#include "engine_fixture.h"
#include "fuzz/disk_image.h"
#include "fuzz/input.h"
#include "sim/engine_pages.h"

namespace blkmirror::fuzz {

class AttachStage {
 public:
  static constexpr uint64_t kMetadataId = 42;
  static constexpr uint64_t kDiskBytes = fixture::kDiskBytes;

  explicit AttachStage(const DiskImage& image)
      : world_(1), copy_(world_, "alpha", {"beta", "gamma"}, fixture::Fresh::kBlank) {
    sim::use_engine_pages();
    image.put(disk());
  }

  // As create-md leaves it.
  static const DiskImage& formatted() {
    static const DiskImage image = [] {
      io::SimWorld world(1);
      fixture::Copy copy(world, "alpha", {"beta", "gamma"});
      return DiskImage(world.disk(copy.disk));
    }();
    return image;
  }
  // After a crash while extent 3 was hot and the first block was out of sync.
  static const DiskImage& crashed_in_use() {
    static const DiskImage image = [] {
      AttachStage stage(formatted());
      stage.crash_in_use();
      return DiskImage(stage.disk());
    }();
    return image;
  }
  static meta::Layout layout() {
    return meta::compute_layout(true, kDiskBytes, kDiskBytes, 7, 512).value();
  }

  std::vector<std::byte> page(uint64_t offset) {
    return world_.read_back(copy_.disk, offset, limits::kPageBytes);
  }
  void overwrite(uint64_t offset, std::span<const std::byte> bytes) {
    BM_ASSERT(offset % 512 == 0);
    BM_ASSERT(bytes.size() % 512 == 0);
    disk().write(offset, bytes.data(), static_cast<uint32_t>(bytes.size()), true);
  }

  // The error of the attach; when there is none the copy was used and closed.
  int use() {
    const int error = copy_.attach();
    if (error == 0 && copy_.out_of_sync(0) > 0) dirty_ = true;
    if (error != 0) {
      copy_.engine.reset();
      return error;
    }
    fixture::Client client(copy_);
    if (client.serve_and_connect()) {
      // Answered, if only with an error: an inconsistent copy is not read.
      BM_ASSERT(client.write(0, std::byte{0x44}, 4096) != UINT32_MAX);
      client.request(0, 0, 4096, nullptr);
      BM_ASSERT(client.reply() != UINT32_MAX);
    }
    copy_.close();
    return 0;
  }
  // Towards the first peer, as attached by use().
  bool dirty() const { return dirty_; }

 private:
  io::SimDisk& disk() { return world_.disk(copy_.disk); }
  void crash_in_use() {
    fixture::Client client(copy_);
    BM_ASSERT(copy_.attach() == 0);
    copy_.make_up_to_date(0x3333333333333330);
    BM_ASSERT(client.serve_and_connect());
    BM_ASSERT(client.write(uint64_t{3} * limits::kExtentBytes, std::byte{0x33}, 4096) == 0);
    copy_.crash(io::SimCrash::kProcess);
    fixture::Copy::leaked().clear();
  }

  io::SimWorld world_;
  fixture::Copy copy_;
  bool dirty_ = false;
};

// Pieces of a page replaced by what the fuzzer says.
inline void compose(Input& input, uint32_t most, std::span<std::byte, 4096> bytes) {
  for (; most > 0 && !input.empty(); --most) {
    const size_t at = input.u16() % bytes.size();
    const auto piece = input.take(std::min<size_t>(input.u8(), bytes.size() - at));
    std::copy(piece.begin(), piece.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
  }
}

}  // namespace blkmirror::fuzz
