// The stream of a session: receiving, the handshake, parsing, the end. See session.h.
#include "nbd/session.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace blkmirror::nbd {

namespace {

PieceKind kind_of(Command command) {
  switch (command) {
    case Command::kRead:
      return PieceKind::kRead;
    case Command::kWrite:
      return PieceKind::kWrite;
    case Command::kTrim:
    case Command::kWriteZeroes:
      return PieceKind::kZero;
    case Command::kFlush:
    case Command::kDisconnect:
      break;
  }
  return PieceKind::kFlush;
}

}  // namespace

Session::Session(const SessionWorld& world, io::SocketId socket)
    : world_(world), socket_(socket), handshake_(world.exported), stream_(limits::kStreamBytes) {
  BM_ASSERT(socket != io::kNoSocket);
  receive_.owner = this;
  receive_.complete = on_receive;
  send_.owner = this;
  send_.complete = on_send;
  place_.session = this;
  place_.waiter.ready = on_buffer_ready;
  for (Request& request : requests_) free_requests_.push_back(request);
  for (SessionPiece& piece : pieces_) {
    piece.piece.owner = this;
    piece.piece.done = on_piece_done;
    free_pieces_.push_back(piece);
  }
}

Session::~Session() {
  BM_ASSERT(ended_);
  BM_ASSERT(idle() || abandoned_);
  for (SessionPiece& piece : pieces_) {
    if (piece.request != nullptr && piece.piece.buffer != nullptr) {
      drop_buffer(*piece.piece.buffer);
    }
    if (piece.link.linked()) piece.link.unlink();
  }
  for (Request& request : requests_) {
    if (request.link.linked()) request.link.unlink();
  }
  BM_ASSERT(held_bytes_ == 0);
  if (!abandoned_) world_.io.close_socket(socket_);
}

void Session::start() {
  BM_ASSERT(state_ == State::kHandshake);
  BM_ASSERT(!handshake_.output().empty());
  world_.host.want_send(*this);
}

void Session::start_kernel(std::span<const std::byte> unread) {
  BM_ASSERT(state_ == State::kHandshake);
  BM_ASSERT(unread.size() < limits::kStreamBytes);
  handshake_.clear_output();
  kernel_ = true;
  state_ = State::kTransmission;
  std::copy(unread.begin(), unread.end(), stream_.get());
  stream_end_ = static_cast<uint32_t>(unread.size());
  world_.host.entered_transmission(*this);
  world_.host.want_run(*this);
}

// The request that is being received is taken whole: its sender is in the middle of it.
void Session::park() {
  BM_ASSERT(kernel_);
  BM_ASSERT(!parking_);
  parking_ = true;
  if (ended_) return;
  if (receive_.impl.pending && between_requests()) world_.io.cancel(receive_);
  world_.host.want_run(*this);
}

bool Session::at_rest() const {
  return parking_ && !ended_ && between_requests() && requests_used_ == 0 && idle();
}

io::SocketId Session::unpark() {
  BM_ASSERT(at_rest());
  BM_ASSERT(!send_link.linked());
  ended_ = true;
  abandoned_ = true;
  let_go();
  return socket_;
}

void Session::run() {
  if (ended_) return;
  BM_ASSERT(!run_link.linked());
  for (Request* request = uncut_.front(); request != nullptr;) {
    Request* next = uncut_.next(*request);
    cut_zeroes(*request);
    if (!wants_more_zeroes(*request)) uncut_.remove(*request);
    request = next;
  }
  advance();
}

void Session::end() {
  if (ended_) return;
  ended_ = true;
  world_.io.shutdown(socket_);
  let_go();
  world_.host.want_run(*this);
}

void Session::abandon() {
  BM_ASSERT(!receive_.impl.pending);
  BM_ASSERT(!send_.impl.pending);
  ended_ = true;
  abandoned_ = true;
  let_go();
}

// An incomplete piece is never submitted; its buffer goes with those not yet sent, at the end.
void Session::let_go() {
  if (place_.waiter.link.linked()) world_.pool.cancel(place_.waiter);
  if (reserved_ != nullptr) drop_buffer(*reserved_);
  reserved_ = nullptr;
  filling_ = nullptr;
  if (send_link.linked()) send_link.unlink();
}

void Session::on_receive(io::Op& op, int32_t result) {
  static_cast<Session*>(op.owner)->received(result);
}

void Session::received(int32_t result) {
  BM_ASSERT(blocked_ == Blocked::kNo || ended_);
  BM_ASSERT(state_ != State::kDisconnecting || ended_);
  if (ended_) {
    world_.host.want_run(*this);
    return;
  }
  if (result == -ECANCELED && parking_) {
    advance();
    return;
  }
  if (result <= 0) {
    end();
    return;
  }
  auto bytes = static_cast<uint32_t>(result);
  if (filling_ != nullptr) {
    const uint32_t part = std::min(bytes, filling_->piece.length - filled_bytes_);
    filled_bytes_ += part;
    bytes -= part;
  }
  stream_end_ += bytes;
  BM_ASSERT(stream_end_ <= limits::kStreamBytes);
  advance();
}

// Of a piece being filled, the missing part goes straight to its buffer.
void Session::receive_more() {
  BM_ASSERT(!receive_.impl.pending);
  uint32_t count = 0;
  if (filling_ != nullptr) {
    BM_ASSERT(available() == 0);
    BM_ASSERT(filled_bytes_ < filling_->piece.length);
    receive_parts_[count++] = {filling_->piece.buffer->data + filled_bytes_,
                               filling_->piece.length - filled_bytes_};
  }
  if (stream_begin_ > 0) {
    std::memmove(stream_.get(), stream_.get() + stream_begin_, available());
    stream_end_ -= stream_begin_;
    stream_begin_ = 0;
  }
  BM_ASSERT(stream_end_ < limits::kStreamBytes);
  const uint32_t most = large_write_ ? limits::kReadAheadBytes : limits::kStreamBytes;
  const uint32_t room = std::min(most, limits::kStreamBytes - stream_end_);
  receive_parts_[count++] = {stream_.get() + stream_end_, room};
  world_.io.receive(socket_, receive_parts_, count, receive_);
}

// Acts on what has been received, and receives more when all of it was used.
void Session::advance() {
  if (receive_.impl.pending) return;
  bool progress = true;
  while (progress && !ended_ && blocked_ == Blocked::kNo) {
    switch (state_) {
      case State::kHandshake:
        if (send_.impl.pending || !handshake_.output().empty()) return;
        progress = advance_handshake();
        break;
      case State::kTransmission:
        progress = advance_transmission();
        break;
      case State::kDisconnecting:
        return;
    }
  }
  if (ended_ || blocked_ != Blocked::kNo || state_ == State::kDisconnecting) return;
  if (parking_ && between_requests()) {
    if (at_rest()) world_.host.want_run(*this);
    return;
  }
  receive_more();
}

// Nothing of a request that was parsed is still to be received or begun.
bool Session::between_requests() const {
  BM_ASSERT(filling_ == nullptr || current_ != nullptr);
  return current_ == nullptr && refused_ == nullptr;
}

// One message; false when more input is needed.
bool Session::advance_handshake() {
  BM_ASSERT(!transmission_next_);
  BM_ASSERT(!hang_up_next_);
  const Handshake::Step step = handshake_.step({stream_.get() + stream_begin_, available()});
  BM_ASSERT(step.consumed <= available());
  stream_begin_ += static_cast<uint32_t>(step.consumed);
  if (step.next == Handshake::Next::kInput) return false;
  transmission_next_ = step.next == Handshake::Next::kTransmission;
  hang_up_next_ = step.next == Handshake::Next::kClose;
  if (!handshake_.output().empty()) {
    world_.host.want_send(*this);
  } else if (hang_up_next_) {
    end();
  }
  return true;
}

// False when more input is needed or something is awaited.
bool Session::advance_transmission() {
  BM_ASSERT(current_ == nullptr || refused_ == nullptr);
  BM_ASSERT(filling_ == nullptr || current_ != nullptr);
  if (skip_bytes_ > 0 || refused_ != nullptr) return skip_payload();
  if (current_ != nullptr) return start_current();
  return take_header();
}

bool Session::take_header() {
  if (parking_) return false;
  if (available() < sizeof(WireRequest)) return false;
  Request* request = free_requests_.front();
  if (request == nullptr) {
    blocked_ = Blocked::kSlot;
    return false;
  }
  RequestHeader header;
  if (!decode_request(stream_.get() + stream_begin_, header)) {
    end();
    return false;
  }
  stream_begin_ += sizeof(WireRequest);
  const Verdict verdict = validate(header, world_.exported);
  if (verdict.hang_up) {
    end();
    return false;
  }
  if (header.command == Command::kDisconnect) {
    state_ = State::kDisconnecting;
    hang_up_when_answered();
    return false;
  }
  take_request(*request, header);
  request->error = verdict.error;
  if (verdict.error == 0) {
    current_ = request;
    return true;
  }
  refused_ = request;
  skip_bytes_ = verdict.payload;
  return true;
}

void Session::take_request(Request& request, const RequestHeader& header) {
  BM_ASSERT(request.in_flight == 0);
  BM_ASSERT(requests_used_ < kRequests);
  free_requests_.remove(request);
  requests_used_++;
  request.header = header;
  large_write_ = header.command == Command::kWrite && header.length >= limits::kLargePayloadBytes;
  request.kind = kind_of(header.command);
  request.cut_bytes = 0;
  request.error = 0;
  request.header_sent = false;
  request.window_first = 0;
  request.window_count = 0;
}

// Answers a refused request after the data that came with it.
bool Session::skip_payload() {
  const uint32_t part = std::min(available(), skip_bytes_);
  stream_begin_ += part;
  skip_bytes_ -= part;
  if (skip_bytes_ > 0) return false;
  BM_ASSERT(refused_ != nullptr);
  queue_reply(*refused_);
  refused_ = nullptr;
  return true;
}

// A slot or a buffer of this session became free.
void Session::unblock() {
  if (ended_) return;
  const bool ours = blocked_ == Blocked::kSlot || blocked_ == Blocked::kQuota;
  if (ours) blocked_ = Blocked::kNo;
  if (ours || !uncut_.empty()) world_.host.want_run(*this);
}

}  // namespace blkmirror::nbd
