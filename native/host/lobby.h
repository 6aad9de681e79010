// Where connections between nodes wait until a link takes them: one epoll thread that listens,
// accepts, connects, and reads or sends each connection's first frame, which must be a control
// frame. It never reads a byte more than that frame, so the engine gets the rest.
//
// - An accepted connection has a deadline for its first frame and is dropped when it sends
//   anything else; of too many that have not sent it the oldest goes.
// - Sockets are named by ids that are never used again. An id that is gone is ignored.
// - Any thread may call; results come through LobbyEvents on the lobby's thread.
// - Nothing blocks but the lobby's own thread, in epoll.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "host/failure.h"
#include "host/tcp_socket.h"

namespace blkmirror::host {

using LobbyId = uint64_t;  // of a listener or a socket; below 2^53

// Called on the lobby's thread, holding none of its locks.
class LobbyEvents {
 public:
  virtual void accepted(LobbyId listener, LobbyId socket, const std::string& remote,
                        const std::string& hello) = 0;
  // error: 0, or a positive errno with a message; the socket is gone then.
  virtual void dialled(LobbyId socket, const std::string& remote, int error,
                       const std::string& message) = 0;

 protected:
  ~LobbyEvents() = default;
};

struct DialSpec {
  std::string host;  // numeric
  uint16_t port = 0;
  uint32_t timeout_ms = 0;  // for the connection and the first frame together
  SocketBuffers buffers;
  std::string hello;  // JSON, 2 bytes to limits::kControlBytes
};

struct ListenerInfo {
  LobbyId id = 0;
  std::string address;  // as bound
};

class Lobby {
 public:
  static Outcome<std::unique_ptr<Lobby>> start(LobbyEvents& events);
  // Ends the thread and closes everything it holds. No event comes after.
  ~Lobby();

  Outcome<ListenerInfo> listen(const std::string& host, uint16_t port);
  void close_listener(LobbyId listener);
  // dialled() follows, unless this fails or close_socket() comes first.
  Outcome<LobbyId> dial(const DialSpec& spec);
  // Gives the descriptor away (blocking, as io_uring wants it), -1 when the socket is gone.
  int take(LobbyId socket);
  void close_socket(LobbyId socket);
  void set_buffers(LobbyId socket, const SocketBuffers& buffers);
  // Sends one control frame (2 bytes to limits::kControlBytes) and closes when the peer has
  // read it, or after a while.
  void refuse(LobbyId socket, const std::string& text);

 private:
  struct Private;
  explicit Lobby(std::unique_ptr<Private> owned);

  std::unique_ptr<Private> private_;
};

}  // namespace blkmirror::host
