// Sixteen lanes that each carry one page after the other.
#include "meta/page_io.h"

#include "base/assert.h"

namespace blkmirror::meta {

PageIo::PageIo(io::Io& io, io::DiskId disk, PageSource& source)
    : io_(io), disk_(disk), source_(source) {
  for (uint32_t i = 0; i < kLanes; ++i) {
    Lane& lane = lanes_[i];
    lane.owner = this;
    lane.page.data = buffers_.page(i).data();
    lane.page.twin = buffers_.page(kLanes + i).data();
    for (io::Op& op : lane.ops) {
      op.owner = &lane;
      op.complete = [](io::Op& done, int32_t result) {
        auto& busy = *static_cast<Lane*>(done.owner);
        busy.owner->lane_done(busy, result);
      };
    }
  }
  flush_.owner = this;
  flush_.complete = [](io::Op& op, int32_t result) {
    auto& self = *static_cast<PageIo*>(op.owner);
    if (result != 0) self.error_ = -result;
    self.finish();
  };
}

bool PageIo::read() {
  start(Step::kReading);
  if (in_flight_ > 0) return true;
  step_ = Step::kIdle;
  return false;
}

void PageIo::write() {
  start(Step::kWriting);
  if (in_flight_ == 0) drained();
}

void PageIo::start(Step step) {
  BM_ASSERT(step_ == Step::kIdle);
  BM_ASSERT(in_flight_ == 0);
  step_ = step;
  exhausted_ = false;
  error_ = 0;
  for (Lane& lane : lanes_) {
    if (exhausted_) break;
    fill(lane);
  }
}

void PageIo::fill(Lane& lane) {
  BM_ASSERT(!exhausted_);
  BM_ASSERT(error_ == 0);
  if (!source_.next_page(lane.page)) {
    exhausted_ = true;
    return;
  }
  ++in_flight_;
  const Page& page = lane.page;
  BM_ASSERT(page.places.first != page.places.second);
  lane.in_flight = kCopies;
  if (step_ == Step::kReading) {
    io_.read(disk_, page.places.first, page.data, limits::kPageBytes, lane.ops[0]);
    io_.read(disk_, page.places.second, page.twin, limits::kPageBytes, lane.ops[1]);
  } else {
    page_writes_ += kCopies;
    io_.write(disk_, page.places.first, page.data, limits::kPageBytes, false, lane.ops[0]);
    io_.write(disk_, page.places.second, page.data, limits::kPageBytes, false, lane.ops[1]);
  }
}

void PageIo::lane_done(Lane& lane, int32_t result) {
  BM_ASSERT(in_flight_ > 0);
  BM_ASSERT(result <= 0);
  BM_ASSERT(lane.in_flight > 0);
  if (result != 0 && error_ == 0) error_ = -result;
  if (--lane.in_flight > 0) return;
  --in_flight_;
  if (error_ == 0 && step_ == Step::kReading) source_.page_read(lane.page);
  if (error_ == 0 && !exhausted_) fill(lane);
  if (in_flight_ == 0) drained();
}

void PageIo::drained() {
  BM_ASSERT(in_flight_ == 0);
  if (step_ == Step::kReading || error_ != 0) {
    finish();
    return;
  }
  BM_ASSERT(step_ == Step::kWriting);
  step_ = Step::kFlushing;
  io_.flush(disk_, flush_);
}

void PageIo::finish() {
  BM_ASSERT(in_flight_ == 0);
  step_ = Step::kIdle;
  source_.pages_finished(error_);
}

}  // namespace blkmirror::meta
