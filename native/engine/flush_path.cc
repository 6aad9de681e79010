// See flush_path.h.
#include "engine/flush_path.h"

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

FlushPath::FlushPath(Parts& parts)
    : parts_(parts), flushes_(limits::kFlushesInFlight, this, prepare) {}

void FlushPath::prepare(void* owner, Flush& flush) {
  flush.path = static_cast<FlushPath*>(owner);
  flush.job.owner = flush.item.owner = flush.held.owner = &flush;
  flush.job.done = local_flushed;
  flush.item.acknowledged = acknowledged;
  flush.item.finished = flushed_everywhere;
  flush.held.release = answer;
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
  flush.tracked = flush.passed = false;
  if (!parts_.access.usable()) {
    hold(flush);
    return;
  }
  const bool local = parts_.access.local();
  // At the peers it is a barrier, where the own copy counts.
  const bool here = parts_.access.stands_alone() && &piece != last_;
  const Protocol protocol = here ? parts_.next_protocol() : Protocol::kC;
  flush.tracked = true;
  parts_.acks.admit(flush.item, parts_.peers.receiving(), protocol, parts_.io.now_us());
  if (local) parts_.disk.flush(flush.job);
  peer::FrameHeader header;
  header.type = peer::FrameType::kFlush;
  header.sequence = flush.item.sequence;
  for (uint32_t rest = flush.item.waiting; rest != 0; rest &= rest - 1) {
    Peer& peer = parts_.peers.at(std::countr_zero(rest));
    if (peer.push(header) && protocol == Protocol::kA) peer.link->watch(header.sequence);
  }
  if (!local) parts_.acks.local_done(flush.item);
}

void FlushPath::local_flushed(disk::Job& job, int error) {
  auto& flush = *static_cast<Flush*>(job.owner);
  Parts& parts = flush.path->parts_;
  if (error != 0) parts.fail_disk("flushing the backing disk", error);
  parts.acks.local_done(flush.item);
}

// Where the own copy does not count, a peer that has the data must have flushed it.
bool FlushPath::kept(const Flush& flush) const {
  if (parts_.access.stands_alone()) return true;
  return (flush.item.reported & parts_.access.keepers()) != 0;
}

// Every receiving peer has done what the protocol asks.
void FlushPath::acknowledged(Outstanding& item) {
  auto& flush = *static_cast<Flush*>(item.owner);
  BM_ASSERT(flush.tracked);
  // Otherwise once more when every peer has reported it.
  if (flush.path->kept(flush)) flush.path->pass(flush);
}

void FlushPath::flushed_everywhere(Outstanding& item) {
  auto& flush = *static_cast<Flush*>(item.owner);
  BM_ASSERT(item.waiting == 0);
  FlushPath& path = *flush.path;
  flush.tracked = false;
  if (flush.passed) {
    if (flush.piece == nullptr) path.recycle(flush);
  } else if (path.kept(flush)) {
    path.pass(flush);
  } else {
    path.hold(flush);
  }
}

void FlushPath::pass(Flush& flush) {
  BM_ASSERT(flush.piece != nullptr);
  BM_ASSERT(!flush.passed);
  flush.passed = true;
  const bool last = flush.piece == last_;
  if (last && !parts_.gate.closed() && !parts_.writes.take_unshared()) {
    finish(flush, 0);
  } else {
    parts_.gate.acknowledge(flush.held);
  }
}

void FlushPath::answer(HeldAck& held) {
  auto& flush = *static_cast<Flush*>(held.owner);
  FlushPath& path = *flush.path;
  BM_ASSERT(flush.passed);
  if (!held.failed || path.parts_.access.usable()) {
    path.finish(flush, held.failed ? EIO : 0);
    return;
  }
  flush.passed = false;
  if (!flush.tracked) path.hold(flush);  // else with the last report
}

void FlushPath::hold(Flush& flush) {
  BM_ASSERT(!flush.link.linked());
  BM_ASSERT(!flush.tracked);
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
  flush.piece = nullptr;
  if (!flush.tracked) recycle(flush);
  piece.done(piece, error);
}

// Answered, and reported by every peer: the place is free for a flush that waits for one.
void FlushPath::recycle(Flush& flush) {
  BM_ASSERT(flush.piece == nullptr);
  nbd::Piece* next = backlog_.pop_front();
  if (next != nullptr) {
    begin(*next, flush);
  } else {
    flushes_.give_back(flush);
  }
}

}  // namespace blkmirror::engine
