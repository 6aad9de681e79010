// A session's replies, gathered into one send for each batch. See session.h.
#include "base/assert.h"
#include "nbd/session.h"

namespace blkmirror::nbd {

// Sends what became ready in this batch; when a send is in flight, it goes with the next.
void Session::send_gathered() {
  if (ended_ || send_.impl.pending) return;
  const auto output = handshake_.output();
  if (!output.empty()) {
    BM_ASSERT(state_ == State::kHandshake);
    handshake_part_ = {const_cast<std::byte*>(output.data()), output.size()};
    world_.io.send(socket_, &handshake_part_, 1, send_);
    return;
  }
  BM_ASSERT(batch_.empty());
  gather();
  if (!batch_.empty()) world_.io.send(socket_, batch_.parts(), batch_.part_count(), send_);
}

void Session::on_send(io::Op& op, int32_t result) { static_cast<Session*>(op.owner)->sent(result); }

void Session::sent(int32_t result) {
  BM_ASSERT(result <= 0);
  if (ended_) {
    world_.host.want_run(*this);
    return;
  }
  if (result < 0) {
    end();
    return;
  }
  if (state_ == State::kHandshake) {
    handshake_sent();
    return;
  }
  batch_.clear();
  settle_sent_pieces();
  while (Request* request = answered_.pop_front()) free_request(*request);
  if (!replies_.empty()) world_.host.want_send(*this);
  if (at_rest()) world_.host.want_run(*this);
  hang_up_when_answered();
}

void Session::handshake_sent() {
  BM_ASSERT(!handshake_.output().empty());
  BM_ASSERT(requests_used_ == 0);
  handshake_.clear_output();
  if (hang_up_next_) {
    end();
    return;
  }
  if (transmission_next_) {
    state_ = State::kTransmission;
    world_.host.entered_transmission(*this);
  }
  advance();
}

void Session::queue_reply(Request& request) {
  BM_ASSERT(!ended_);
  BM_ASSERT(requests_used_ > 0);
  if (!request.link.linked()) replies_.push_back(request);
  world_.host.want_send(*this);
}

// Puts replies into the batch, in order of completion, as far as they fit.
void Session::gather() {
  while (Request* request = replies_.front()) {
    if (!batch_.has_room()) return;
    const bool has_data = request->kind == PieceKind::kRead && request->header.length > 0;
    if (has_data && request->error == 0) {
      if (!gather_read(*request)) return;
      continue;
    }
    BM_ASSERT(!request->header_sent);
    replies_.remove(*request);
    if (request->in_flight > 0) continue;  // a read that failed: queued again by its last piece
    batch_.add_simple(request->header.handle, to_wire(request->error));
    for (; request->window_count > 0; request->window_count--) {
      free_piece(*request->window[request->window_first]);
      request->window_first = (request->window_first + 1) % kReadWindow;
    }
    answered_.push_back(*request);
  }
}

// The header, then the data as far as it is there and in order; true when all of it is in the
// batch. Until then nothing else may be sent.
bool Session::gather_read(Request& request) {
  BM_ASSERT(request.error == 0);
  if (!request.header_sent) {
    batch_.add_simple(request.header.handle, WireError::kNone);
    request.header_sent = true;
  }
  while (request.window_count > 0) {
    SessionPiece& piece = *request.window[request.window_first];
    BM_ASSERT(piece.request == &request);
    if (!piece.done || !batch_.has_room_for_data()) return false;
    batch_.add_data(piece.piece.buffer->data, piece.piece.length);
    request.window_first = (request.window_first + 1) % kReadWindow;
    request.window_count--;
    sent_pieces_.push_back(piece);
  }
  if (request.cut_bytes < request.header.length) return false;
  replies_.remove(request);
  answered_.push_back(request);
  return true;
}

// The kernel is done with their buffers: they carry the next parts of their reads, or go.
void Session::settle_sent_pieces() {
  while (SessionPiece* piece = sent_pieces_.pop_front()) {
    Request& request = *piece->request;
    BM_ASSERT(request.kind == PieceKind::kRead);
    if (request.cut_bytes == request.header.length) {
      free_piece(*piece);
      continue;
    }
    BM_ASSERT(request.window_count < kReadWindow);
    cut(*piece, piece->piece.buffer->capacity);
    const uint32_t place = (request.window_first + request.window_count++) % kReadWindow;
    request.window[place] = piece;
    submit(*piece);
  }
}

void Session::free_request(Request& request) {
  BM_ASSERT(requests_used_ > 0);
  BM_ASSERT(request.in_flight == 0);
  requests_used_--;
  free_requests_.push_front(request);
  unblock();
}

// The client said goodbye: it is owed its answers, and then nothing.
void Session::hang_up_when_answered() {
  if (state_ != State::kDisconnecting || requests_used_ > 0) return;
  BM_ASSERT(!send_.impl.pending);
  end();
}

}  // namespace blkmirror::nbd
