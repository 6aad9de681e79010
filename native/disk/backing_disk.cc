// See backing_disk.h. Zeroing goes step by step: edge, whole blocks, edge; then a flush if the
// result must be durable.
#include "disk/backing_disk.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace blkmirror::disk {

namespace {

constexpr uint64_t kBlock = limits::kBlockBytes;

// Kinds of a zeroing step, kept in Job::step.
constexpr uint32_t kStepWrite = 1;
constexpr uint32_t kStepUnmap = 2;
constexpr uint32_t kStepKeep = 3;

uint64_t round_up(uint64_t value) { return (value + kBlock - 1) / kBlock * kBlock; }
uint64_t round_down(uint64_t value) { return value / kBlock * kBlock; }

}  // namespace

BackingDisk::BackingDisk(io::Io& io, const void* zeroes) : io_(io), zeroes_(zeroes) {
  BM_ASSERT(zeroes != nullptr);
}

void BackingDisk::open(io::DiskId disk, uint64_t size_bytes, bool fast_zero) {
  BM_ASSERT(disk_ == io::kNoDisk);
  BM_ASSERT(size_bytes > 0);
  disk_ = disk;
  size_bytes_ = size_bytes;
  fast_zero_ = fast_zero;
  flush_failed_ = false;
  unmap_works_ = keep_works_ = true;
}

void BackingDisk::close() {
  BM_ASSERT(in_flight_ == 0);
  BM_ASSERT(!flushing_);
  if (disk_ != io::kNoDisk) io_.close_disk(disk_);
  disk_ = io::kNoDisk;
}

void BackingDisk::read(uint64_t offset, void* data, uint32_t length, Job& job) {
  BM_ASSERT(length > 0 && length <= limits::kPieceBytes);
  BM_ASSERT(offset <= size_bytes_ && length <= size_bytes_ - offset);
  job.disk = this;
  job.op.owner = &job;
  job.op.complete = transfer_complete;
  in_flight_ += 1;
  io_.read(disk_, offset, data, length, job.op);
}

void BackingDisk::write(uint64_t offset, const void* data, uint32_t length, bool durable,
                        Job& job) {
  BM_ASSERT(length > 0 && length <= limits::kPieceBytes);
  BM_ASSERT(offset <= size_bytes_ && length <= size_bytes_ - offset);
  job.disk = this;
  job.op.owner = &job;
  job.op.complete = transfer_complete;
  in_flight_ += 1;
  io_.write(disk_, offset, data, length, durable, job.op);
}

void BackingDisk::transfer_complete(io::Op& op, int32_t result) {
  Job& job = *static_cast<Job*>(op.owner);
  BM_ASSERT(result <= 0);
  job.disk->finish(job, -result);
}

void BackingDisk::finish(Job& job, int error) {
  BM_ASSERT(in_flight_ > 0);
  BM_ASSERT(error >= 0);
  in_flight_ -= 1;
  job.done(job, error);
}

void BackingDisk::zero(uint64_t offset, uint32_t length, bool may_unmap, bool durable, Job& job) {
  BM_ASSERT(length > 0 && length <= limits::kExtentBytes);
  BM_ASSERT(offset <= size_bytes_ && length <= size_bytes_ - offset);
  job.disk = this;
  job.op.owner = &job;
  job.op.complete = zero_complete;
  job.offset = offset;
  job.end = offset + length;
  job.may_unmap = may_unmap;
  job.durable = durable;
  in_flight_ += 1;
  zero_step(job);
}

void BackingDisk::zero_step(Job& job) {
  BM_ASSERT(job.offset < job.end);
  const uint64_t first_whole = round_up(job.offset);
  const uint64_t last_whole = round_down(job.end);
  const bool unmap = job.may_unmap && unmap_works_;
  if (first_whole >= last_whole || (!unmap && !keep_works_)) {
    zero_write_step(job, job.end);
  } else if (job.offset < first_whole) {
    zero_write_step(job, first_whole);
  } else {
    job.step = unmap ? kStepUnmap : kStepKeep;
    const auto mode = unmap ? io::ZeroMode::kMayUnmap : io::ZeroMode::kKeepMapped;
    io_.zero(disk_, job.offset, static_cast<uint32_t>(last_whole - job.offset), mode, job.op);
  }
}

void BackingDisk::zero_write_step(Job& job, uint64_t until) {
  BM_ASSERT(until > job.offset);
  BM_ASSERT(until <= job.end);
  job.step = kStepWrite;
  const uint64_t length = std::min<uint64_t>(until - job.offset, limits::kPieceBytes);
  io_.write(disk_, job.offset, zeroes_, static_cast<uint32_t>(length), false, job.op);
  job.offset += length;
}

void BackingDisk::zero_complete(io::Op& op, int32_t result) {
  Job& job = *static_cast<Job*>(op.owner);
  BackingDisk& disk = *job.disk;
  if (result == -EOPNOTSUPP && job.step != kStepWrite) {
    (job.step == kStepUnmap ? disk.unmap_works_ : disk.keep_works_) = false;
    disk.zero_step(job);
    return;
  }
  if (result < 0) {
    disk.finish(job, -result);
    return;
  }
  if (job.step != kStepWrite) job.offset = round_down(job.end);
  if (job.offset < job.end) {
    disk.zero_step(job);
  } else if (job.durable) {
    BM_ASSERT(disk.in_flight_ > 0);
    disk.in_flight_ -= 1;  // flush() counts it again
    disk.flush(job);
  } else {
    disk.finish(job, 0);
  }
}

void BackingDisk::flush(Job& job) {
  BM_ASSERT(disk_ != io::kNoDisk);
  BM_ASSERT(!job.link.linked());
  job.disk = this;
  in_flight_ += 1;
  flush_next_.push_back(job);
  if (!flushing_) start_flush();
}

void BackingDisk::start_flush() {
  BM_ASSERT(!flushing_);
  BM_ASSERT(flush_now_.empty());
  while (Job* job = flush_next_.pop_front()) flush_now_.push_back(*job);
  if (flush_now_.empty()) return;
  flushing_ = true;
  flush_op_.owner = this;
  flush_op_.complete = flush_complete;
  io_.flush(disk_, flush_op_);
}

void BackingDisk::flush_complete(io::Op& op, int32_t result) {
  BackingDisk& disk = *static_cast<BackingDisk*>(op.owner);
  BM_ASSERT(disk.flushing_);
  if (result < 0) disk.flush_failed_ = true;
  const int error = disk.flush_failed_ ? EIO : 0;
  List<Job, &Job::link> served;
  while (Job* job = disk.flush_now_.pop_front()) served.push_back(*job);
  disk.flushing_ = false;
  disk.start_flush();
  while (Job* job = served.pop_front()) disk.finish(*job, error);
}

}  // namespace blkmirror::disk
