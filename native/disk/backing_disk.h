// The backing disk's data area: whole reads, writes, zeroing and flushes, bounds-checked.
//
// - zero() frees or zeroes whole 4 KiB blocks through the disk where it can, and writes zeroes
//   over unaligned edges and wherever it cannot, so the bytes read back are zeroes either way.
// - Flushes coalesce: one is in flight, everyone who asks meanwhile shares the next one. A flush
//   that failed is never retried: `failed()` stays true and every later flush fails.
#pragma once

#include <cstdint>

#include "base/limits.h"
#include "base/list.h"
#include "io/io.h"

namespace blkmirror::disk {

// One transfer on the backing disk, embedded in whoever asks. done: 0 or a positive errno.
struct Job {
  void (*done)(Job& job, int error) = nullptr;
  void* owner = nullptr;

  // For the implementation.
  class BackingDisk* disk = nullptr;
  io::Op op;
  uint64_t offset = 0;  // zeroing: where the next step begins
  uint64_t end = 0;
  uint32_t step = 0;
  bool may_unmap = false;
  bool durable = false;
  ListLink link;
};

class BackingDisk {
 public:
  BackingDisk(io::Io& io, const void* zeroes);  // `zeroes`: limits::kPieceBytes of them, aligned
  BackingDisk(const BackingDisk&) = delete;
  BackingDisk& operator=(const BackingDisk&) = delete;

  void open(io::DiskId disk, uint64_t size_bytes, bool fast_zero);
  void close();

  void read(uint64_t offset, void* data, uint32_t length, Job& job);
  // Stable storage holds it when done, if `durable`.
  void write(uint64_t offset, const void* data, uint32_t length, bool durable, Job& job);
  void zero(uint64_t offset, uint32_t length, bool may_unmap, bool durable, Job& job);
  void flush(Job& job);

  uint64_t size_bytes() const { return size_bytes_; }
  bool fast_zero() const { return fast_zero_; }
  bool failed() const { return flush_failed_; }
  uint32_t in_flight() const { return in_flight_; }

 private:
  static void transfer_complete(io::Op& op, int32_t result);
  static void zero_complete(io::Op& op, int32_t result);
  static void flush_complete(io::Op& op, int32_t result);
  void finish(Job& job, int error);
  void zero_step(Job& job);
  void zero_write_step(Job& job, uint64_t until);
  void start_flush();

  io::Io& io_;
  const void* zeroes_;
  io::DiskId disk_ = io::kNoDisk;
  uint64_t size_bytes_ = 0;
  bool fast_zero_ = false;
  bool unmap_works_ = true;
  bool keep_works_ = true;
  bool flush_failed_ = false;
  uint32_t in_flight_ = 0;
  io::Op flush_op_;
  bool flushing_ = false;
  List<Job, &Job::link> flush_now_;   // served by the flush in flight
  List<Job, &Job::link> flush_next_;  // served by the one after
};

}  // namespace blkmirror::disk
