// Where the data of client requests is: on the backing disk, or, once that is gone, on the peers
// that have all of it (holders). While the own copy is behind, its source has all of it: then a
// write or flush counts when the source has reported it, too, and without a source only reads of
// blocks that are in sync here are answered. Also what becomes of the copy when its disk reports
// an error.
//
// A request that no copy can serve now is held by its path. It is tried again when a peer with the
// data is there, and fails once none was for the network timeout (on-no-data-accessible =
// io-error). So a Primary without a disk survives that its connection is made anew.
#pragma once

#include <cstdint>

#include "engine/interface.h"

namespace blkmirror::engine {

struct Parts;
struct Peer;

class DataAccess {
 public:
  explicit DataAccess(Parts& parts) : parts_(parts) {}

  // The backing disk is read and written.
  bool local() const;
  // Slots of peers that have all data and receive every write.
  uint32_t holders() const;
  // This Primary's own copy lacks data that its clients may see (it is SyncTarget, or was): what
  // was written here alone is not kept.
  bool behind() const;
  // Slots of peers whose report means that a write is kept: holders, and the source of a copy
  // that is behind.
  uint32_t keepers() const;
  // Writes and flushes can be kept now.
  bool usable() const { return stands_alone() || keepers() != 0; }
  // The backing disk has all data: what it has completed is kept.
  bool stands_alone() const { return local() && !behind(); }
  // Whom to read from instead of the backing disk; null when nobody can be asked. Slots in
  // `tried` are passed over.
  Peer* reader(uint32_t tried);
  // Nobody had the data for so long that what is held fails.
  bool expired() const;

  // A transfer of data failed. By on-io-error the disk is detached, or the error is only told
  // (false): then the caller passes it on. A failed flush always detaches.
  bool data_error(const char* what, int error);

  // Serves again what is held, or fails it.
  void batch_end();

 private:
  Parts& parts_;
  uint64_t missing_since_us_ = 0;  // 0: the data can be had
};

}  // namespace blkmirror::engine
