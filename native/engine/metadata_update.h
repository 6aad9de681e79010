// Changes of the superblock that the owner asks for: applied in memory at once, durable when the
// completion is told. Bits that a change sets are durable before the superblock is.
#pragma once

#include <array>
#include <cstdint>

#include "engine/interface.h"
#include "meta/superblock_store.h"

namespace blkmirror::engine {

struct Parts;

class MetadataUpdate {
 public:
  explicit MetadataUpdate(Parts& parts);

  void apply(const MetadataPatch& patch, Completion& completion);
  // This copy and the peer's share the current generation.
  void mark_in_sync(uint32_t slot, Completion& completion);
  bool idle() const;

 private:
  static constexpr uint32_t kTasks = 64;

  struct Task {
    MetadataUpdate* update = nullptr;
    Completion* completion = nullptr;
    uint32_t full_sync = 0;  // slots whose flag is set once their bits are durable
    meta::Waiter bitmap;
    meta::Waiter superblock;
  };

  static void bitmap_saved(meta::Waiter& waiter, int error);
  static void superblock_saved(meta::Waiter& waiter, int error);
  Task* take(Completion& completion);
  void change(const MetadataPatch& patch);
  void change_peer(const PeerPatch& patch);
  void finish(Task& task, int error, const char* what);

  Parts& parts_;
  std::array<Task, kTasks> tasks_;
};

}  // namespace blkmirror::engine
