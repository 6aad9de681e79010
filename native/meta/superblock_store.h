// Both superblock slots on disk. An update counts once both hold it: slot, flush, other slot,
// flush. Updates asked for while one is under way ride on the next.
//
// current() may be changed at any time by the engine's thread; commit() makes the state as of
// the call durable. A failure is final: every waiter gets the error and the disk is detached.
#pragma once

#include <cstdint>
#include <memory>

#include "io/io.h"
#include "meta/superblock.h"
#include "meta/waiter.h"

namespace blkmirror::meta {

class SuperblockStore {
 public:
  SuperblockStore(io::Io& io, io::DiskId disk);
  // idle(), unless the world of `io` has ended before.
  ~SuperblockStore();

  // Reads both slots at `offset`; the newest that is valid becomes current(). ENODATA, ENOTSUP,
  // EBADMSG as SlotPair::newest() says.
  void load(uint64_t offset, Waiter& waiter);
  Superblock& current() { return current_; }
  const Superblock& current() const { return current_; }
  // At load(): 0, or 1 where one slot was not valid; the next commit repairs it.
  uint32_t damaged_slots() const { return damaged_slots_; }
  // Raises current().revision. Needs no load() when current() was filled in (a fresh superblock).
  void commit(Waiter& waiter);
  // True when no update is under way or waiting.
  bool idle() const;
  uint64_t page_writes() const { return page_writes_; }

 private:
  struct Private;
  Superblock current_;
  uint64_t page_writes_ = 0;
  uint32_t damaged_slots_ = 0;
  std::unique_ptr<Private> private_;
};

}  // namespace blkmirror::meta
