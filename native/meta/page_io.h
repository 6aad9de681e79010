// Moves many 4096-byte metadata pages, up to 16 at once, then flushes once.
//
// The source is asked for pages one after the other: each time it fills in (to write) or names
// (to read) the next page and is not asked again once it has none. Whatever is in flight is in
// a lane's own buffer, so the source's memory may change meanwhile. After the first failure no
// page is asked for any more; finished() is called when nothing is in flight.
//
// Every page lies on the disk twice: both places are written in the same batch, and both are
// read. So a page that rots, or that a disk lost the last write of, is seen by its twin.
#pragma once

#include <cstdint>
#include <span>

#include "base/aligned_pages.h"
#include "io/io.h"
#include "meta/layout.h"

namespace blkmirror::meta {

// One page on its way. The source fills in places and, to write, bytes; key is its own.
struct Page {
  PlacePair places;
  uint64_t key = 0;
  std::byte* data = nullptr;  // of the first place; what is written to both
  std::byte* twin = nullptr;  // as read from the second place
  std::span<std::byte, 4096> bytes() const {
    return std::span<std::byte, 4096>(data, limits::kPageBytes);
  }
  std::span<std::byte, 4096> twin_bytes() const {
    return std::span<std::byte, 4096>(twin, limits::kPageBytes);
  }
};

class PageSource {
 public:
  // Fills in the next page; false when there is none left.
  virtual bool next_page(Page& page) = 0;
  // A page was read, both places of it.
  virtual void page_read(const Page& page) = 0;
  // Everything is done and, after writing, flushed; or a positive errno. From completion context.
  virtual void pages_finished(int error) = 0;

 protected:
  ~PageSource() = default;
};

class PageIo {
 public:
  PageIo(io::Io& io, io::DiskId disk, PageSource& source);

  // Reads what the source names. False when it names nothing: then nothing was started.
  [[nodiscard]] bool read();
  // Writes what the source has, then flushes (a flush alone when it has nothing).
  void write();
  bool busy() const { return step_ != Step::kIdle; }
  uint64_t page_writes() const { return page_writes_; }

 private:
  static constexpr uint32_t kLanes = 16;
  enum class Step : uint8_t { kIdle, kReading, kWriting, kFlushing };

  struct Lane {
    io::Op ops[kCopies];
    uint32_t in_flight = 0;  // of the ops
    Page page;
    PageIo* owner = nullptr;
  };

  void start(Step step);
  void fill(Lane& lane);
  void lane_done(Lane& lane, int32_t result);
  void drained();
  void finish();

  io::Io& io_;
  io::DiskId disk_;
  PageSource& source_;
  AlignedPages buffers_{kLanes * kCopies};
  Lane lanes_[kLanes];
  io::Op flush_;
  Step step_ = Step::kIdle;
  bool exhausted_ = false;  // the source has no more pages
  uint32_t in_flight_ = 0;  // lanes
  int error_ = 0;           // the first failure, a positive errno
  uint64_t page_writes_ = 0;
};

}  // namespace blkmirror::meta
