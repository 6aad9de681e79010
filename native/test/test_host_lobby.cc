// The lobby over loopback: first frames both ways, refusals, garbage, deadlines; unix sockets.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "check.h"
#include "host/lobby.h"
#include "host/unix_listener.h"
#include "peer/frame.h"

using namespace blkmirror;        // NOLINT: a test
using namespace blkmirror::host;  // NOLINT: a test

namespace {

struct Arrival {
  LobbyId listener = 0;
  LobbyId socket = 0;
  std::string remote;
  std::string text;
  int error = 0;
};

class Recorder final : public LobbyEvents {
 public:
  void accepted(LobbyId listener, LobbyId socket, const std::string& remote,
                const std::string& hello) override {
    add(accepted_, {listener, socket, remote, hello, 0});
  }
  void dialled(LobbyId socket, const std::string& remote, int error,
               const std::string& message) override {
    add(dialled_, {0, socket, remote, message, error});
  }
  bool wait_accepted(size_t count, unsigned ms = 10000) { return wait(accepted_, count, ms); }
  bool wait_dialled(size_t count, unsigned ms = 10000) { return wait(dialled_, count, ms); }
  Arrival accepted_at(size_t index) { return at(accepted_, index); }
  Arrival dialled_at(size_t index) { return at(dialled_, index); }

 private:
  void add(std::vector<Arrival>& list, Arrival arrival) {
    const std::lock_guard<std::mutex> lock(mutex_);
    list.push_back(std::move(arrival));
    changed_.notify_all();
  }
  bool wait(std::vector<Arrival>& list, size_t count, unsigned ms) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(ms),
                             [&] { return list.size() >= count; });
  }
  Arrival at(std::vector<Arrival>& list, size_t index) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return list.at(index);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Arrival> accepted_;
  std::vector<Arrival> dialled_;
};

struct Running {
  Recorder recorder;
  std::unique_ptr<Lobby> lobby;
  uint16_t port = 0;
  LobbyId listener = 0;

  Running() {
    auto started = Lobby::start(recorder);
    if (!started.ok()) return;
    lobby = std::move(started.value());
    auto info = lobby->listen("127.0.0.1", 0);
    if (!info.ok()) return;
    listener = info.value().id;
    port = uint16_t(std::atoi(info.value().address.substr(10).c_str()));
  }
};

DialSpec dial_spec(uint16_t port, const std::string& hello) {
  DialSpec spec;
  spec.host = "127.0.0.1";
  spec.port = port;
  spec.timeout_ms = 5000;
  spec.hello = hello;
  return spec;
}

OwnedFd raw_client(uint16_t port) {
  OwnedFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

std::string frame(const std::string& text) {
  peer::FrameHeader header;
  header.payload_bytes = uint32_t(text.size());
  std::array<std::byte, peer::kFrameHeaderBytes> bytes;
  peer::encode(header, bytes);
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + text;
}

bool send_all(int fd, const std::string& bytes) {
  return send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == ssize_t(bytes.size());
}

// Everything until the end of the stream; `ended` tells whether it came within 10 s.
std::string read_to_end(int fd, bool* ended) {
  std::string all;
  *ended = false;
  for (;;) {
    pollfd ready{fd, POLLIN, 0};
    if (poll(&ready, 1, 10000) <= 0) return all;
    char part[4096];
    const ssize_t got = recv(fd, part, sizeof part, 0);
    if (got <= 0) {
      *ended = true;
      return all;
    }
    all.append(part, size_t(got));
  }
}

}  // namespace

TEST(lobby_carries_the_first_frame_and_not_a_byte_more) {
  Running world;
  CHECK(world.lobby != nullptr);
  const OwnedFd client = raw_client(world.port);
  CHECK(client.valid());
  CHECK(send_all(client.get(), frame("{\"a\":1}") + frame("{\"b\":2}")));
  CHECK(world.recorder.wait_accepted(1));
  const Arrival arrival = world.recorder.accepted_at(0);
  CHECK_EQ(arrival.text, std::string("{\"a\":1}"));
  CHECK_EQ(arrival.listener, world.listener);
  const OwnedFd taken(world.lobby->take(arrival.socket));
  CHECK(taken.valid());
  CHECK_EQ(fcntl(taken.get(), F_GETFL) & O_NONBLOCK, 0);
  const std::string rest = frame("{\"b\":2}");
  std::string got(rest.size(), '\0');
  CHECK_EQ(recv(taken.get(), got.data(), got.size(), MSG_WAITALL), got.size());
  CHECK_EQ(got, rest);
  CHECK_EQ(world.lobby->take(arrival.socket), -1);
}

TEST(lobby_dials_and_sends_the_hello) {
  Running world;
  const auto id = world.lobby->dial(dial_spec(world.port, std::string(65536, 'x')));
  CHECK(id.ok());
  CHECK(world.recorder.wait_dialled(1));
  CHECK(world.recorder.wait_accepted(1));
  CHECK_EQ(world.recorder.dialled_at(0).error, 0);
  CHECK_EQ(world.recorder.accepted_at(0).text.size(), 65536);
  const OwnedFd out(world.lobby->take(world.recorder.dialled_at(0).socket));
  const OwnedFd in(world.lobby->take(world.recorder.accepted_at(0).socket));
  CHECK(out.valid());
  CHECK(in.valid());
  CHECK(send_all(in.get(), "hello"));
  char word[6] = "";
  CHECK_EQ(recv(out.get(), word, 5, MSG_WAITALL), 5);
  CHECK_EQ(std::string(word), std::string("hello"));
}

TEST(lobby_reads_a_hello_that_comes_in_single_bytes) {
  Running world;
  const OwnedFd client = raw_client(world.port);
  const std::string bytes = frame("{\"slow\":true}");
  for (const char byte : bytes) CHECK(send_all(client.get(), std::string(1, byte)));
  CHECK(world.recorder.wait_accepted(1));
  CHECK_EQ(world.recorder.accepted_at(0).text, std::string("{\"slow\":true}"));
}

TEST(lobby_closes_on_garbage_and_on_other_frames) {
  Running world;
  peer::FrameHeader ping;
  ping.type = peer::FrameType::kPing;
  std::array<std::byte, peer::kFrameHeaderBytes> bytes;
  peer::encode(ping, bytes);
  const std::string ping_frame(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const std::string& bad : {std::string(64, 'G'), ping_frame}) {
    const OwnedFd client = raw_client(world.port);
    CHECK(send_all(client.get(), bad));
    bool ended = false;
    CHECK_EQ(read_to_end(client.get(), &ended), std::string());
    CHECK(ended);
  }
  CHECK(!world.recorder.wait_accepted(1, 1));
}

TEST(lobby_refuses_so_that_the_peer_reads_it) {
  Running world;
  const OwnedFd client = raw_client(world.port);
  CHECK(send_all(client.get(), frame("{\"a\":1}") + std::string(20000, 'z')));
  CHECK(world.recorder.wait_accepted(1));
  const LobbyId socket = world.recorder.accepted_at(0).socket;
  world.lobby->refuse(socket, "{\"refused\":\"no\"}");
  bool ended = false;
  CHECK_EQ(read_to_end(client.get(), &ended), frame("{\"refused\":\"no\"}"));
  CHECK(ended);
  CHECK_EQ(world.lobby->take(socket), -1);
}

TEST(lobby_says_why_it_cannot_connect) {
  Running world;
  world.lobby->close_listener(world.listener);
  const auto id = world.lobby->dial(dial_spec(world.port, "{}"));
  CHECK(id.ok());
  CHECK(world.recorder.wait_dialled(1));
  CHECK_EQ(world.recorder.dialled_at(0).error, ECONNREFUSED);
  CHECK(world.recorder.dialled_at(0).text.find("cannot connect to 127.0.0.1:") == 0);
  DialSpec bad = dial_spec(1, "{}");
  bad.host = "alpha";
  CHECK(!world.lobby->dial(bad).ok());
}

TEST(lobby_gives_up_a_dial_at_its_deadline) {
  Running world;
  // A listener with a full backlog answers no connection attempt.
  const OwnedFd full(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  CHECK_EQ(bind(full.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  CHECK_EQ(listen(full.get(), 0), 0);
  CHECK_EQ(getsockname(full.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const OwnedFd first = raw_client(ntohs(address.sin_port));
  DialSpec spec = dial_spec(ntohs(address.sin_port), "{}");
  spec.timeout_ms = 100;
  CHECK(world.lobby->dial(spec).ok());
  CHECK(world.recorder.wait_dialled(1));
  CHECK_EQ(world.recorder.dialled_at(0).error, ETIMEDOUT);
}

TEST(lobby_drops_the_oldest_silent_connection) {
  Running world;
  std::vector<OwnedFd> clients;
  for (int count = 0; count < 257; count++) {
    clients.push_back(raw_client(world.port));
    CHECK(clients.back().valid());
  }
  bool ended = false;
  read_to_end(clients[0].get(), &ended);
  CHECK(ended);
  CHECK(send_all(clients[256].get(), frame("{\"last\":1}")));
  CHECK(world.recorder.wait_accepted(1));
  CHECK(send_all(clients[1].get(), frame("{\"second\":1}")));
  CHECK(world.recorder.wait_accepted(2));
}

TEST(lobby_listens_on_ipv6_and_refuses_a_taken_address) {
  Running world;
  const auto taken = world.lobby->listen("127.0.0.1", world.port);
  CHECK(!taken.ok());
  CHECK_EQ(taken.failure().error, EADDRINUSE);
  auto six = world.lobby->listen("::1", 0);
  if (!six.ok()) return;  // no IPv6 here
  CHECK(six.value().address.rfind("[::1]:", 0) == 0);
  DialSpec spec = dial_spec(uint16_t(std::atoi(six.value().address.substr(6).c_str())), "{}");
  spec.host = "::1";
  CHECK(world.lobby->dial(spec).ok());
  CHECK(world.recorder.wait_accepted(1));
  CHECK(world.recorder.accepted_at(0).remote.rfind("[::1]:", 0) == 0);
}

TEST(lobby_sets_buffer_sizes) {
  Running world;
  DialSpec spec = dial_spec(world.port, "{}");
  spec.buffers = {40960, 40960};
  CHECK(world.lobby->dial(spec).ok());
  CHECK(world.recorder.wait_accepted(1));
  CHECK(world.recorder.wait_dialled(1));
  world.lobby->set_buffers(world.recorder.accepted_at(0).socket, {40960, 0});
  const OwnedFd in(world.lobby->take(world.recorder.accepted_at(0).socket));
  const OwnedFd out(world.lobby->take(world.recorder.dialled_at(0).socket));
  for (const int fd : {in.get(), out.get()}) {
    int value = 0;
    socklen_t length = sizeof value;
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &length), 0);
    CHECK_EQ(value, 2 * 40960);  // the kernel doubles it
  }
}

TEST(unix_listener_replaces_only_a_stale_socket) {
  char folder[] = "/tmp/blkmirror-unix-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/r0.sock";
  auto first = listen_unix(path);
  auto second = listen_unix(path);
  if (first.ok()) first.value().reset();
  auto third = listen_unix(path);
  struct stat status {};
  const int found = stat(path.c_str(), &status);
  unlink(path.c_str());
  const OwnedFd file(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  auto fourth = listen_unix(path);
  unlink(path.c_str());
  rmdir(folder);
  CHECK(first.ok());
  CHECK(!second.ok());
  CHECK_EQ(second.failure().error, EADDRINUSE);
  CHECK(third.ok());
  CHECK_EQ(found, 0);
  CHECK_EQ(status.st_mode & 0777, 0600);
  CHECK(!fourth.ok());
  CHECK_EQ(fourth.failure().error, EEXIST);
  CHECK(!listen_unix("/tmp/" + std::string(120, 'x')).ok());
}
