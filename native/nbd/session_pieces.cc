// A session's requests become pieces for the backend. See session.h.
#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "nbd/session.h"

namespace blkmirror::nbd {

// Goes on with the request that was parsed last; false when something is awaited.
bool Session::start_current() {
  BM_ASSERT(current_ != nullptr);
  BM_ASSERT(blocked_ == Blocked::kNo);
  Request& request = *current_;
  if (request.kind == PieceKind::kFlush) return start_flush(request);
  if (request.header.length == 0) {  // allowed, and there is nothing to do
    current_ = nullptr;
    queue_reply(request);
    return true;
  }
  switch (request.kind) {
    case PieceKind::kRead:
      return start_read(request);
    case PieceKind::kWrite:
      return start_write(request);
    default:
      return start_zeroes(request);
  }
}

// A read of several pieces takes buffers of the full size where it can, to use them again and
// again.
bool Session::start_read(Request& request) {
  const uint32_t length = std::min(request.header.length, limits::kPieceBytes);
  Buffer* buffer = take_buffer(length);
  if (buffer == nullptr) return false;
  SessionPiece* piece = take_piece(request);
  if (piece == nullptr) {
    reserved_ = buffer;
    return false;
  }
  current_ = nullptr;
  piece->piece.buffer = buffer;
  cut(*piece, buffer->capacity);
  request.window[request.window_count++] = piece;
  submit(*piece);
  extend_read(request);
  return true;
}

// Further pieces at the end of the window, as far as slots and buffers are there for the asking.
void Session::extend_read(Request& request) {
  BM_ASSERT(request.kind == PieceKind::kRead);
  BM_ASSERT(request.window_count > 0);
  while (request.cut_bytes < request.header.length && request.window_count < kReadWindow) {
    if (free_pieces_.empty()) return;
    Buffer* buffer = try_buffer(std::min(request.header.length, limits::kPieceBytes));
    if (buffer == nullptr) return;
    SessionPiece* piece = take_piece(request);
    BM_ASSERT(piece != nullptr);
    piece->piece.buffer = buffer;
    cut(*piece, buffer->capacity);
    const uint32_t place = (request.window_first + request.window_count++) % kReadWindow;
    request.window[place] = piece;
    submit(*piece);
  }
}

// One piece: its buffer, then its data; false when data or something else is awaited.
bool Session::start_write(Request& request) {
  if (filling_ == nullptr) {
    const uint64_t offset = request.header.offset + request.cut_bytes;
    const auto to_extent =
        static_cast<uint32_t>(limits::kExtentBytes - offset % limits::kExtentBytes);
    const uint32_t left = request.header.length - request.cut_bytes;
    Buffer* buffer = take_buffer(std::min({left, to_extent, limits::kPieceBytes}));
    if (buffer == nullptr) return false;
    SessionPiece* piece = take_piece(request);
    if (piece == nullptr) {
      reserved_ = buffer;
      return false;
    }
    piece->piece.buffer = buffer;
    cut(*piece, buffer->capacity);
    request.in_flight++;
    filling_ = piece;
    filled_bytes_ = 0;
  }
  return fill_write();
}

bool Session::fill_write() {
  BM_ASSERT(filling_ != nullptr);
  Piece& piece = filling_->piece;
  BM_ASSERT(piece.length <= piece.buffer->capacity);
  const uint32_t part = std::min(available(), piece.length - filled_bytes_);
  std::memcpy(piece.buffer->data + filled_bytes_, stream_.get() + stream_begin_, part);
  filled_bytes_ += part;
  stream_begin_ += part;
  if (filled_bytes_ < piece.length) return false;
  SessionPiece& full = *filling_;
  Request& request = *full.request;
  filling_ = nullptr;
  if (request.cut_bytes == request.header.length) current_ = nullptr;
  request.in_flight--;  // submit() counts it again
  submit(full);
  return true;
}

bool Session::start_zeroes(Request& request) {
  if (free_pieces_.empty()) {
    blocked_ = Blocked::kSlot;
    return false;
  }
  current_ = nullptr;
  cut_zeroes(request);
  if (wants_more_zeroes(request)) uncut_.push_back(request);
  return true;
}

bool Session::start_flush(Request& request) {
  SessionPiece* piece = take_piece(request);
  if (piece == nullptr) return false;
  current_ = nullptr;
  cut(*piece, 0);
  submit(*piece);
  return true;
}

void Session::cut_zeroes(Request& request) {
  BM_ASSERT(request.kind == PieceKind::kZero);
  while (wants_more_zeroes(request) && request.in_flight < kZeroWindow && !free_pieces_.empty()) {
    SessionPiece* piece = take_piece(request);
    BM_ASSERT(piece != nullptr);
    cut(*piece, limits::kExtentBytes);
    submit(*piece);
  }
}

// After an error there is no point in going on.
bool Session::wants_more_zeroes(const Request& request) const {
  return request.error == 0 && request.cut_bytes < request.header.length;
}

Session::SessionPiece* Session::take_piece(Request& request) {
  SessionPiece* piece = free_pieces_.pop_front();
  if (piece == nullptr) {
    blocked_ = Blocked::kSlot;
    return nullptr;
  }
  BM_ASSERT(piece->request == nullptr);
  piece->request = &request;
  piece->piece.buffer = nullptr;
  return piece;
}

void Session::free_piece(SessionPiece& piece) {
  BM_ASSERT(piece.request != nullptr);
  if (piece.piece.buffer != nullptr) drop_buffer(*piece.piece.buffer);
  piece.piece.buffer = nullptr;
  piece.request = nullptr;
  free_pieces_.push_front(piece);
  unblock();
}

// A buffer, the one that was waited for, or null: then what is awaited is in `blocked_`. It may
// be smaller than asked for when the pool is short.
Buffer* Session::take_buffer(uint32_t length) {
  BM_ASSERT(length > 0);
  BM_ASSERT(length <= limits::kPieceBytes);
  if (reserved_ != nullptr) {
    Buffer* buffer = reserved_;
    BM_ASSERT(buffer->capacity >= std::min(length, limits::kClientSureBytes));
    reserved_ = nullptr;
    return buffer;
  }
  if (!within_share(length)) {
    if (held_bytes_ > 0) {
      blocked_ = Blocked::kQuota;
      return nullptr;
    }
    length = std::min(length, limits::kClientSureBytes);
  }
  Buffer* buffer = world_.pool.try_get(length);
  if (buffer != nullptr) {
    held_bytes_ += buffer->capacity;
    return buffer;
  }
  blocked_ = Blocked::kPool;
  place_.waiter.length = length;
  world_.pool.wait(place_.waiter);
  return nullptr;
}

Buffer* Session::try_buffer(uint32_t length) {
  if (!within_share(length)) return nullptr;
  Buffer* buffer = world_.pool.try_get(length);
  if (buffer != nullptr) held_bytes_ += buffer->capacity;
  return buffer;
}

// Twice what it leaves spare: one client alone has two thirds, two have two fifths each, and those
// that come after clients which never read have always something of what is left.
bool Session::within_share(uint32_t length) const {
  const uint32_t spare = world_.host.spare_bytes();
  return length <= spare && held_bytes_ + length <= 2 * (spare - length);
}

void Session::drop_buffer(Buffer& buffer) {
  BM_ASSERT(held_bytes_ >= buffer.capacity);
  held_bytes_ -= buffer.capacity;
  BufferPool::release(buffer);
}

// Gives the piece the next part of its request: within an extent, at most `most_bytes`.
void Session::cut(SessionPiece& piece, uint32_t most_bytes) {
  Request& request = *piece.request;
  const uint64_t offset = request.header.offset + request.cut_bytes;
  const auto to_extent =
      static_cast<uint32_t>(limits::kExtentBytes - offset % limits::kExtentBytes);
  const uint32_t left = request.header.length - request.cut_bytes;
  Piece& part = piece.piece;
  part.kind = request.kind;
  part.durable = (request.header.flags & kFlagFua) != 0;
  const bool zeroes = request.header.command == Command::kWriteZeroes;
  part.may_unmap = !zeroes || (request.header.flags & kFlagNoHole) == 0;
  part.fast = zeroes && (request.header.flags & kFlagFastZero) != 0;
  part.offset = offset;
  part.length = std::min({left, to_extent, most_bytes});
  piece.done = false;
  request.cut_bytes += part.length;
  BM_ASSERT(request.cut_bytes <= request.header.length);
  BM_ASSERT((part.length > 0) == (part.kind != PieceKind::kFlush));
}

void Session::submit(SessionPiece& piece) {
  BM_ASSERT(!ended_);
  BM_ASSERT(piece.request != nullptr);
  piece.request->in_flight++;
  at_backend_++;
  world_.backend.submit(piece.piece);
}

void Session::on_piece_done(Piece& piece, int error) {
  auto* self = static_cast<Session*>(piece.owner);
  auto& whole = *reinterpret_cast<SessionPiece*>(reinterpret_cast<std::byte*>(&piece) -
                                                 offsetof(SessionPiece, piece));
  self->piece_done(whole, error);
}

void Session::piece_done(SessionPiece& piece, int error) {
  BM_ASSERT(error >= 0);
  BM_ASSERT(at_backend_ > 0);
  BM_ASSERT(piece.request->in_flight > 0);
  Request& request = *piece.request;
  at_backend_--;
  request.in_flight--;
  if (error != 0 && request.error == 0) request.error = error;
  if (ended_) {
    if (idle()) world_.host.want_run(*this);
  } else if (request.kind == PieceKind::kRead) {
    read_piece_done(piece);
  } else {
    free_piece(piece);
    finish_if_complete(request);
  }
}

// Data that is there is sent in order; an error is an answer only while nothing was sent.
void Session::read_piece_done(SessionPiece& piece) {
  Request& request = *piece.request;
  BM_ASSERT(request.window_count > 0);
  BM_ASSERT(!piece.done);
  piece.done = true;
  if (request.error == 0) {
    if (request.window[request.window_first] == &piece) queue_reply(request);
    return;
  }
  if (request.header_sent) {
    end();
    return;
  }
  if (request.in_flight == 0) queue_reply(request);
}

void Session::finish_if_complete(Request& request) {
  BM_ASSERT(request.kind != PieceKind::kRead);
  if (request.in_flight > 0 || current_ == &request) return;
  if (request.kind == PieceKind::kZero && wants_more_zeroes(request)) {
    BM_ASSERT(request.link.linked());
    return;
  }
  if (request.link.linked()) uncut_.remove(request);
  queue_reply(request);
}

void Session::on_buffer_ready(BufferWaiter& waiter) {
  static_assert(offsetof(Place, waiter) == 0);
  Session& self = *reinterpret_cast<Place*>(&waiter)->session;
  BM_ASSERT(self.blocked_ == Blocked::kPool);
  BM_ASSERT(self.reserved_ == nullptr);
  self.reserved_ = self.world_.pool.try_get(waiter.length);
  BM_ASSERT(self.reserved_ != nullptr);
  self.held_bytes_ += self.reserved_->capacity;
  self.blocked_ = Blocked::kNo;
  self.world_.host.want_run(self);
}

}  // namespace blkmirror::nbd
