// The lobby of a simulated node: what host/lobby.h is on a real one, over simulated sockets. A
// dial takes a round trip, waits through cuts up to its timeout, and is refused where nobody
// listens. First frames are checked by the same code (peer/frame).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/lobby.h"
#include "io/sim_io.h"
#include "peer/frame.h"
#include "sim/told.h"

namespace blkmirror::sim {

class Node;

struct LobbyNews {
  bool accepted = false;
  host::LobbyId listener = 0;
  host::LobbyId socket = 0;
  std::string remote;
  std::string text;
  int error = 0;
};

class Lobby {
 public:
  Lobby(Node& node, io::SimIo& io, Told& told);
  ~Lobby();

  host::Outcome<host::ListenerInfo> listen(const std::string& host, uint16_t port);
  void close_listener(host::LobbyId listener);
  host::Outcome<host::LobbyId> dial(const host::DialSpec& spec);
  int take(host::LobbyId socket);
  void close_socket(host::LobbyId socket);
  void refuse(host::LobbyId socket, const std::string& text);
  // Everything is closed; nothing is told any more.
  void close();
  // The node's life is over; its Io has crashed already.
  void abandon();

  std::vector<LobbyNews> take_news();
  // The listening socket for this address; kNoSocket when there is none.
  io::SocketId listener_at(const std::string& host, uint16_t port) const;

 private:
  static constexpr uint64_t kHelloUs = 5'000'000;
  static constexpr uint64_t kLingerUs = 2'000'000;
  static constexpr uint64_t kRetryUs = 20'000;  // of a dial that gets no answer

  enum class Stage : uint8_t {
    kDialling,
    kReading,
    kSending,
    kRefusing,
    kIdle,
    kClosing,
  };
  struct Connection {
    Lobby* lobby = nullptr;
    host::LobbyId id = 0;
    io::SocketId socket = io::kNoSocket;
    Stage stage = Stage::kReading;
    bool dialled = false;
    bool told = false;
    host::LobbyId listener = 0;
    uint64_t deadline_us = 0;
    host::DialSpec spec;  // of a dial
    std::string remote;
    io::Op op;
    io::Timer timer;
    iovec part{};
    std::array<std::byte, peer::kFrameHeaderBytes> header{};
    std::string payload;
    std::string outgoing;
    size_t done = 0;
  };
  struct Listener {
    Lobby* lobby = nullptr;
    host::LobbyId id = 0;
    std::string host;
    uint16_t port = 0;
    io::SocketId socket = io::kNoSocket;
    bool closing = false;
    io::Op op;
  };

  Connection& add(bool dialled);
  void accept_next(Listener& listener);
  void accepted(Listener& listener, int32_t result);
  void fired(Connection& connection);
  void try_dial(Connection& connection);
  void read_more(Connection& connection);
  void send_outgoing(Connection& connection);
  void completed(Connection& connection, int32_t result);
  void advance_reading(Connection& connection, int32_t result);
  void become_idle(Connection& connection);
  void drop(Connection& connection, int error, const std::string& why);
  void discard(Connection& connection);
  void erase(Connection& connection);
  Connection* idle_socket(host::LobbyId id);
  void tell(LobbyNews news);

  Node* node_;  // null when closed or the node's life is over
  io::SimIo* io_;
  Told* told_;
  host::LobbyId last_id_ = 0;
  std::map<host::LobbyId, std::unique_ptr<Connection>> connections_;
  std::map<host::LobbyId, std::unique_ptr<Listener>> listeners_;
  std::vector<LobbyNews> news_;
};

}  // namespace blkmirror::sim
