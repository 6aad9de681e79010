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

void FlushPath::submit_last(nbd::Piece& piece) {
  BM_ASSERT(last_ == nullptr);
  BM_ASSERT(piece.kind == nbd::PieceKind::kFlush);
  last_ = &piece;
  submit(piece);
}

void FlushPath::begin(nbd::Piece& piece, Flush& flush) {
  flush.piece = &piece;
  if (!parts_.access.usable()) {
    hold(flush);
    return;
  }
  const bool local = parts_.access.local();
  parts_.acks.admit(flush.item, parts_.peers.receiving(), parts_.io.now_us());
  if (local) parts_.disk.flush(flush.job);
  peer::FrameHeader header;
  header.type = peer::FrameType::kFlush;
  header.sequence = flush.item.sequence;
  for (uint32_t rest = flush.item.waiting; rest != 0; rest &= rest - 1) {
    parts_.peers.at(std::countr_zero(rest)).push(header);
  }
  if (!local) parts_.acks.local_done(flush.item);
}

void FlushPath::local_flushed(disk::Job& job, int error) {
  auto& flush = *static_cast<Flush*>(job.owner);
  Parts& parts = flush.path->parts_;
  if (error != 0) parts.fail_disk("flushing the backing disk", error);
  parts.acks.local_done(flush.item);
}

// Without a disk here a peer that has the data must have flushed it.
void FlushPath::flushed_everywhere(Outstanding& item) {
  auto& flush = *static_cast<Flush*>(item.owner);
  BM_ASSERT(item.waiting == 0);
  FlushPath& path = *flush.path;
  const DataAccess& access = path.parts_.access;
  if (access.local() || (item.reported & access.holders()) != 0) {
    const bool untold = flush.piece == path.last_ && !path.parts_.gate.closed();
    if (untold) {
      path.finish(flush, 0);
    } else {
      path.parts_.gate.acknowledge(flush.held);
    }
  } else {
    path.hold(flush);
  }
}

void FlushPath::answer(HeldAck& held) {
  auto& flush = *static_cast<Flush*>(held.owner);
  FlushPath& path = *flush.path;
  if (held.failed && !path.parts_.access.usable()) {
    path.hold(flush);
  } else {
    path.finish(flush, held.failed ? EIO : 0);
  }
}

void FlushPath::hold(Flush& flush) {
  BM_ASSERT(!flush.link.linked());
  held_.push_back(flush);
  if (parts_.access.expired()) parts_.io.wake();
}

void FlushPath::retry() {
  List<Flush, &Flush::link> again;
  while (Flush* flush = held_.pop_front()) again.push_back(*flush);
  while (Flush* flush = again.pop_front()) begin(*flush->piece, *flush);
}

void FlushPath::fail_held() {
  while (Flush* flush = held_.pop_front()) finish(*flush, EIO);
}

void FlushPath::finish(Flush& flush, int error) {
  BM_ASSERT(flush.piece != nullptr);
  nbd::Piece& piece = *flush.piece;
  if (&piece == last_) last_ = nullptr;
  nbd::Piece* next = backlog_.pop_front();
  if (next != nullptr) {
    begin(*next, flush);
  } else {
    flushes_.give_back(flush);
  }
  piece.done(piece, error);
}

}  // namespace blkmirror::engine
