// blkmirror-handlers: runs the administrator's handlers for the daemon, which starts it in
// advance and is at the other end of descriptor 3. Its memory is locked, so that it works while
// the device under everything else is suspended.
//
// It ends when the daemon does, and kills everything that was started through it. No allocation;
// one thread; nothing waits but poll().

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/assert.h"
#include "helper/daemon_socket.h"
#include "helper/handler.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace blkmirror::helper {

namespace {

constexpr int kDaemonFd = 3;
constexpr uint32_t kHandlers = 128;  // at once; the daemon keeps to it
constexpr uint64_t kEndingMs = 2000;

DaemonSocket daemon_socket(kDaemonFd);
Handler handlers[kHandlers];

uint64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1000 + uint64_t(now.tv_nsec) / 1000000;
}

// What could not be had, in words; empty when all is well.
const char* protect() {
  const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) {
    [[maybe_unused]] const ssize_t written = write(score, "-1000", 5);
    close(score);
  }
  prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0) return "";
  return errno == EPERM || errno == ENOMEM
             ? "the memory of the handler process is not locked: run the service as root, or "
               "raise its LimitMEMLOCK"
             : "the memory of the handler process is not locked: the kernel refuses it";
}

// SIGCHLD and SIGTERM come through a descriptor; a terminal's signals are the daemon's business.
int open_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGTERM);
  sigprocmask(SIG_SETMASK, &wanted, nullptr);
  for (const int number : {SIGPIPE, SIGHUP, SIGINT}) signal(number, SIG_IGN);
  return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

void start_handlers() {
  Message message;
  while (daemon_socket.take(message)) {
    Handler* const slot =
        std::find_if(handlers, handlers + kHandlers, [](const Handler& one) { return one.free(); });
    if (message.kind != Kind::kRun || slot == handlers + kHandlers) {
      const int error = message.kind == Kind::kRun ? EAGAIN : EINVAL;
      daemon_socket.send_numbers(Kind::kEnded, message.id, static_cast<uint32_t>(Ending::kNotRun),
                                 static_cast<uint32_t>(error));
      continue;
    }
    slot->start(message, now_ms(), daemon_socket);
  }
}

// True when the process was told to end.
bool take_signals(int signals) {
  signalfd_siginfo info;
  bool ending = false;
  while (read(signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGTERM) ending = true;
  }
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    for (Handler& handler : handlers) {
      if (handler.pid() == pid) handler.reaped(status, daemon_socket);
    }
  }
  return ending;
}

// Milliseconds to the next deadline for poll(), those that have passed being dealt with.
int expire_handlers() {
  const uint64_t now = now_ms();
  uint64_t next = now + 60000;
  for (Handler& handler : handlers) {
    if (handler.deadline_ms() == 0) continue;
    if (handler.deadline_ms() <= now) {
      handler.expire(daemon_socket);
    } else {
      next = std::min(next, handler.deadline_ms());
    }
  }
  BM_ASSERT(next > now);
  return static_cast<int>(next - now);
}

void run(int signals) {
  pollfd polled[kHandlers + 2] = {};
  polled[0].fd = kDaemonFd;
  polled[1] = {signals, POLLIN, 0};
  for (bool ending = false; !ending;) {
    const int timeout = expire_handlers();
    if (!daemon_socket.flush()) return;
    polled[0].events = short(POLLIN | (daemon_socket.has_unsent() ? POLLOUT : 0));
    for (uint32_t i = 0; i < kHandlers; ++i) polled[i + 2] = {handlers[i].output(), POLLIN, 0};
    if (poll(polled, kHandlers + 2, timeout) < 0) {
      BM_ASSERT(errno == EINTR || errno == ENOMEM);
      continue;
    }
    for (uint32_t i = 0; i < kHandlers; ++i) {
      if (polled[i + 2].revents != 0) handlers[i].read_output(daemon_socket);
    }
    ending = take_signals(signals);
    if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !daemon_socket.read()) return;
    start_handlers();
  }
}

// Who loses its parent becomes a child of this process (it is their subreaper): killing the
// children until there are none kills all that was ever started here.
void kill_everything() {
  for (const Handler& handler : handlers) {
    if (!handler.free()) kill(-handler.pid(), SIGKILL);
  }
  const uint64_t until = now_ms() + kEndingMs;
  while (now_ms() < until) {
    char text[4096];
    const int list = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    const ssize_t got = list < 0 ? -1 : read(list, text, sizeof text - 1);
    if (list >= 0) close(list);
    if (got > 0) {
      text[got] = '\0';
      for (char* at = text; *at >= '0' && *at <= '9';) {
        const long pid = std::strtol(at, &at, 10);
        // A number that was cut off is read whole the next time.
        if (*at == ' ') kill(static_cast<pid_t>(pid), SIGKILL);
        at += *at == ' ' ? 1 : 0;
      }
    }
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
    if (waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD) return;
    poll(nullptr, 0, 1);
  }
}

int main_of_helper() {
  prctl(PR_SET_NAME, "blkmirror-hdl");
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (fcntl(kDaemonFd, F_SETFD, FD_CLOEXEC) != 0) return 2;
  close_range(kDaemonFd + 1, ~0u, 0);
  if (chdir("/") != 0) return 2;
  const int signals = open_signals();
  if (signals < 0) return 2;
  daemon_socket.send(Kind::kReady, 0, protect());
  run(signals);
  kill_everything();
  return 0;
}

}  // namespace

}  // namespace blkmirror::helper

int main() { return blkmirror::helper::main_of_helper(); }
