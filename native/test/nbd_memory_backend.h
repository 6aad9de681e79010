// A backend for tests of the NBD server: a device in memory that checks the rules of every piece.
//
// Pieces complete after `delay_us`, in the order of their submission, from a timer; while `held`
// they wait. Pieces that touch `fail_offset` fail with `fail_error`.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/assert.h"
#include "io/io.h"
#include "nbd/backend.h"

namespace blkmirror::nbd {

class MemoryBackend final : public Backend {
 public:
  struct Seen {
    PieceKind kind;
    bool durable;
    bool may_unmap;
    bool fast;
    uint64_t offset;
    uint32_t length;
  };

  MemoryBackend(io::Io& io, uint64_t bytes)
      : io_(io), size_bytes_(bytes), bytes_(static_cast<std::byte*>(std::calloc(bytes, 1))) {
    BM_ASSERT(bytes_ != nullptr);
    timer_.owner = this;
    timer_.fire = [](io::Timer& timer) { static_cast<MemoryBackend*>(timer.owner)->complete(); };
  }
  ~MemoryBackend() {
    io_.disarm(timer_);
    std::free(bytes_);
  }

  void submit(Piece& piece) override {
    check(piece);
    if (record) {
      seen.push_back(
          {piece.kind, piece.durable, piece.may_unmap, piece.fast, piece.offset, piece.length});
    }
    waiting_.push_back(piece);
    in_flight++;
    if (in_flight > most_in_flight) most_in_flight = in_flight;
    if (!held && !timer_.link.linked()) io_.arm(timer_, io_.now_us() + delay_us);
  }
  void let_go() {
    held = false;
    if (!waiting_.empty() && !timer_.link.linked()) io_.arm(timer_, io_.now_us() + delay_us);
  }
  std::byte* at(uint64_t offset) { return bytes_ + offset; }

  bool held = false;
  bool null = false;  // moves no data, for measurements
  bool record = true;
  uint64_t delay_us = 30;
  uint64_t fail_offset = UINT64_MAX;
  int fail_error = 0;
  uint32_t in_flight = 0;
  uint32_t most_in_flight = 0;
  std::vector<Seen> seen;

 private:
  void check(const Piece& piece) const {
    BM_ASSERT(piece.done != nullptr);
    BM_ASSERT(piece.offset + piece.length <= size_bytes_);
    if (piece.kind == PieceKind::kFlush) {
      BM_ASSERT(piece.length == 0);
      return;
    }
    BM_ASSERT(piece.length > 0);
    BM_ASSERT(piece.offset / limits::kExtentBytes ==
              (piece.offset + piece.length - 1) / limits::kExtentBytes);
    if (piece.kind == PieceKind::kZero) return;
    BM_ASSERT(piece.length <= limits::kPieceBytes);
    BM_ASSERT(piece.buffer != nullptr);
    BM_ASSERT(piece.length <= piece.buffer->capacity);
    BM_ASSERT(piece.buffer->references > 0);
  }

  void complete() {
    for (uint32_t left = in_flight; left > 0 && !held; left--) {
      Piece* piece = waiting_.pop_front();
      in_flight--;
      const bool fails =
          fail_offset >= piece->offset && fail_offset - piece->offset < piece->length;
      if (!fails && !null) carry_out(*piece);
      piece->done(*piece, fails ? fail_error : 0);
    }
    if (!held && !waiting_.empty() && !timer_.link.linked()) {
      io_.arm(timer_, io_.now_us() + delay_us);
    }
  }

  void carry_out(Piece& piece) {
    switch (piece.kind) {
      case PieceKind::kRead:
        std::memcpy(piece.buffer->data, at(piece.offset), piece.length);
        break;
      case PieceKind::kWrite:
        std::memcpy(at(piece.offset), piece.buffer->data, piece.length);
        break;
      case PieceKind::kZero:
        std::memset(at(piece.offset), 0, piece.length);
        break;
      case PieceKind::kFlush:
        break;
    }
  }

  io::Io& io_;
  io::Timer timer_;
  uint64_t size_bytes_;
  std::byte* bytes_;  // calloc: pages that are never touched cost nothing
  List<Piece, &Piece::link> waiting_;
};

}  // namespace blkmirror::nbd
