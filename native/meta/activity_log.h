// The activity log: one bit for each 4 MiB extent, hot while writes to it may be in flight or
// copies may differ there.
//
// - heat() is a group commit: one batch of pages and one flush in flight, every later caller
//   rides on the next batch. hot() is true only when the bit is durable.
// - cool() counts an extent cold from its call on; the caller has flushed the backing disk and
//   written the bitmap before (rule 3). heat() of such an extent waits for a later batch.
// - Both copies of a page are written in a batch. At load() what either says is hot is, and
//   where one is torn or corrupt all is.
// - A failure is final: every waiter gets the error.
// Nothing is allocated after load().
#pragma once

#include <cstdint>
#include <memory>

#include "io/io.h"
#include "meta/layout.h"
#include "meta/waiter.h"

namespace blkmirror::meta {

class ActivityLog {
 public:
  ActivityLog(io::Io& io, io::DiskId disk);
  ~ActivityLog();

  // Prepares for `layout` and reads every page. 0 or a positive errno.
  void load(const Layout& layout, uint64_t metadata_id, Waiter& waiter);
  // Writes every page with nothing hot (a fresh log), then flushes. The log is usable then.
  void format(const Layout& layout, uint64_t metadata_id, Waiter& waiter);

  bool hot(uint64_t extent) const;
  void heat(uint64_t extent, Waiter& waiter);
  // Starts the batch for what heat() and cool() asked since the last; from batch_end().
  void batch_end();
  // Nothing happens when the extent is not hot(), also when it is only becoming so.
  void cool(uint64_t extent);
  // Calls `waiter` once everything cooled so far is durable.
  void commit(Waiter& waiter);

  uint64_t extent_count() const;
  uint64_t hot_count() const;  // durable hot extents
  // The first durably hot extent at or after `from`, or extent_count().
  uint64_t next_hot(uint64_t from) const;
  bool idle() const;
  uint64_t page_writes() const;
  // At load(): pages taken as all hot because a copy of them was torn or corrupt.
  uint64_t damaged_pages() const;

 private:
  struct Private;
  std::unique_ptr<Private> private_;
};

}  // namespace blkmirror::meta
