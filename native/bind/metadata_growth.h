// Growing a copy that nothing has attached to what its disk has room for. The new areas lie beside
// the old ones, with all that was out of sync and the whole of what is added; then the superblock
// changes over. What a crash leaves, at any moment, is the old metadata or the new, whole: two
// superblocks are valid at once only after the new one counts, which attach looks for first.
//
// Blocks: call it from a worker thread. Claims the disks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bind/offline_disks.h"
#include "host/failure.h"
#include "meta/superblock.h"

namespace blkmirror::bind {

struct GrowthSpec {
  std::string resource;
  std::string node;
  DiskPaths paths;
  uint64_t last_superblock = 0;  // where it was last seen; 0: not known
  uint64_t device_bytes = 0;     // what the mirror is to offer; 0: all there is room for
};

struct GrowthReport {
  uint64_t old_bytes = 0;
  uint64_t new_bytes = 0;
};

class Growth {
 public:
  // Each is durable before the next begins.
  enum class Step : uint8_t {
    kAreas,       // the new ones
    kBody,        // of a superblock at a new place: all but its first sector, which makes it one
    kFirstSlot,   // from here on the new size counts
    kSecondSlot,  // the other one
    kForget,      // the superblocks at the old place
  };
  static constexpr Step kSteps[] = {Step::kAreas, Step::kBody, Step::kFirstSlot, Step::kSecondSlot,
                                    Step::kForget};

  // Writes nothing. EBUSY (attached), EINVAL (a size that is no growth), ENOSPC (no room), EUCLEAN
  // (a crash or damage to be settled first), and what reading metadata says.
  static host::Outcome<std::unique_ptr<Growth>> plan(const GrowthSpec& spec);

  // In the order above; 0 or an errno.
  int run(Step step);
  GrowthReport report() const;
  const std::string& path() const { return disks_.meta_path; }

 private:
  explicit Growth(Disks disks) : disks_(std::move(disks)) {}

  host::Outcome<bool> find_old(const GrowthSpec& spec);
  host::Outcome<bool> check_old(const GrowthSpec& spec);
  host::Outcome<bool> load_old(const GrowthSpec& spec);
  host::Outcome<bool> place_new(const GrowthSpec& spec);
  bool moves() const;
  int write_areas();
  void copy_bits(Areas& areas) const;
  int write_slot(uint32_t slot, bool whole);

  Disks disks_;
  meta::Superblock old_;
  meta::Superblock new_;
  uint32_t newest_ = 0;           // the slot that holds the old superblock
  std::unique_ptr<Areas> areas_;  // the old ones
};

// All steps.
host::Outcome<GrowthReport> grow_copy(const GrowthSpec& spec);

}  // namespace blkmirror::bind
