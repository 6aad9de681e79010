// See flush_path.h.
#include "engine/flush_path.h"

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

FlushPath::FlushPath(Parts& parts) : parts_(parts), flushes_(limits::kFlushesInFlight) {
  for (uint32_t i = 0; i < flushes_.count(); ++i) {
    Flush& flush = flushes_.at(i);
    flush.path = this;
    flush.job.owner = flush.item.owner = flush.held.owner = &flush;
    flush.job.done = local_flushed;
    flush.item.finished = flushed_everywhere;
    flush.held.release = answer;
  }
}

void FlushPath::submit(nbd::Piece& piece) {
  BM_ASSERT(piece.kind == nbd::PieceKind::kFlush);
  Flush* flush = backlog_.empty() ? flushes_.try_take() : nullptr;
  if (flush == nullptr) {
    backlog_.push_back(piece);
  } else {
    begin(piece, *flush);
  }
}

void FlushPath::begin(nbd::Piece& piece, Flush& flush) {
  BM_ASSERT(!parts_.failed);
  flush.piece = &piece;
  flush.error = 0;
  parts_.acks.admit(flush.item, parts_.peers.receiving(), parts_.io.now_us());
  parts_.disk.flush(flush.job);
  peer::FrameHeader header;
  header.type = peer::FrameType::kFlush;
  header.sequence = flush.item.sequence;
  for (uint32_t rest = flush.item.waiting; rest != 0; rest &= rest - 1) {
    parts_.peers.at(std::countr_zero(rest)).push(header);
  }
}

void FlushPath::local_flushed(disk::Job& job, int error) {
  auto& flush = *static_cast<Flush*>(job.owner);
  Parts& parts = flush.path->parts_;
  flush.error = error;
  if (error != 0) parts.fail_disk("flushing the backing disk", error);
  parts.acks.local_done(flush.item);
}

void FlushPath::flushed_everywhere(Outstanding& item) {
  auto& flush = *static_cast<Flush*>(item.owner);
  BM_ASSERT(item.waiting == 0);
  flush.path->parts_.gate.acknowledge(flush.held);
}

void FlushPath::answer(HeldAck& held) {
  auto& flush = *static_cast<Flush*>(held.owner);
  FlushPath& path = *flush.path;
  nbd::Piece& piece = *flush.piece;
  const int error = flush.error != 0 ? flush.error : (held.failed ? EIO : 0);
  nbd::Piece* next = path.backlog_.pop_front();
  if (next != nullptr && !path.parts_.failed) {
    path.begin(*next, flush);
  } else {
    path.flushes_.give_back(flush);
    for (; next != nullptr; next = path.backlog_.pop_front()) path.parts_.refuse(*next);
  }
  piece.done(piece, error);
}

}  // namespace blkmirror::engine
