// Both superblock slots.
//
// An update encodes the state once, writes it to the slot that does not hold the newest
// durable state, flushes, and does the same with the other: at every moment one slot holds a
// whole superblock that was durable. Any failure is final.
#include "meta/superblock_store.h"

#include <algorithm>
#include <cerrno>

#include "base/aligned_pages.h"
#include "base/assert.h"

namespace blkmirror::meta {

namespace {

constexpr uint32_t kSlotCount = 2;
constexpr uint32_t kBytes = limits::kPageBytes;

}  // namespace

struct SuperblockStore::Private {
  enum class Step : uint8_t {
    kIdle,
    kReading,
    kWriteFirst,
    kFlushFirst,
    kWriteSecond,
    kFlushSecond,
  };

  io::Io& io;
  io::DiskId disk;
  SuperblockStore& store;
  AlignedPages pages{kSlotCount};
  io::Op ops[kSlotCount];
  io::Timer failing;     // tells those who come after a failure
  uint32_t reading = 0;  // reads in flight
  uint32_t newest = 1;   // the slot with the newest durable state
  Step step = Step::kIdle;
  int failed = 0;       // positive errno
  uint64_t offset = 0;  // of the first slot
  WaiterList riding;    // on the operation under way
  WaiterList next;      // on the one after it

  Private(io::Io& world, io::DiskId where, SuperblockStore& owner)
      : io(world), disk(where), store(owner) {
    for (io::Op& op : ops) op.owner = this;
    failing.owner = this;
    failing.fire = [](io::Timer& timer) {
      auto& self = *static_cast<Private*>(timer.owner);
      tell_all(self.next, self.failed);
    };
  }
  ~Private() {
    if (failing.link.linked()) io.disarm(failing);
  }

  void read_slots();
  void read_done(int32_t result);
  void choose();
  void start();
  void write(uint32_t slot);
  void advance(int32_t result);
  void finish(int error);
};

SuperblockStore::SuperblockStore(io::Io& io, io::DiskId disk)
    : private_(std::make_unique<Private>(io, disk, *this)) {}

SuperblockStore::~SuperblockStore() = default;

void SuperblockStore::load(uint64_t offset, Waiter& waiter) {
  BM_ASSERT(idle());
  BM_ASSERT(offset % kBytes == 0);
  private_->riding.push_back(waiter);
  private_->offset = offset;
  private_->read_slots();
}

void SuperblockStore::commit(Waiter& waiter) {
  BM_ASSERT(waiter.done != nullptr);
  BM_ASSERT(private_->step != Private::Step::kReading);
  private_->next.push_back(waiter);
  if (private_->failed != 0) {
    if (!private_->failing.link.linked()) {
      private_->io.arm(private_->failing, private_->io.now_us());
    }
  } else if (private_->step == Private::Step::kIdle) {
    private_->start();
  }
}

bool SuperblockStore::idle() const {
  return private_->step == Private::Step::kIdle && private_->next.empty();
}

void SuperblockStore::Private::read_slots() {
  BM_ASSERT(step == Step::kIdle);
  BM_ASSERT(reading == 0);
  step = Step::kReading;
  for (uint32_t slot = 0; slot < kSlotCount; ++slot) {
    ops[slot].complete = [](io::Op& op, int32_t result) {
      static_cast<Private*>(op.owner)->read_done(result);
    };
    ++reading;
    io.read(disk, offset + slot * kBytes, pages.page(slot).data(), kBytes, ops[slot]);
  }
}

void SuperblockStore::Private::read_done(int32_t result) {
  BM_ASSERT(reading > 0);
  if (result != 0) failed = -result;
  if (--reading > 0) return;
  if (failed == 0) {
    choose();
  } else {
    finish(failed);
  }
}

void SuperblockStore::Private::choose() {
  BM_ASSERT(step == Step::kReading);
  const SlotPair slots = decode_slots(pages.page(0), pages.page(1), offset);
  const Result<uint32_t> chosen = slots.newest();
  if (!chosen.ok()) {
    finish(chosen.error().code);
    return;
  }
  newest = chosen.value();
  BM_ASSERT(newest < kSlotCount);
  store.current_ = slots.slot(newest).value();
  store.damaged_slots_ = (slots.first.ok() ? 0 : 1) + (slots.second.ok() ? 0 : 1);
  finish(0);
}

void SuperblockStore::Private::start() {
  BM_ASSERT(step == Step::kIdle);
  BM_ASSERT(failed == 0);
  move_all(next, riding);
  ++store.current_.revision;
  offset = store.current_.layout.superblocks.offset;
  stamp_partings(store.current_, io.wall_ms());
  encode(store.current_, pages.page(0));
  ops[0].complete = [](io::Op& op, int32_t result) {
    static_cast<Private*>(op.owner)->advance(result);
  };
  step = Step::kWriteFirst;
  write(1 - newest);
}

void SuperblockStore::Private::write(uint32_t slot) {
  BM_ASSERT(slot < kSlotCount);
  ++store.page_writes_;
  io.write(disk, offset + slot * kBytes, pages.page(0).data(), kBytes, false, ops[0]);
}

void SuperblockStore::Private::advance(int32_t result) {
  BM_ASSERT(result <= 0);
  if (result != 0) {
    failed = -result;
    finish(failed);
    return;
  }
  switch (step) {
    case Step::kWriteFirst:
      step = Step::kFlushFirst;
      io.flush(disk, ops[0]);
      return;
    case Step::kFlushFirst:
      newest = 1 - newest;
      step = Step::kWriteSecond;
      write(1 - newest);
      return;
    case Step::kWriteSecond:
      step = Step::kFlushSecond;
      io.flush(disk, ops[0]);
      return;
    case Step::kFlushSecond:
      finish(0);
      return;
    case Step::kIdle:
    case Step::kReading:
      BM_ASSERT(false);
  }
}

void SuperblockStore::Private::finish(int error) {
  BM_ASSERT(step != Step::kIdle);
  WaiterList told;
  move_all(riding, told);
  if (failed != 0) move_all(next, told);
  step = Step::kIdle;
  // Before telling: who is told may commit again, which then rides on the update after this.
  if (failed == 0 && !next.empty()) start();
  tell_all(told, error);
}

}  // namespace blkmirror::meta
