// What an NBD session asks of the engine: pieces of client requests.
//
// A session cuts each request into pieces that never cross a 4 MiB extent boundary. Data pieces
// carry at most 256 KiB, zero pieces at most one extent. A piece belongs to the session; the
// engine may use it from submit() until it calls done, exactly once, never from inside submit().
#pragma once

#include <cstdint>

#include "base/buffer_pool.h"
#include "base/list.h"

namespace blkmirror::nbd {

enum class PieceKind : uint8_t { kRead, kWrite, kZero, kFlush };

struct Piece {
  PieceKind kind = PieceKind::kRead;
  bool durable = false;      // FUA: stable on every copy that receives it when done
  bool may_unmap = false;    // kZero: space may be freed
  bool fast = false;         // kZero: answer ENOTSUP rather than write zeroes out
  uint64_t offset = 0;       // bytes; a multiple of the minimum block, as is length
  uint32_t length = 0;       // bytes; 0 for kFlush
  Buffer* buffer = nullptr;  // kWrite: the data; kRead: to be filled. The session's reference:
                             // the engine takes one of its own for each use beyond done.
  // error: 0, or a positive errno.
  void (*done)(Piece& piece, int error) = nullptr;
  void* owner = nullptr;  // the session's
  ListLink link;          // the engine's until done
};

class Backend {
 public:
  virtual void submit(Piece& piece) = 0;

 protected:
  ~Backend() = default;
};

}  // namespace blkmirror::nbd
