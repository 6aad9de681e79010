// See write_path.h.
#include "engine/write_path.h"

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "base/endian.h"
#include "engine/parts.h"

namespace blkmirror::engine {

WritePath::WritePath(Parts& parts)
    : parts_(parts), writes_(limits::kWritesInFlight, this, prepare) {}

void WritePath::prepare(void* owner, Write& write) {
  write.path = static_cast<WritePath*>(owner);
  write.range.owner = write.heat.owner = write.job.owner = &write;
  write.item.owner = write.held.owner = &write;
  write.range.granted = range_granted;
  write.heat.done = extent_hot;
  write.job.done = local_written;
  write.item.missed = peer_missed;
  write.item.acknowledged = acknowledged;
  write.item.finished = written_everywhere;
  write.held.release = answer;
}

void WritePath::submit(nbd::Piece& piece) {
  BM_ASSERT(piece.kind == nbd::PieceKind::kWrite || piece.kind == nbd::PieceKind::kZero);
  BM_ASSERT(piece.length > 0);
  Write* write = backlog_.empty() ? writes_.try_take() : nullptr;
  if (write == nullptr) {
    backlog_.push_back(piece);
  } else {
    begin(piece, *write);
  }
}

void WritePath::begin(nbd::Piece& piece, Write& write) {
  write.piece = &piece;
  write.error = 0;
  write.tracked = write.passed = false;
  write.range.offset = piece.offset;
  write.range.length = piece.length;
  if (parts_.ranges.acquire(write.range)) admit(write);
}

void WritePath::range_granted(RangeEntry& range) {
  auto& write = *static_cast<Write*>(range.owner);
  write.path->admit(write);
}

// Fixes once which copies receive the write; the others get their bits now.
void WritePath::admit(Write& write) {
  BM_ASSERT(write.range.held);
  if (!parts_.access.usable()) {
    hold(write);
    return;
  }
  const nbd::Piece& piece = *write.piece;
  write.sent = parts_.peers.receiving();
  write.local = parts_.access.local();
  const uint32_t missing = parts_.peers.configured() & ~write.sent;
  if (missing != 0) parts_.bitmap->set(missing, piece.offset, piece.length);
  write.tracked = true;
  write.passed = false;
  parts_.target.application_request();
  // Where the own copy does not count, a peer that has written it stands in for it.
  const Protocol protocol = parts_.access.stands_alone() ? parts_.next_protocol() : Protocol::kC;
  parts_.acks.admit(write.item, write.sent, protocol, parts_.io.now_us());
  const uint64_t extent = piece.offset / limits::kExtentBytes;
  if (!write.local) {
    launch_diskless(write);
  } else if (parts_.log->hot(extent)) {
    launch(write);
  } else {
    parts_.log->heat(extent, write.heat);
  }
}

void WritePath::extent_hot(meta::Waiter& waiter, int error) {
  auto& write = *static_cast<Write*>(waiter.owner);
  WritePath& path = *write.path;
  if (error != 0) path.parts_.fail_disk("writing the activity log", error);
  if (path.parts_.failed) {
    path.launch_diskless(write);
  } else {
    path.launch(write);
  }
}

// No backing disk: the peers alone get it.
void WritePath::launch_diskless(Write& write) {
  BM_ASSERT(!parts_.access.local());
  write.local = false;
  send(write);
  parts_.acks.local_done(write.item);
}

// The extent is hot on stable storage: the write may go to the disk and to the peers.
void WritePath::launch(Write& write) {
  const nbd::Piece& piece = *write.piece;
  BM_ASSERT(parts_.log->hot(piece.offset / limits::kExtentBytes));
  parts_.cooler.touch(piece.offset / limits::kExtentBytes);
  if (piece.kind == nbd::PieceKind::kWrite) {
    BM_ASSERT(piece.buffer != nullptr);
    parts_.disk.write(piece.offset, piece.buffer->data, piece.length, piece.durable, write.job);
  } else {
    parts_.disk.zero(piece.offset, piece.length, piece.may_unmap, piece.durable, write.job);
  }
  send(write);
}

void WritePath::send(Write& write) {
  const nbd::Piece& piece = *write.piece;
  peer::FrameHeader header;
  header.sequence = write.item.sequence;
  header.offset = piece.offset;
  if (piece.durable) header.flags |= peer::kFlagDurable;
  if (!write.local) header.flags |= peer::kFlagDiskless;
  std::byte length[8] = {};
  if (piece.kind == nbd::PieceKind::kWrite) {
    header.type = peer::FrameType::kData;
    header.payload_bytes = piece.length;
  } else {
    header.type = peer::FrameType::kZeroes;
    header.payload_bytes = sizeof length;
    if (piece.may_unmap) header.flags |= peer::kFlagMayUnmap;
    store_be32(length, piece.length);
  }
  for (uint32_t rest = write.item.waiting; rest != 0; rest &= rest - 1) {
    peer::Link& link = *parts_.peers.at(std::countr_zero(rest)).link;
    if (!link.up()) continue;  // lost with one before it
    if (link.space() < peer::kFrameHeaderBytes + sizeof length) {
      link.lose(peer::LinkLoss::kTimeout, "the peer does not take what is sent");
    } else if (piece.kind == nbd::PieceKind::kWrite) {
      link.push_bulk(header, *piece.buffer);
    } else {
      link.push(header, length);
    }
    if (write.item.protocol == Protocol::kA && link.up()) link.watch(header.sequence);
  }
}

void WritePath::local_written(disk::Job& job, int error) {
  auto& write = *static_cast<Write*>(job.owner);
  Parts& parts = write.path->parts_;
  // Passed on to the client, unless the disk is detached and the peers answer for it.
  if (error != 0 && !parts.access.data_error("writing to the backing disk", error)) {
    write.error = error;
  }
  parts.acks.local_done(write.item);
}

void WritePath::peer_missed(Outstanding& item, uint32_t slot) {
  auto& write = *static_cast<Write*>(item.owner);
  Parts& parts = write.path->parts_;
  // Without a disk here nobody has it: it is held, and sent again. Once answered (A and B) it is
  // not: the bit keeps a peer that may lack it from serving.
  if (!parts.access.local() && write.piece != nullptr) return;
  if (write.piece == nullptr && item.protocol == Protocol::kA) write.path->unshared_ = true;
  parts.bitmap->set(1u << slot, write.range.offset, write.range.length);
}

// Every receiving peer has done what the protocol asks.
void WritePath::acknowledged(Outstanding& item) {
  auto& write = *static_cast<Write*>(item.owner);
  BM_ASSERT(write.tracked);
  // Otherwise once more when every peer has reported it.
  if (write.path->kept(write)) write.path->pass(write);
}

void WritePath::written_everywhere(Outstanding& item) {
  auto& write = *static_cast<Write*>(item.owner);
  WritePath& path = *write.path;
  BM_ASSERT(write.tracked);
  write.tracked = false;
  const bool answered = write.piece == nullptr;
  if (answered) {
    path.recycle(write);
  } else if (write.passed) {
    return;  // the gate answers it
  } else if (path.kept(write)) {
    path.pass(write);
  } else {
    path.hold(write);
  }
}

// On to the answer. Then the piece may be gone, and with the last report the write.
void WritePath::pass(Write& write) {
  BM_ASSERT(write.piece != nullptr);
  BM_ASSERT(!write.passed);
  write.passed = true;
  // The peers may hold what this disk refused: they differ from now on.
  if (write.error != 0 && write.sent != 0) {
    parts_.bitmap->set(write.sent, write.range.offset, write.range.length);
  }
  parts_.end_epoch();
  parts_.gate.acknowledge(write.held);
}

// A later write may overlap once this one is answered, not before: it might have to be executed
// again, and would undo the later one. From then on also at a peer that has not written this one:
// frames arrive there in the order sent. But a block that the peer, as a resync's source, read
// before this write came to it must find the range locked here.
void WritePath::free_range(Write& write) {
  if (write.item.waiting == 0) {
    if (write.range.link.linked()) parts_.ranges.release(write.range);
  } else if (write.range.held && (write.item.waiting & parts_.target.sources()) == 0) {
    parts_.ranges.settle(write.range);
  }
}

// Some copy that has all data has this write, too.
bool WritePath::kept(const Write& write) const {
  if (parts_.access.stands_alone()) return true;
  return (write.item.reported & parts_.access.keepers()) != 0;
}

void WritePath::answer(HeldAck& held) {
  auto& write = *static_cast<Write*>(held.owner);
  WritePath& path = *write.path;
  BM_ASSERT(write.passed);
  if (!held.failed || path.parts_.access.usable()) {
    path.free_range(write);
    path.finish(write, write.error != 0 ? write.error : (held.failed ? EIO : 0));
    return;
  }
  write.passed = false;
  if (!write.tracked) path.hold(write);  // else with the last report
}

// With its range, where it has it: what overlaps stays in order.
void WritePath::hold(Write& write) {
  BM_ASSERT(!write.link.linked());
  BM_ASSERT(!write.tracked);
  write.error = 0;
  held_.push_back(write);
  if (parts_.access.expired()) parts_.io.wake();
}

void WritePath::retry() {
  List<Write, &Write::link> again;
  while (Write* write = held_.pop_front()) again.push_back(*write);
  while (Write* write = again.pop_front()) {
    if (write->range.held) {
      admit(*write);
    } else {
      begin(*write->piece, *write);
    }
  }
}

void WritePath::fail_held() {
  while (Write* write = held_.pop_front()) {
    if (write->range.held) parts_.ranges.release(write->range);
    finish(*write, EIO);
  }
}

void WritePath::finish(Write& write, int error) {
  BM_ASSERT(write.piece != nullptr);
  nbd::Piece& piece = *write.piece;
  if (error == 0) parts_.count_write(piece.length);
  write.piece = nullptr;
  if (!write.tracked) recycle(write);
  piece.done(piece, error);
}

// Answered, and reported by every peer: the place is free for a write that waits for one. What got
// its range when it was answered may have lost the peers, and the last report with them.
void WritePath::recycle(Write& write) {
  BM_ASSERT(write.piece == nullptr);
  BM_ASSERT(!write.tracked);
  if (write.range.link.linked()) parts_.ranges.release(write.range);
  nbd::Piece* next = backlog_.pop_front();
  if (next != nullptr) {
    begin(*next, write);
  } else {
    writes_.give_back(write);
  }
}

}  // namespace blkmirror::engine
