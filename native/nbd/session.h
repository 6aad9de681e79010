// One NBD client: its stream, its handshake, and its requests cut into pieces for the backend.
//
// The way of a request: receive → parse (session.cc) → validate → pieces (session_pieces.cc) →
// Backend::submit → done → replies (session_send.cc) → one send for each batch.
// - One receive and one send in flight. While a request cannot be started (no slot, no buffer,
//   quota reached) nothing further is parsed or received: `blocked_` says what is awaited.
// - Every piece of a request is being filled, with the backend, or waiting to be sent; one
//   reference on its buffer is the session's until the data was sent or written.
// - A session that holds buffers takes more only while they are within its share of what is spare;
//   one that holds none is sure of a small one, so clients that do not read stop nobody else.
// - A read whose header was sent owns the output until its last piece is sent; it goes on with
//   the buffers that it holds, so it never waits for the pool.
// - After end() nothing is submitted or sent; the session is destroyed once idle().
// Nothing is submitted from inside Piece::done or BufferWaiter::ready: run() goes on later.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer_pool.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/locked_bytes.h"
#include "io/io.h"
#include "nbd/backend.h"
#include "nbd/handshake.h"
#include "nbd/reply.h"
#include "nbd/server.h"
#include "nbd/validate.h"

namespace blkmirror::nbd {

class Session;

// What a session needs of its server.
class SessionHost {
 public:
  virtual void want_run(Session& session) = 0;   // run() soon, not from inside this call
  virtual void want_send(Session& session) = 0;  // send_gathered() at the batch's end
  virtual void entered_transmission(Session& session) = 0;
  virtual uint32_t spare_bytes() const = 0;  // of the pool, for those who hold some already

 protected:
  ~SessionHost() = default;
};

struct SessionWorld {
  SessionHost& host;
  io::Io& io;
  BufferPool& pool;
  Backend& backend;
  const Export& exported;
};

class Session {
 public:
  Session(const SessionWorld& world, io::SocketId socket);
  // Only when idle() after end(), then it closes the socket; or after abandon() or unpark().
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();
  // Without a handshake. `unread`: received already, at most a stream's buffer.
  void start_kernel(std::span<const std::byte> unread);
  void run();
  void send_gathered();
  // Ends the connection; requests in flight are finished but not answered. May be called twice.
  void end();
  // The Io crashed, in a simulated world, and this goes with it: nothing is in flight any more.
  void abandon();
  // For the kernel's, which began in the transmission phase: no further request is parsed. When all
  // are answered, socket and unread bytes are for the next server: run() is wanted when it is
  // at_rest(), or has ended.
  void park();
  bool at_rest() const;
  // When at_rest(): gives up the socket, which is the caller's. Only destruction may follow.
  io::SocketId unpark();
  std::span<const std::byte> unread() const { return {stream_.get() + stream_begin_, available()}; }
  bool is_kernel() const { return kernel_; }
  bool ended() const { return ended_; }
  bool idle() const { return !receive_.impl.pending && !send_.impl.pending && at_backend_ == 0; }
  bool in_transmission() const { return state_ != State::kHandshake; }
  int32_t peer_pid() const { return world_.io.peer_pid(socket_); }

  ListLink run_link;   // the host's
  ListLink send_link;  // the host's

 private:
  static constexpr uint32_t kRequests = limits::kRequestsPerClient;
  static constexpr uint32_t kPieces = 2 * kRequests;
  static constexpr uint32_t kReadWindow = 4;   // pieces of one read that hold buffers
  static constexpr uint32_t kZeroWindow = 16;  // zero pieces of one request with the backend

  enum class State : uint8_t { kHandshake, kTransmission, kDisconnecting };
  enum class Blocked : uint8_t { kNo, kSlot, kQuota, kPool };

  struct Request;
  struct SessionPiece {
    Piece piece;
    Request* request = nullptr;  // null: free
    bool done = false;           // kRead: data is there, to be sent
    ListLink link;               // free_pieces_ or sent_pieces_
  };
  struct Request {
    RequestHeader header{};
    PieceKind kind = PieceKind::kFlush;
    uint32_t cut_bytes = 0;  // from the start, already given to pieces
    uint32_t in_flight = 0;  // pieces being filled or with the backend
    int error = 0;           // the first
    bool header_sent = false;
    uint32_t window_first = 0;  // kRead: its pieces in order, not yet put into a send
    uint32_t window_count = 0;
    std::array<SessionPiece*, kReadWindow> window{};
    ListLink link;  // free_requests_, replies_, answered_ or uncut_
  };

  // session.cc: the stream
  static void on_receive(io::Op& op, int32_t result);
  void received(int32_t result);
  void let_go();
  void receive_more();
  void advance();
  bool advance_handshake();
  bool advance_transmission();
  bool take_header();
  void take_request(Request& request, const RequestHeader& header);
  bool skip_payload();
  bool between_requests() const;
  uint32_t available() const { return stream_end_ - stream_begin_; }
  void unblock();

  // session_pieces.cc: requests and pieces
  bool start_current();
  bool start_read(Request& request);
  bool start_write(Request& request);
  bool fill_write();
  bool start_zeroes(Request& request);
  bool start_flush(Request& request);
  void cut_zeroes(Request& request);
  bool wants_more_zeroes(const Request& request) const;
  void extend_read(Request& request);
  SessionPiece* take_piece(Request& request);
  void free_piece(SessionPiece& piece);
  Buffer* take_buffer(uint32_t length);
  Buffer* try_buffer(uint32_t length);
  bool within_share(uint32_t length) const;
  void drop_buffer(Buffer& buffer);
  void cut(SessionPiece& piece, uint32_t most_bytes);
  void submit(SessionPiece& piece);
  static void on_piece_done(Piece& piece, int error);
  void piece_done(SessionPiece& piece, int error);
  void read_piece_done(SessionPiece& piece);
  void finish_if_complete(Request& request);
  static void on_buffer_ready(BufferWaiter& waiter);

  // session_send.cc: replies
  static void on_send(io::Op& op, int32_t result);
  void sent(int32_t result);
  void handshake_sent();
  void queue_reply(Request& request);
  void gather();
  bool gather_read(Request& request);
  void settle_sent_pieces();
  void free_request(Request& request);
  void hang_up_when_answered();

  const SessionWorld& world_;
  io::SocketId socket_;
  State state_ = State::kHandshake;
  bool ended_ = false;
  bool abandoned_ = false;
  bool kernel_ = false;
  bool parking_ = false;
  bool transmission_next_ = false;  // once the handshake's last output is sent
  bool hang_up_next_ = false;
  Handshake handshake_;

  io::Op receive_;
  iovec receive_parts_[2];
  LockedBytes stream_;
  uint32_t stream_begin_ = 0;
  uint32_t stream_end_ = 0;

  Blocked blocked_ = Blocked::kNo;
  Request* current_ = nullptr;       // parsed, not yet wholly started
  SessionPiece* filling_ = nullptr;  // of a write: its data is being received
  uint32_t filled_bytes_ = 0;
  bool large_write_ = false;    // the last request is one
  uint32_t skip_bytes_ = 0;     // of a refused write's data
  Request* refused_ = nullptr;  // answered after that
  struct Place {                // in the pool's line
    BufferWaiter waiter;
    Session* session = nullptr;
  } place_;
  Buffer* reserved_ = nullptr;  // got in line
  uint32_t held_bytes_ = 0;     // of the pool
  uint32_t at_backend_ = 0;     // pieces

  io::Op send_;
  iovec handshake_part_{};
  ReplyBatch batch_;
  uint32_t requests_used_ = 0;
  std::array<Request, kRequests> requests_;
  std::array<SessionPiece, kPieces> pieces_;
  List<Request, &Request::link> free_requests_;
  List<Request, &Request::link> replies_;   // ready to be answered, in order of completion
  List<Request, &Request::link> answered_;  // wholly in the send in flight
  List<Request, &Request::link> uncut_;     // zeroes with pieces still to be submitted
  List<SessionPiece, &SessionPiece::link> free_pieces_;
  List<SessionPiece, &SessionPiece::link> sent_pieces_;  // in the send in flight
};

}  // namespace blkmirror::nbd
