// Attaching: superblock, activity log and bitmap are read and checked; what was hot at a crash
// becomes durable bits towards every peer (rule 7) before anything else happens, and is durable
// itself before it cools (rule 3); new peers get slots with everything out of sync; the generation
// is raised.
//
// Also attaches again after a detach. What runs meanwhile keeps using what it has in memory of the
// old attach; everything changes at once at the end. Under a running Primary the copy is durably
// Inconsistent then and held: the peers serve until it is resynced from one of them. Therefore it
// is left as it is while it may have what they have not.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/interface.h"
#include "meta/activity_log.h"
#include "meta/bitmap.h"
#include "meta/superblock_store.h"

namespace blkmirror::engine {

struct Parts;

class Attach {
 public:
  explicit Attach(Parts& parts);

  void start(const AttachSpec& spec, Completion& completion);
  // Nothing is attached, and the kernel has nothing of an old disk any more.
  bool possible() const;
  // Attached again under a running Primary: the peers serve until this copy is resynced from one.
  bool held() const { return held_; }
  void release();
  // The disk is gone again.
  void lose() { held_ = false; }
  bool running() const { return completion_ != nullptr; }
  void batch_end();
  // Of an attach that failed; for the end of the engine.
  void close_untaken();

 private:
  static void superblock_read(meta::Waiter& waiter, int error);
  static void log_read(meta::Waiter& waiter, int error);
  static void bitmap_read(meta::Waiter& waiter, int error);
  static void bits_saved(meta::Waiter& waiter, int error);
  static void data_flushed(io::Op& op, int32_t result);
  static void log_cooled(meta::Waiter& waiter, int error);
  static void superblock_saved(meta::Waiter& waiter, int error);

  bool check(int error, const char* what);
  // A disk that grew hides internal metadata from where it is looked for: reads it where it was
  // last seen. False when that is not known, or was tried.
  bool try_last_location();
  const char* superblock_refusal(int& error) const;
  bool take_over_peers();
  bool keeps_peers() const;
  void take_over();
  void mark_hot_extents();
  void cool_extents();
  bool caches_kept() const;
  void await_peers();
  void load();
  void finish(int error, const char* what);

  Parts& parts_;
  AttachSpec spec_;
  bool tried_last_ = false;
  bool held_ = false;
  bool again_ = false;      // not the first time
  bool waiting_ = false;    // until the peers have what only the disk detached may have
  bool giving_up_ = false;  // another time failed: the disks are closed when idle
  int error_ = 0;
  const char* what_ = "";
  std::unique_ptr<meta::SuperblockStore> super_;  // until they are taken over
  std::unique_ptr<meta::ActivityLog> log_;
  std::unique_ptr<meta::Bitmap> bitmap_;
  Completion* completion_ = nullptr;
  meta::Waiter waiter_;
  io::Op flush_op_;
};

}  // namespace blkmirror::engine
