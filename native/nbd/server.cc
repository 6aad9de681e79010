// See server.h. Sessions are run from a timer that is armed when one asks for it, so that nothing
// is submitted to the backend, and no session destroyed, from inside somebody else's call.
#include "nbd/server.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "nbd/session.h"

namespace blkmirror::nbd {

namespace {

// A part of the pool is for those who have nothing yet, enough for one small buffer each: those
// who never read their replies may hold all the rest.
constexpr uint32_t kReservedPart = 4;
static_assert(limits::kClients * limits::kClientSureBytes <=
              limits::kClientPoolBytes / kReservedPart);

constexpr uint64_t kAcceptRetryUs = 100'000;  // after a failed accept, out of descriptors say

}  // namespace

struct Server::Private final : SessionHost {
  Private(io::Io& io, BufferPool& pool, Backend& backend)
      : pool(pool), world{*this, io, pool, backend, exported} {}

  void want_run(Session& session) override;
  void want_send(Session& session) override;
  void entered_transmission(Session& session) override;
  uint32_t spare_bytes() const override;
  io::Io& io() const { return world.io; }
  void accept_next();
  void accepted(int32_t result);
  void run_soon();
  void run();
  void admit(io::SocketId socket);
  void destroy(Session& session);
  void hand_over(Session& session);
  Session* kernel_session() const;
  void finish_stop();
  void tell_change() const;

  BufferPool& pool;
  Export exported;
  SessionWorld world;
  io::SocketId listener = io::kNoSocket;
  bool running = false;
  bool stopping = false;
  void (*stopped)(void* owner) = nullptr;
  void* stopped_owner = nullptr;
  void (*changed)(void* owner) = nullptr;
  void* changed_owner = nullptr;
  Parked parked = nullptr;  // while the kernel's session is being parked
  void* parked_owner = nullptr;
  io::Op accept;
  io::Timer accept_again;
  io::Timer run_timer;
  // The first `count`, by age: the clients and the kernel.
  std::array<std::unique_ptr<Session>, limits::kClients + 1> sessions;
  uint32_t count = 0;
  List<Session, &Session::run_link> runnable;
  List<Session, &Session::send_link> senders;
};

Server::Server(io::Io& io, BufferPool& client_pool, Backend& backend)
    : private_(std::make_unique<Private>(io, client_pool, backend)) {
  Private& self = *private_;
  self.accept.owner = &self;
  self.accept.complete = [](io::Op& op, int32_t result) {
    static_cast<Private*>(op.owner)->accepted(result);
  };
  self.accept_again.owner = &self;
  self.accept_again.fire = [](io::Timer& timer) {
    static_cast<Private*>(timer.owner)->accept_next();
  };
  self.run_timer.owner = &self;
  self.run_timer.fire = [](io::Timer& timer) { static_cast<Private*>(timer.owner)->run(); };
}

// Still running: only after a simulated crash of the Io, which took all operations with it.
Server::~Server() {
  Private& self = *private_;
  BM_ASSERT(!self.accept.impl.pending);
  BM_ASSERT(self.running || self.count == 0);
  for (uint32_t i = 0; i < self.count; i++) self.sessions[i]->abandon();
  for (uint32_t i = 0; i < self.count; i++) {
    Session& session = *self.sessions[i];
    if (session.run_link.linked()) self.runnable.remove(session);
    self.sessions[i].reset();
  }
  self.io().disarm(self.accept_again);
  self.io().disarm(self.run_timer);
}

void Server::set_client_change(void (*changed)(void* owner), void* owner) {
  private_->changed = changed;
  private_->changed_owner = owner;
}

void Server::start(io::SocketId listener, const Export& exported) {
  Private& self = *private_;
  BM_ASSERT(!self.running);
  BM_ASSERT(exported.name.size() <= kNameBytes);
  BM_ASSERT(exported.minimum_block == 512 || exported.minimum_block == 4096);
  BM_ASSERT(exported.size_bytes % exported.minimum_block == 0);
  self.listener = listener;
  self.exported = exported;
  self.running = true;
  self.accept_next();
}

void Server::stop(void (*stopped)(void* owner), void* owner) {
  Private& self = *private_;
  BM_ASSERT(stopped != nullptr);
  BM_ASSERT(self.running);
  BM_ASSERT(!self.stopping);
  self.stopping = true;
  self.stopped = stopped;
  self.stopped_owner = owner;
  self.io().disarm(self.accept_again);
  if (self.accept.impl.pending) self.io().cancel(self.accept);
  for (uint32_t i = 0; i < self.count; i++) self.sessions[i]->end();
  self.run_soon();
}

void Server::admit_kernel(io::SocketId socket, std::span<const std::byte> unread) {
  Private& self = *private_;
  BM_ASSERT(self.running && !self.stopping);
  BM_ASSERT(!has_kernel());
  BM_ASSERT(self.count < self.sessions.size());
  self.sessions[self.count] = std::make_unique<Session>(self.world, socket);
  self.sessions[self.count++]->start_kernel(unread);
}

bool Server::has_kernel() const { return private_->kernel_session() != nullptr; }

void Server::park_kernel(Parked parked, void* owner) {
  Private& self = *private_;
  BM_ASSERT(parked != nullptr);
  BM_ASSERT(self.parked == nullptr);
  Session* session = self.kernel_session();
  BM_ASSERT(session != nullptr);
  self.parked = parked;
  self.parked_owner = owner;
  session->park();
}

bool Server::running() const { return private_->running; }

void Server::batch_end() {
  while (Session* session = private_->senders.pop_front()) session->send_gathered();
}

uint32_t Server::client_count() const {
  uint32_t clients = 0;
  for (uint32_t i = 0; i < private_->count; i++) {
    const Session& session = *private_->sessions[i];
    if (session.in_transmission() && !session.is_kernel()) clients++;
  }
  return clients;
}

uint32_t Server::client_pids(int32_t* pids, uint32_t capacity) const {
  uint32_t written = 0;
  for (uint32_t i = 0; i < private_->count && written < capacity; i++) {
    const Session& session = *private_->sessions[i];
    if (session.in_transmission() && !session.is_kernel()) pids[written++] = session.peer_pid();
  }
  return written;
}

void Server::Private::want_run(Session& session) {
  if (!session.run_link.linked()) runnable.push_back(session);
  run_soon();
}

void Server::Private::want_send(Session& session) {
  if (!session.send_link.linked()) senders.push_back(session);
}

void Server::Private::entered_transmission(Session& session) {
  BM_ASSERT(session.in_transmission());
  tell_change();
}

uint32_t Server::Private::spare_bytes() const {
  const uint32_t reserved = pool.region_bytes() / kReservedPart;
  BM_ASSERT(pool.free_bytes() <= pool.region_bytes());
  return pool.free_bytes() - std::min(pool.free_bytes(), reserved);
}

void Server::Private::accept_next() {
  BM_ASSERT(running);
  BM_ASSERT(!stopping);
  io().accept(listener, accept);
}

void Server::Private::accepted(int32_t result) {
  BM_ASSERT(running);
  BM_ASSERT(!accept_again.link.linked());
  if (result >= 0) admit(io::SocketId{static_cast<uint32_t>(result)});
  if (stopping) {
    run_soon();
  } else if (result >= 0) {
    accept_next();
  } else {
    io().arm(accept_again, io().now_us() + kAcceptRetryUs);
  }
}

void Server::Private::admit(io::SocketId socket) {
  BM_ASSERT(count < sessions.size());
  const uint32_t clients = count - (kernel_session() != nullptr ? 1 : 0);
  if (stopping || clients == limits::kClients) {
    io().close_socket(socket);
    return;
  }
  BM_ASSERT(sessions[count] == nullptr);
  sessions[count] = std::make_unique<Session>(world, socket);
  sessions[count++]->start();
}

void Server::Private::run_soon() {
  if (!run_timer.link.linked()) io().arm(run_timer, io().now_us());
}

void Server::Private::run() {
  while (Session* session = runnable.pop_front()) {
    if (!session->ended()) session->run();
    if (session->at_rest()) {
      hand_over(*session);
    } else if (!session->ended()) {
      continue;
    } else if (session->idle()) {
      destroy(*session);
    }
  }
  if (stopping && count == 0 && !accept.impl.pending) finish_stop();
}

void Server::Private::destroy(Session& session) {
  const bool was_client = session.in_transmission();
  if (session.run_link.linked()) runnable.remove(session);
  if (session.send_link.linked()) senders.remove(session);
  const auto end = sessions.begin() + count;
  const auto place = std::find_if(sessions.begin(), end,
                                  [&](const auto& other) { return other.get() == &session; });
  BM_ASSERT(place != end);
  std::unique_ptr<Session> leaving = std::move(*place);
  std::move(place + 1, end, place);
  count--;
  const bool lost = leaving->is_kernel() && parked != nullptr;
  leaving.reset();
  if (lost) std::exchange(parked, nullptr)(parked_owner, io::kNoSocket, {});
  if (was_client) tell_change();
}

void Server::Private::hand_over(Session& session) {
  BM_ASSERT(parked != nullptr);
  BM_ASSERT(session.is_kernel());
  const io::SocketId socket = session.unpark();
  std::exchange(parked, nullptr)(parked_owner, socket, session.unread());
  destroy(session);
}

Session* Server::Private::kernel_session() const {
  const auto end = sessions.begin() + count;
  const auto place =
      std::find_if(sessions.begin(), end, [](const auto& session) { return session->is_kernel(); });
  return place == end ? nullptr : place->get();
}

void Server::Private::finish_stop() {
  BM_ASSERT(running);
  BM_ASSERT(runnable.empty());
  io().close_socket(listener);
  listener = io::kNoSocket;
  running = false;
  stopping = false;
  stopped(stopped_owner);
}

void Server::Private::tell_change() const {
  if (changed != nullptr) changed(changed_owner);
}

}  // namespace blkmirror::nbd
