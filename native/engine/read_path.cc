// See read_path.h.
#include "engine/read_path.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "engine/parts.h"

namespace blkmirror::engine {

ReadPath::ReadPath(Parts& parts) : parts_(parts), reads_(kReads, this, prepare) {}

void ReadPath::prepare(void* owner, Read& read) {
  read.path = static_cast<ReadPath*>(owner);
  read.job.owner = read.range.owner = read.heat.owner = &read;
  read.range.granted = range_granted;
  read.heat.done = extent_hot;
}

void ReadPath::submit(nbd::Piece& piece) {
  BM_ASSERT(piece.kind == nbd::PieceKind::kRead);
  BM_ASSERT(piece.buffer != nullptr);
  Read* read = backlog_.empty() ? reads_.try_take() : nullptr;
  if (read == nullptr) {
    backlog_.push_back(piece);
  } else {
    begin(piece, *read);
  }
}

bool ReadPath::out_of_sync(const nbd::Piece& piece) const {
  if ((parts_.superblock().flags & meta::kConsistent) != 0) return false;
  if (!parts_.target.union_known()) return true;
  for (uint32_t rest = parts_.peers.configured(); rest != 0; rest &= rest - 1) {
    const uint32_t slot = static_cast<uint32_t>(std::countr_zero(rest));
    if (parts_.bitmap->any(slot, piece.offset, piece.length)) return true;
  }
  return false;
}

void ReadPath::begin(nbd::Piece& piece, Read& read) {
  read.piece = &piece;
  read.error = 0;
  read.tried = 0;
  if (!parts_.access.local() || out_of_sync(piece)) {
    begin_remote(read);
  } else {
    read.job.done = local_read;
    parts_.disk.read(piece.offset, piece.buffer->data, piece.length, read.job);
  }
}

void ReadPath::local_read(disk::Job& job, int error) {
  auto& read = *static_cast<Read*>(job.owner);
  ReadPath& path = *read.path;
  if (error == 0) {
    path.parts_.count_read(read.piece->length);
    path.finish(read, 0);
  } else if (error == ECANCELED && !path.replace_buffer(*read.piece)) {
    path.finish(read, EIO);
  } else if (path.parts_.access.local()) {
    path.begin_repair(read, error);
  } else {
    path.begin_remote(read);
  }
}

// The kernel may still fill the buffer of a read that was given up: it is left to it.
bool ReadPath::replace_buffer(nbd::Piece& piece) {
  BM_ASSERT(piece.buffer != nullptr);
  Buffer* fresh = parts_.client_pool.try_get(piece.buffer->capacity);
  if (fresh == nullptr) fresh = parts_.peer_pool.try_get(piece.buffer->capacity);
  if (fresh == nullptr) return false;
  BM_ASSERT(fresh->capacity == piece.buffer->capacity);
  BufferPool::release(*piece.buffer);
  piece.buffer = fresh;
  return true;
}

// The range is locked from before the peer is asked until its data is written back.
void ReadPath::begin_repair(Read& read, int error) {
  BM_ASSERT(error != 0);
  BM_ASSERT(!read.range.link.linked());
  read.error = error;
  read.range.offset = read.piece->offset;
  read.range.length = read.piece->length;
  if (parts_.ranges.acquire(read.range)) begin_remote(read);
}

void ReadPath::range_granted(RangeEntry& range) {
  auto& read = *static_cast<Read*>(range.owner);
  read.path->begin_remote(read);
}

void ReadPath::begin_remote(Read& read) {
  Peer* peer = parts_.access.reader(read.tried);
  if (peer != nullptr) {
    ask(read, *peer);
  } else {
    unanswered(read);
  }
}

void ReadPath::ask(Read& read, Peer& peer) {
  BM_ASSERT(peer.link->up());
  sequence_ += 1;
  read.sequence = sequence_;
  read.sent_us = parts_.io.now_us();
  read.slot = peer.slot;
  remote_.push_back(read);
  peer::FrameHeader header;
  header.type = peer::FrameType::kReadRequest;
  header.sequence = read.sequence;
  header.offset = read.piece->offset;
  header.payload_bytes = 8;
  std::byte payload[8] = {};
  store_be32(payload, read.piece->length);
  peer.link->push(header, payload);
}

// No peer can be asked (any more).
void ReadPath::unanswered(Read& read) {
  const int error = read.error;
  end_repair(read);
  if (error != 0) parts_.access.data_error("reading from the backing disk", error);
  // With `tried`, whoever has the data cannot read it.
  if (parts_.access.stands_alone() || read.tried != 0) {
    nbd::Piece& piece = *read.piece;
    recycle(read);
    parts_.refuse(piece);
  } else {
    hold(read);
  }
}

void ReadPath::end_repair(Read& read) {
  read.error = 0;
  if (read.range.link.linked()) parts_.ranges.release(read.range);
  BM_ASSERT(!read.range.held);
}

void ReadPath::hold(Read& read) {
  BM_ASSERT(!read.link.linked());
  held_.push_back(read);
  if (parts_.access.expired()) parts_.io.wake();
}

void ReadPath::retry() {
  List<Read, &Read::link> again;
  while (Read* read = held_.pop_front()) again.push_back(*read);
  while (Read* read = again.pop_front()) begin(*read->piece, *read);
}

void ReadPath::fail_held() {
  while (Read* read = held_.pop_front()) finish(*read, EIO);
}

ReadPath::Read* ReadPath::find_remote(uint32_t slot, uint64_t sequence) {
  for (Read* read = remote_.front(); read != nullptr; read = remote_.next(*read)) {
    if (read->slot == slot && read->sequence == sequence) return read;
  }
  return nullptr;
}

bool ReadPath::on_data(Peer& peer, const peer::FrameHeader& header, Buffer& buffer) {
  Read* read = find_remote(peer.slot, header.sequence);
  if (read == nullptr || read->piece->length != header.payload_bytes) return false;
  std::memcpy(read->piece->buffer->data, buffer.data, header.payload_bytes);
  parts_.count_read(header.payload_bytes);
  remote_.remove(*read);
  if (read->error != 0 && parts_.access.local()) {
    write_back(*read);
  } else {
    end_repair(*read);
    finish(*read, 0);
  }
  return true;
}

void ReadPath::write_back(Read& read) {
  BM_ASSERT(read.range.held);
  parts_.events.io_error("reading from the backing disk: repaired from a peer", read.error);
  const uint64_t extent = read.piece->offset / limits::kExtentBytes;
  if (parts_.log->hot(extent)) {
    extent_hot(read.heat, 0);
  } else {
    parts_.log->heat(extent, read.heat);
  }
}

void ReadPath::extent_hot(meta::Waiter& waiter, int error) {
  auto& read = *static_cast<Read*>(waiter.owner);
  Parts& parts = read.path->parts_;
  const nbd::Piece& piece = *read.piece;
  if (error != 0) parts.fail_disk("writing the activity log", error);
  if (parts.failed) {
    read.path->end_repair(read);
    read.path->finish(read, 0);
    return;
  }
  parts.cooler.touch(piece.offset / limits::kExtentBytes);
  read.job.done = repaired;
  parts.disk.write(piece.offset, piece.buffer->data, piece.length, false, read.job);
}

// The client has the peer's data either way.
void ReadPath::repaired(disk::Job& job, int error) {
  auto& read = *static_cast<Read*>(job.owner);
  ReadPath& path = *read.path;
  if (error != 0) path.parts_.access.data_error("repairing the backing disk", error);
  path.end_repair(read);
  path.finish(read, 0);
}

bool ReadPath::on_failed(Peer& peer, const peer::FrameHeader& header, uint32_t error) {
  Read* read = find_remote(peer.slot, header.sequence);
  if (read == nullptr || error == 0) return false;
  remote_.remove(*read);
  read->tried |= peer.bit();
  begin_remote(*read);
  return true;
}

void ReadPath::peer_lost(uint32_t slot) {
  bool again = true;
  while (again) {
    again = false;
    for (Read* read = remote_.front(); read != nullptr; read = remote_.next(*read)) {
      if (read->slot != slot) continue;
      remote_.remove(*read);
      begin_remote(*read);
      again = true;
      break;
    }
  }
}

uint64_t ReadPath::oldest_us(uint32_t slot) {
  for (Read* read = remote_.front(); read != nullptr; read = remote_.next(*read)) {
    if (read->slot == slot) return read->sent_us;
  }
  return 0;
}

void ReadPath::finish(Read& read, int error) {
  nbd::Piece& piece = *read.piece;
  recycle(read);
  piece.done(piece, error);
}

void ReadPath::recycle(Read& read) {
  nbd::Piece* next = backlog_.pop_front();
  if (next != nullptr) {
    begin(*next, read);
  } else {
    reads_.give_back(read);
  }
}

}  // namespace blkmirror::engine
