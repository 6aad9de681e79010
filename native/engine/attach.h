// Attaching: superblock, activity log and bitmap are read and checked; what was hot at a crash
// becomes durable bits towards every peer (rule 7) before anything else happens; new peers get
// slots with everything out of sync; the generation is raised.
#pragma once

#include <cstdint>

#include "engine/interface.h"
#include "meta/superblock_store.h"

namespace blkmirror::engine {

struct Parts;

class Attach {
 public:
  explicit Attach(Parts& parts);

  void start(const AttachSpec& spec, Completion& completion);
  // Attached again under a running Primary: the peers serve until this copy is resynced from one.
  bool held() const { return held_; }

 private:
  static void superblock_read(meta::Waiter& waiter, int error);
  static void log_read(meta::Waiter& waiter, int error);
  static void bitmap_read(meta::Waiter& waiter, int error);
  static void bits_saved(meta::Waiter& waiter, int error);
  static void log_cooled(meta::Waiter& waiter, int error);
  static void superblock_saved(meta::Waiter& waiter, int error);

  bool check(int error, const char* what);
  // A disk that grew hides internal metadata from where it is looked for: reads it where it was
  // last seen. False when that is not known, or was tried.
  bool try_last_location();
  const char* superblock_refusal(int& error) const;
  bool take_over_peers();
  void mark_hot_extents();
  void finish(int error, const char* what);

  Parts& parts_;
  AttachSpec spec_;
  bool tried_last_ = false;
  bool held_ = false;
  Completion* completion_ = nullptr;
  meta::Waiter waiter_;
};

}  // namespace blkmirror::engine
