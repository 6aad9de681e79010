// The lobby's thread: epoll over listeners and connections that are not yet links.
//
// One mutex guards the tables; it is held for a few non-blocking system calls at a time. What is
// to be told is gathered meanwhile and told after it is released. A connection that is Idle has
// had its first frame and is not polled any more: it waits for take().
#include "host/lobby.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/limits.h"
#include "host/quiet_thread.h"
#include "peer/frame.h"

namespace blkmirror::host {

namespace {

constexpr size_t kMaxPending = 256;       // accepted, first frame not there yet, or refused
constexpr size_t kMaxIdle = 256;          // accepted, waiting to be taken
constexpr uint32_t kHelloMs = 5000;       // for the first frame
constexpr uint32_t kLingerMs = 2000;      // for a refusal to be read
constexpr uint32_t kAcceptPauseMs = 200;  // when descriptors have run out
constexpr int kAcceptsPerTurn = 64;
constexpr int kEventsPerTurn = 64;
constexpr size_t kStackBytes = 256u << 10;
constexpr LobbyId kWakeId = 0;
constexpr uint64_t kNever = UINT64_MAX;

enum class Stage : uint8_t { kReading, kConnecting, kSending, kRefusing, kLingering, kIdle };

struct Connection {
  OwnedFd fd;
  Stage stage = Stage::kReading;
  bool accepted = false;
  LobbyId listener = 0;
  uint64_t deadline_ms = kNever;
  uint64_t timeout_ms = 0;  // of a dial, for the message
  std::string remote;
  std::array<std::byte, peer::kFrameHeaderBytes> header{};
  std::string payload;   // what is read, after the header
  std::string outgoing;  // frame that is sent
  size_t done = 0;       // bytes of header and payload read, or of `outgoing` sent
};

struct Listener {
  OwnedFd fd;
  uint64_t paused_until_ms = 0;  // 0: it accepts
};

// What to tell once the mutex is released.
struct News {
  bool accepted = false;
  LobbyId listener = 0;
  LobbyId socket = 0;
  std::string remote;
  std::string text;
  int error = 0;
};

uint64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1000 + uint64_t(now.tv_nsec) / 1000000;
}

enum class Progress : uint8_t { kMore, kDone, kFailed };

Progress send_some(Connection& connection) {
  BM_ASSERT(connection.done <= connection.outgoing.size());
  while (connection.done < connection.outgoing.size()) {
    const ssize_t sent = send(connection.fd.get(), connection.outgoing.data() + connection.done,
                              connection.outgoing.size() - connection.done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN ? Progress::kMore : Progress::kFailed;
    connection.done += size_t(sent);
  }
  return Progress::kDone;
}

Progress receive_some(int fd, void* to, size_t length, size_t* done) {
  BM_ASSERT(*done <= length);
  while (*done < length) {
    const ssize_t got = recv(fd, static_cast<char*>(to) + *done, length - *done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN ? Progress::kMore : Progress::kFailed;
    if (got == 0) return Progress::kFailed;
    *done += size_t(got);
  }
  return Progress::kDone;
}

// Reads towards the end of the first frame, and not beyond.
Progress receive_hello(Connection& connection) {
  constexpr size_t kHeader = peer::kFrameHeaderBytes;
  if (connection.done < kHeader) {
    size_t done = connection.done;
    const Progress progress =
        receive_some(connection.fd.get(), connection.header.data(), kHeader, &done);
    connection.done = done;
    if (progress != Progress::kDone) return progress;
    const Result<peer::FrameHeader> header = peer::decode(connection.header);
    if (!header.ok()) return Progress::kFailed;
    if (header.value().type != peer::FrameType::kControl) return Progress::kFailed;
    BM_ASSERT(header.value().payload_bytes <= limits::kControlBytes);
    connection.payload.resize(header.value().payload_bytes);
  }
  size_t done = connection.done - kHeader;
  const Progress progress = receive_some(connection.fd.get(), connection.payload.data(),
                                         connection.payload.size(), &done);
  connection.done = kHeader + done;
  return progress;
}

// Reads what is there and forgets it. kDone at the end of the stream.
Progress drain(int fd) {
  char scratch[4096];
  for (int round = 0; round < 64; round++) {
    const ssize_t got = recv(fd, scratch, sizeof scratch, 0);
    if (got == 0) return Progress::kDone;
    if (got < 0 && errno != EINTR) return errno == EAGAIN ? Progress::kMore : Progress::kFailed;
  }
  return Progress::kMore;
}

int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace

struct Lobby::Private {
  explicit Private(LobbyEvents& owner) : events(owner) {}

  LobbyEvents& events;
  OwnedFd epoll;
  OwnedFd wake;
  QuietThread thread;
  std::mutex mutex;  // guards everything below
  bool stopping = false;
  LobbyId last_id = kWakeId;
  std::map<LobbyId, Listener> listeners;
  std::map<LobbyId, Connection> connections;
  std::vector<News> news;

  static void body(void* self) { static_cast<Private*>(self)->run(); }
  void run();
  void turn(const epoll_event* ready, int count);
  int wait_ms();
  void poke();
  bool watch(int fd, LobbyId id, uint32_t interest, bool again);

  void accept_some(LobbyId id, Listener& listener);
  void admit(LobbyId listener, OwnedFd fd, const Endpoint& remote);
  void advance(LobbyId id, Connection& connection);
  void connection_ready(LobbyId id, Connection& connection);
  void drop(LobbyId id, int error, const std::string& why);
  void become_idle(LobbyId id, Connection& connection);
  void linger(LobbyId id, Connection& connection);
  void drop_oldest(bool idle, size_t limit);
  void expire();
  Connection* idle_socket(LobbyId id);
};

bool Lobby::Private::watch(int fd, LobbyId id, uint32_t interest, bool again) {
  BM_ASSERT(fd >= 0);
  epoll_event event{};
  event.events = interest;
  event.data.u64 = id;
  return epoll_ctl(epoll.get(), again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0;
}

void Lobby::Private::poke() {
  const uint64_t one = 1;
  const ssize_t written = write(wake.get(), &one, sizeof one);
  BM_ASSERT(written == sizeof one || errno == EAGAIN);
}

void Lobby::Private::run() {
  std::array<epoll_event, kEventsPerTurn> ready;
  for (;;) {
    int timeout = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (stopping) return;
      timeout = wait_ms();
    }
    const int count = epoll_wait(epoll.get(), ready.data(), kEventsPerTurn, timeout);
    BM_ASSERT(count >= 0 || errno == EINTR);
    std::vector<News> told;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      turn(ready.data(), count);
      expire();
      told.swap(news);
    }
    for (const News& item : told) {
      if (item.accepted) {
        events.accepted(item.listener, item.socket, item.remote, item.text);
      } else {
        events.dialled(item.socket, item.remote, item.error, item.text);
      }
    }
  }
}

// Until the next deadline; -1: there is none.
int Lobby::Private::wait_ms() {
  uint64_t next = kNever;
  for (const auto& [id, connection] : connections) next = std::min(next, connection.deadline_ms);
  for (const auto& [id, listener] : listeners) {
    if (listener.paused_until_ms != 0) next = std::min(next, listener.paused_until_ms);
  }
  if (next == kNever) return -1;
  const uint64_t now = now_ms();
  return next <= now ? 0 : int(std::min<uint64_t>(next - now, 60000));
}

void Lobby::Private::turn(const epoll_event* ready, int count) {
  for (int index = 0; index < count; index++) {
    const LobbyId id = ready[index].data.u64;
    if (id == kWakeId) {
      uint64_t ignored;
      const ssize_t got = read(wake.get(), &ignored, sizeof ignored);
      BM_ASSERT(got == sizeof ignored || errno == EAGAIN);
    } else if (auto listener = listeners.find(id); listener != listeners.end()) {
      accept_some(id, listener->second);
    } else if (auto found = connections.find(id); found != connections.end()) {
      advance(id, found->second);
    }
  }
}

void Lobby::Private::accept_some(LobbyId id, Listener& listener) {
  BM_ASSERT(listener.fd.valid());
  for (int round = 0; round < kAcceptsPerTurn; round++) {
    Endpoint remote;
    remote.length = sizeof remote.address;
    auto* address = reinterpret_cast<sockaddr*>(&remote.address);
    const int fd =
        accept4(listener.fd.get(), address, &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      admit(id, OwnedFd(fd), remote);
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      listener.paused_until_ms = now_ms() + kAcceptPauseMs;
      watch(listener.fd.get(), id, 0, true);
      return;
    }
  }
}

void Lobby::Private::admit(LobbyId listener, OwnedFd fd, const Endpoint& remote) {
  BM_ASSERT(fd.valid());
  drop_oldest(false, kMaxPending - 1);
  set_link_options(fd.get());
  const LobbyId id = ++last_id;
  Connection connection;
  connection.fd = std::move(fd);
  connection.accepted = true;
  connection.listener = listener;
  connection.remote = endpoint_text(remote);
  connection.deadline_ms = now_ms() + kHelloMs;
  if (!watch(connection.fd.get(), id, EPOLLIN, false)) return;
  connections.emplace(id, std::move(connection));
}

// Of the connections that were accepted: those that wait to be taken, or the others.
void Lobby::Private::drop_oldest(bool idle, size_t limit) {
  size_t count = 0;
  LobbyId oldest = 0;
  for (const auto& [id, connection] : connections) {
    if (!connection.accepted || (connection.stage == Stage::kIdle) != idle) continue;
    if (count == 0) oldest = id;
    count++;
  }
  BM_ASSERT(count <= limit + 1);
  if (count > limit) connections.erase(oldest);
}

void Lobby::Private::advance(LobbyId id, Connection& connection) {
  switch (connection.stage) {
    case Stage::kReading: {
      const Progress progress = receive_hello(connection);
      if (progress == Progress::kFailed) drop(id, EPROTO, "no hello");
      if (progress == Progress::kDone) become_idle(id, connection);
      return;
    }
    case Stage::kConnecting:
      connection_ready(id, connection);
      return;
    case Stage::kSending: {
      const Progress progress = send_some(connection);
      if (progress == Progress::kFailed) drop(id, EPIPE, "it closed the connection");
      if (progress == Progress::kDone) become_idle(id, connection);
      return;
    }
    case Stage::kRefusing: {
      const Progress progress = send_some(connection);
      if (progress == Progress::kFailed) drop(id, EPIPE, "refused");
      if (progress == Progress::kDone) linger(id, connection);
      return;
    }
    case Stage::kLingering:
      if (drain(connection.fd.get()) != Progress::kMore) drop(id, EPIPE, "refused");
      return;
    case Stage::kIdle:
      return;
  }
}

void Lobby::Private::connection_ready(LobbyId id, Connection& connection) {
  BM_ASSERT(connection.stage == Stage::kConnecting);
  const int error = pending_error(connection.fd.get());
  if (error != 0) return drop(id, error, std::strerror(error));
  if (is_self_connected(connection.fd.get())) {
    return drop(id, ECONNREFUSED, std::strerror(ECONNREFUSED));
  }
  connection.stage = Stage::kSending;
  advance(id, connection);
}

// Closes a connection; a dial is told.
void Lobby::Private::drop(LobbyId id, int error, const std::string& why) {
  BM_ASSERT(error > 0);
  const auto found = connections.find(id);
  BM_ASSERT(found != connections.end());
  const Connection& connection = found->second;
  if (!connection.accepted) {
    News item;
    item.socket = id;
    item.remote = connection.remote;
    item.error = error;
    item.text = "cannot connect to " + connection.remote + ": " + why;
    news.push_back(std::move(item));
  }
  connections.erase(found);
}

void Lobby::Private::become_idle(LobbyId id, Connection& connection) {
  BM_ASSERT(connection.stage == Stage::kReading || connection.stage == Stage::kSending);
  const int removed = epoll_ctl(epoll.get(), EPOLL_CTL_DEL, connection.fd.get(), nullptr);
  BM_ASSERT(removed == 0);
  connection.stage = Stage::kIdle;
  connection.deadline_ms = kNever;
  connection.outgoing.clear();
  News item;
  item.accepted = connection.accepted;
  item.listener = connection.listener;
  item.socket = id;
  item.remote = connection.remote;
  item.text = std::move(connection.payload);
  connection.payload.clear();
  news.push_back(std::move(item));
  drop_oldest(true, kMaxIdle);
}

// The refusal is in the send buffer: waits for the peer's end, so that no reset overtakes it.
void Lobby::Private::linger(LobbyId id, Connection& connection) {
  BM_ASSERT(connection.stage == Stage::kRefusing);
  connection.stage = Stage::kLingering;
  if (::shutdown(connection.fd.get(), SHUT_WR) != 0) return drop(id, EPIPE, "refused");
  if (!watch(connection.fd.get(), id, EPOLLIN, true)) drop(id, EPIPE, "refused");
}

void Lobby::Private::expire() {
  const uint64_t now = now_ms();
  std::vector<LobbyId> late;
  for (const auto& [id, connection] : connections) {
    if (connection.deadline_ms <= now) late.push_back(id);
  }
  for (const LobbyId id : late) {
    const uint64_t waited = connections.at(id).timeout_ms;
    drop(id, ETIMEDOUT, "no answer within " + std::to_string(waited) + " ms");
  }
  for (auto& [id, listener] : listeners) {
    if (listener.paused_until_ms == 0 || listener.paused_until_ms > now) continue;
    listener.paused_until_ms = 0;
    watch(listener.fd.get(), id, EPOLLIN, true);
  }
}

Connection* Lobby::Private::idle_socket(LobbyId id) {
  const auto found = connections.find(id);
  if (found == connections.end() || found->second.stage != Stage::kIdle) return nullptr;
  BM_ASSERT(found->second.fd.valid());
  return &found->second;
}

Lobby::Lobby(std::unique_ptr<Private> owned) : private_(std::move(owned)) {}

Outcome<std::unique_ptr<Lobby>> Lobby::start(LobbyEvents& events) {
  auto made = std::make_unique<Private>(events);
  made->epoll.reset(epoll_create1(EPOLL_CLOEXEC));
  made->wake.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!made->epoll.valid() || !made->wake.valid()) {
    return Failure{errno, std::string("cannot start the network thread: ") + std::strerror(errno)};
  }
  if (!made->watch(made->wake.get(), kWakeId, EPOLLIN, false)) {
    return Failure{errno, std::string("cannot start the network thread: ") + std::strerror(errno)};
  }
  const Status started = made->thread.start("bm-lobby", kStackBytes, &Private::body, made.get());
  if (!started.ok()) {
    const int error = started.error().code;
    return Failure{error, std::string("cannot start the network thread: ") + std::strerror(error)};
  }
  return std::unique_ptr<Lobby>(new Lobby(std::move(made)));
}

Lobby::~Lobby() {
  {
    const std::lock_guard<std::mutex> lock(private_->mutex);
    private_->stopping = true;
  }
  private_->poke();
  private_->thread.join();
}

Outcome<ListenerInfo> Lobby::listen(const std::string& host, uint16_t port) {
  Outcome<OwnedFd> fd = listen_on(host, port);
  if (!fd.ok()) return fd.failure();
  const std::lock_guard<std::mutex> lock(private_->mutex);
  ListenerInfo info;
  info.id = ++private_->last_id;
  info.address = endpoint_text(local_endpoint(fd.value().get()));
  if (!private_->watch(fd.value().get(), info.id, EPOLLIN, false)) {
    return Failure{errno, "cannot listen on " + info.address + ": " + std::strerror(errno)};
  }
  private_->listeners[info.id].fd = std::move(fd.value());
  return info;
}

void Lobby::close_listener(LobbyId listener) {
  const std::lock_guard<std::mutex> lock(private_->mutex);
  private_->listeners.erase(listener);
}

Outcome<LobbyId> Lobby::dial(const DialSpec& spec) {
  if (!peer::is_control_text(spec.hello))
    return Failure{EMSGSIZE, "a hello of an impossible length"};
  Outcome<Endpoint> to = numeric_endpoint(spec.host, spec.port);
  if (!to.ok()) return to.failure();
  const std::string remote = endpoint_text(to.value());
  bool in_progress = false;
  Outcome<OwnedFd> fd = begin_connect(to.value(), spec.buffers, &in_progress);
  if (!fd.ok()) {
    const Failure& failure = fd.failure();
    return Failure{failure.error, "cannot connect to " + remote + ": " + failure.message};
  }
  Connection connection;
  connection.fd = std::move(fd.value());
  // Connected at once or later: either way the socket becomes writable.
  connection.stage = Stage::kConnecting;
  connection.remote = remote;
  connection.timeout_ms = spec.timeout_ms;
  connection.deadline_ms = now_ms() + spec.timeout_ms;
  connection.outgoing = peer::control_frame(spec.hello);
  const std::lock_guard<std::mutex> lock(private_->mutex);
  const LobbyId id = ++private_->last_id;
  if (!private_->watch(connection.fd.get(), id, EPOLLOUT, false)) {
    return Failure{errno, "cannot connect to " + remote + ": " + std::strerror(errno)};
  }
  private_->connections.emplace(id, std::move(connection));
  private_->poke();
  return id;
}

int Lobby::take(LobbyId socket) {
  const std::lock_guard<std::mutex> lock(private_->mutex);
  Connection* connection = private_->idle_socket(socket);
  if (connection == nullptr || !make_blocking(connection->fd.get())) return -1;
  const int fd = connection->fd.release();
  private_->connections.erase(socket);
  BM_ASSERT(fd >= 0);
  return fd;
}

void Lobby::close_socket(LobbyId socket) {
  const std::lock_guard<std::mutex> lock(private_->mutex);
  const auto found = private_->connections.find(socket);
  if (found == private_->connections.end()) return;
  // A refusal under way is left to its deadline: it closes by itself.
  const Stage stage = found->second.stage;
  if (stage == Stage::kRefusing || stage == Stage::kLingering) return;
  private_->connections.erase(found);
}

void Lobby::set_buffers(LobbyId socket, const SocketBuffers& buffers) {
  const std::lock_guard<std::mutex> lock(private_->mutex);
  Connection* connection = private_->idle_socket(socket);
  if (connection != nullptr) host::set_buffers(connection->fd.get(), buffers);
}

void Lobby::refuse(LobbyId socket, const std::string& text) {
  const std::lock_guard<std::mutex> lock(private_->mutex);
  Connection* connection = private_->idle_socket(socket);
  if (connection == nullptr) return;
  if (!peer::is_control_text(text) ||
      !private_->watch(connection->fd.get(), socket, EPOLLOUT, false)) {
    private_->connections.erase(socket);
    return;
  }
  // From here on nobody waits for it, as for one that was accepted.
  connection->accepted = true;
  connection->stage = Stage::kRefusing;
  connection->outgoing = peer::control_frame(text);
  connection->done = 0;
  connection->deadline_ms = now_ms() + kLingerMs;
  private_->drop_oldest(false, kMaxPending);
  private_->poke();
}

}  // namespace blkmirror::host
