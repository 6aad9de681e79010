// The end of an engine: clients and links end, everything in flight finishes, the disk is flushed,
// every extent cools, the in-use flag goes, the disks are closed. After a disk failure only what
// is in flight is waited for: the next attach then finds a crash.
#pragma once

#include <cstdint>

#include "engine/interface.h"
#include "meta/superblock_store.h"

namespace blkmirror::engine {

struct Parts;

class Shutdown {
 public:
  explicit Shutdown(Parts& parts);

  void start(Completion& completion);
  void batch_end();
  bool done() const { return step_ == Step::kDone; }
  // From here on nothing new begins.
  bool begun() const { return step_ != Step::kNo; }

 private:
  enum class Step : uint8_t { kNo, kDraining, kCooling, kWriting, kIdling, kDone };

  static void cooled(meta::Waiter& waiter, int error);
  static void superblock_saved(meta::Waiter& waiter, int error);
  bool drained() const;
  bool metadata_idle() const;
  void close_disks();

  Parts& parts_;
  Step step_ = Step::kNo;
  Completion* completion_ = nullptr;
  meta::Waiter waiter_;
};

}  // namespace blkmirror::engine
