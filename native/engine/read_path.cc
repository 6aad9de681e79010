// See read_path.h.
#include "engine/read_path.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "engine/parts.h"

namespace blkmirror::engine {

ReadPath::ReadPath(Parts& parts) : parts_(parts), reads_(kReads) {
  for (uint32_t i = 0; i < reads_.count(); ++i) {
    Read& read = reads_.at(i);
    read.path = this;
    read.job.owner = &read;
    read.job.done = local_read;
  }
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
  if (out_of_sync(piece)) {
    begin_remote(read);
  } else {
    parts_.disk.read(piece.offset, piece.buffer->data, piece.length, read.job);
  }
}

void ReadPath::local_read(disk::Job& job, int error) {
  auto& read = *static_cast<Read*>(job.owner);
  if (error == 0) read.path->parts_.count_read(read.piece->length);
  read.path->finish(read, error);
}

void ReadPath::begin_remote(Read& read) {
  Peer* source = parts_.target.source();
  const bool usable = source != nullptr && source->link->up() &&
                      source->link->space() >= peer::kFrameHeaderBytes + 8;
  if (!usable) {
    parts_.refuse(*read.piece);
    recycle(read);
    return;
  }
  sequence_ += 1;
  read.sequence = sequence_;
  read.sent_us = parts_.io.now_us();
  read.slot = source->slot;
  remote_.push_back(read);
  peer::FrameHeader header;
  header.type = peer::FrameType::kReadRequest;
  header.sequence = read.sequence;
  header.offset = read.piece->offset;
  header.payload_bytes = 8;
  std::byte payload[8] = {};
  store_be32(payload, read.piece->length);
  source->link->push(header, payload);
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
  finish(*read, 0);
  return true;
}

bool ReadPath::on_failed(Peer& peer, const peer::FrameHeader& header, uint32_t error) {
  Read* read = find_remote(peer.slot, header.sequence);
  if (read == nullptr || error == 0) return false;
  remote_.remove(*read);
  finish(*read, EIO);
  return true;
}

void ReadPath::peer_lost(uint32_t slot) {
  bool again = true;
  while (again) {
    again = false;
    for (Read* read = remote_.front(); read != nullptr; read = remote_.next(*read)) {
      if (read->slot != slot) continue;
      remote_.remove(*read);
      finish(*read, EIO);
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
