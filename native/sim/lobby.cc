// See lobby.h.
#include "sim/lobby.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "sim/node.h"

namespace blkmirror::sim {

namespace {

using host::Failure;
using host::LobbyId;
using host::Outcome;

}  // namespace

Lobby::Lobby(Node& node, io::SimIo& io, Told& told) : node_(&node), io_(&io), told_(&told) {
  BM_ASSERT(io.host() == node.host());
}

Lobby::~Lobby() { BM_ASSERT(node_ == nullptr); }

Outcome<host::ListenerInfo> Lobby::listen(const std::string& host, uint16_t port) {
  if (node_ == nullptr) return Failure{ECANCELED, "the plane is closed"};
  if (port == 0) port = node_->next_port();
  if (!node_->has_address(host)) {
    return Failure{EADDRNOTAVAIL,
                   "cannot listen on " + host + ": it is not an address of " + node_->name()};
  }
  const std::string address = host::address_text(host, port);
  if (node_->listener_at(host, port) != io::kNoSocket) {
    return Failure{EADDRINUSE, "cannot listen on " + address + ": it is in use"};
  }
  auto made = std::make_unique<Listener>();
  Listener& listener = *made;
  listener.lobby = this;
  listener.id = ++last_id_;
  listener.host = host;
  listener.port = port;
  listener.socket = node_->net().listen(*io_);
  listener.op.owner = &listener;
  listener.op.complete = [](io::Op& op, int32_t result) {
    auto* self = static_cast<Listener*>(op.owner);
    self->lobby->accepted(*self, result);
  };
  listeners_.emplace(listener.id, std::move(made));
  accept_next(listener);
  return host::ListenerInfo{listener.id, address};
}

void Lobby::close_listener(LobbyId id) {
  const auto found = listeners_.find(id);
  if (found == listeners_.end() || node_ == nullptr || found->second->closing) return;
  found->second->closing = true;
  io_->shutdown(found->second->socket);
}

void Lobby::accept_next(Listener& listener) { io_->accept(listener.socket, listener.op); }

void Lobby::accepted(Listener& listener, int32_t result) {
  if (listener.closing || result < 0) {
    if (result >= 0) io_->close_socket(io::SocketId{static_cast<uint32_t>(result)});
    io_->close_socket(listener.socket);
    listeners_.erase(listener.id);
    return;
  }
  Connection& connection = add(false);
  connection.socket = io::SocketId{static_cast<uint32_t>(result)};
  connection.listener = listener.id;
  connection.remote = node_->remote_of(connection.socket);
  io_->arm(connection.timer, io_->now_us() + kHelloUs);
  read_more(connection);
  accept_next(listener);
}

Lobby::Connection& Lobby::add(bool dialled) {
  auto made = std::make_unique<Connection>();
  Connection& connection = *made;
  connection.lobby = this;
  connection.id = ++last_id_;
  connection.dialled = dialled;
  connection.op.owner = connection.timer.owner = &connection;
  connection.op.complete = [](io::Op& op, int32_t result) {
    auto* self = static_cast<Connection*>(op.owner);
    self->lobby->completed(*self, result);
  };
  connection.timer.fire = [](io::Timer& timer) {
    auto* self = static_cast<Connection*>(timer.owner);
    self->lobby->fired(*self);
  };
  connections_.emplace(connection.id, std::move(made));
  return connection;
}

Outcome<LobbyId> Lobby::dial(const host::DialSpec& spec) {
  if (node_ == nullptr) return Failure{ECANCELED, "the plane is closed"};
  if (!peer::is_control_text(spec.hello))
    return Failure{EMSGSIZE, "a hello of an impossible length"};
  Connection& connection = add(true);
  connection.stage = Stage::kDialling;
  connection.spec = spec;
  connection.remote = host::address_text(spec.host, spec.port);
  connection.deadline_us = io_->now_us() + uint64_t{spec.timeout_ms} * 1000;
  io_->arm(connection.timer, io_->now_us() + node_->round_trip_us(spec.host));
  return connection.id;
}

void Lobby::fired(Connection& connection) {
  if (connection.stage == Stage::kDialling) return try_dial(connection);
  const std::string waited = std::to_string(connection.spec.timeout_ms);
  drop(connection, ETIMEDOUT, "no answer within " + waited + " ms");
}

void Lobby::try_dial(Connection& connection) {
  const Reach reach = node_->reach(connection.spec.host);
  if (reach == Reach::kRefused) return drop(connection, ECONNREFUSED, "connection refused");
  if (reach == Reach::kSilent) {
    if (io_->now_us() >= connection.deadline_us) {
      const std::string waited = std::to_string(connection.spec.timeout_ms);
      return drop(connection, ETIMEDOUT, "no answer within " + waited + " ms");
    }
    const uint64_t again = std::min(io_->now_us() + kRetryUs, connection.deadline_us);
    return io_->arm(connection.timer, again);
  }
  connection.socket = node_->connect(*io_, connection.spec.host, connection.spec.port);
  if (connection.socket == io::kNoSocket) {
    return drop(connection, ECONNREFUSED, "connection refused");
  }
  io_->arm(connection.timer, std::max(connection.deadline_us, io_->now_us() + 1));
  connection.stage = Stage::kSending;
  connection.outgoing = peer::control_frame(connection.spec.hello);
  send_outgoing(connection);
}

void Lobby::send_outgoing(Connection& connection) {
  BM_ASSERT(!connection.outgoing.empty());
  connection.part = {connection.outgoing.data(), connection.outgoing.size()};
  io_->send(connection.socket, &connection.part, 1, connection.op);
}

// Towards the end of the first frame, and not beyond.
void Lobby::read_more(Connection& connection) {
  constexpr size_t kHeader = peer::kFrameHeaderBytes;
  BM_ASSERT(connection.stage == Stage::kReading);
  if (connection.done < kHeader) {
    connection.part = {connection.header.data() + connection.done, kHeader - connection.done};
  } else {
    const size_t read = connection.done - kHeader;
    connection.part = {connection.payload.data() + read, connection.payload.size() - read};
  }
  io_->receive(connection.socket, &connection.part, 1, connection.op);
}

void Lobby::completed(Connection& connection, int32_t result) {
  switch (connection.stage) {
    case Stage::kReading:
      return advance_reading(connection, result);
    case Stage::kSending:
      if (result < 0) return drop(connection, EPIPE, "it closed the connection");
      return become_idle(connection);
    case Stage::kRefusing:
    case Stage::kClosing:
      return erase(connection);
    case Stage::kDialling:
    case Stage::kIdle:
      break;
  }
  BM_ASSERT(false);
}

void Lobby::advance_reading(Connection& connection, int32_t result) {
  if (result <= 0) return drop(connection, EPROTO, "no hello");
  connection.done += static_cast<size_t>(result);
  if (connection.done == peer::kFrameHeaderBytes) {
    const Result<peer::FrameHeader> header = peer::decode(connection.header);
    if (!header.ok() || header.value().type != peer::FrameType::kControl) {
      return drop(connection, EPROTO, "no hello");
    }
    connection.payload.resize(header.value().payload_bytes);
  }
  const bool whole = connection.done >= peer::kFrameHeaderBytes &&
                     connection.done == peer::kFrameHeaderBytes + connection.payload.size();
  if (whole) return become_idle(connection);
  read_more(connection);
}

void Lobby::become_idle(Connection& connection) {
  connection.stage = Stage::kIdle;
  connection.told = true;
  io_->disarm(connection.timer);
  tell({!connection.dialled, connection.listener, connection.id, connection.remote,
        std::move(connection.payload), 0});
}

// Closes a connection; a dial is told.
void Lobby::drop(Connection& connection, int error, const std::string& why) {
  BM_ASSERT(error > 0);
  if (connection.dialled && !connection.told) {
    connection.told = true;
    tell({false, 0, connection.id, connection.remote,
          "cannot connect to " + connection.remote + ": " + why, error});
  }
  discard(connection);
}

void Lobby::discard(Connection& connection) {
  io_->disarm(connection.timer);
  if (!connection.op.impl.pending) return erase(connection);
  connection.stage = Stage::kClosing;
  io_->shutdown(connection.socket);
}

void Lobby::erase(Connection& connection) {
  BM_ASSERT(!connection.op.impl.pending);
  io_->disarm(connection.timer);
  if (connection.socket != io::kNoSocket) io_->close_socket(connection.socket);
  connections_.erase(connection.id);
}

Lobby::Connection* Lobby::idle_socket(LobbyId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second->stage != Stage::kIdle) return nullptr;
  return found->second.get();
}

int Lobby::take(LobbyId id) {
  Connection* connection = node_ == nullptr ? nullptr : idle_socket(id);
  if (connection == nullptr) return -1;
  const auto socket = std::exchange(connection->socket, io::kNoSocket);
  erase(*connection);
  return static_cast<int>(socket);
}

void Lobby::close_socket(LobbyId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || node_ == nullptr) return;
  // A refusal under way closes by itself.
  const Stage stage = found->second->stage;
  if (stage == Stage::kRefusing || stage == Stage::kClosing) return;
  found->second->told = true;
  discard(*found->second);
}

void Lobby::refuse(LobbyId id, const std::string& text) {
  Connection* connection = node_ == nullptr ? nullptr : idle_socket(id);
  if (connection == nullptr) return;
  if (!peer::is_control_text(text)) return discard(*connection);
  connection->stage = Stage::kRefusing;
  connection->told = true;
  connection->outgoing = peer::control_frame(text);
  io_->arm(connection->timer, io_->now_us() + kLingerUs);
  send_outgoing(*connection);
}

void Lobby::close() {
  if (node_ == nullptr) return;
  std::vector<Connection*> open;
  for (const auto& [id, connection] : connections_) open.push_back(connection.get());
  for (Connection* connection : open) {
    connection->told = true;
    if (connection->stage != Stage::kClosing && connection->stage != Stage::kRefusing) {
      discard(*connection);
    }
  }
  for (const auto& [id, listener] : listeners_) close_listener(id);
  told_ = nullptr;
  news_.clear();
}

void Lobby::abandon() {
  node_ = nullptr;
  told_ = nullptr;
  news_.clear();
  connections_.clear();
  listeners_.clear();
}

void Lobby::tell(LobbyNews news) {
  if (told_ == nullptr) return;
  news_.push_back(std::move(news));
  told_->note();
}

std::vector<LobbyNews> Lobby::take_news() { return std::exchange(news_, {}); }

io::SocketId Lobby::listener_at(const std::string& host, uint16_t port) const {
  for (const auto& [id, listener] : listeners_) {
    const bool any =
        listener->host == "0.0.0.0" || listener->host == "::" || host == "0.0.0.0" || host == "::";
    if (!listener->closing && listener->port == port && (any || listener->host == host)) {
      return listener->socket;
    }
  }
  return io::kNoSocket;
}

}  // namespace blkmirror::sim
