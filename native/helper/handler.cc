// See handler.h.
#include "helper/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/assert.h"
#include "base/endian.h"

namespace blkmirror::helper {

namespace {

constexpr uint32_t kVariables = 128;
constexpr uint32_t kReadsAtOnce = 16;

// Points into the message; the last entry is null.
struct Program {
  uint32_t timeout_ms = 0;
  char* command = nullptr;
  char* environment[kVariables + 1] = {};
};

bool parse(const Message& message, Program& program) {
  if (message.bytes < 6 || message.body[message.bytes - 1] != '\0') return false;
  program.timeout_ms = load_be32(message.body);
  program.command = message.body + 4;
  char* const end = message.body + message.bytes;
  uint32_t count = 0;
  for (char* at = program.command + std::strlen(program.command) + 1; at < end;
       at += std::strlen(at) + 1) {
    if (count == kVariables) return false;
    program.environment[count] = at;
    count += 1;
  }
  return program.timeout_ms > 0;
}

// In the child: nothing of the helper but the pipe reaches the program.
[[noreturn]] void become(const Program& program, int output, pid_t helper) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != helper) _exit(126);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGPIPE, SIGHUP, SIGINT}) signal(number, SIG_DFL);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0u, 0);
  const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) {
    [[maybe_unused]] const ssize_t written = write(score, "0", 1);
    close(score);
  }
  char shell[] = "/bin/sh";
  char option[] = "-c";
  char* const arguments[] = {shell, option, program.command, nullptr};
  execve(shell, arguments, const_cast<char* const*>(program.environment));
  _exit(127);
}

}  // namespace

void Handler::start(const Message& message, uint64_t now_ms, DaemonSocket& daemon) {
  BM_ASSERT(free());
  BM_ASSERT(output_ < 0);
  Program program;
  int pipe_ends[2] = {-1, -1};
  const auto refuse = [&](int error) {
    daemon.send_numbers(Kind::kEnded, message.id, static_cast<uint32_t>(Ending::kNotRun),
                        static_cast<uint32_t>(error));
  };
  if (!parse(message, program)) return refuse(EINVAL);
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return refuse(errno);
  const pid_t helper = getpid();
  const pid_t child = fork();
  if (child == 0) become(program, pipe_ends[1], helper);
  const int error = errno;
  close(pipe_ends[1]);
  if (child < 0) {
    close(pipe_ends[0]);
    return refuse(error);
  }
  *this = Handler();
  pid_ = child;
  id_ = message.id;
  output_ = pipe_ends[0];
  fcntl(output_, F_SETFL, O_NONBLOCK);
  deadline_ms_ = now_ms + program.timeout_ms;
  daemon.send_numbers(Kind::kStarted, id_, static_cast<uint32_t>(child), 0);
}

void Handler::read_output(DaemonSocket& daemon) {
  char text[4096];
  for (uint32_t count = 0; count < kReadsAtOnce && output_ >= 0; ++count) {
    const ssize_t got = ::read(output_, text, sizeof text);
    if (got > 0) {
      take_output(text, static_cast<uint32_t>(got), daemon);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      close_output(daemon);
    } else {
      return;
    }
  }
}

void Handler::take_output(const char* text, uint32_t bytes, DaemonSocket& daemon) {
  BM_ASSERT(text != nullptr);
  for (uint32_t at = 0; at < bytes; ++at) {
    BM_ASSERT(line_bytes_ < kLineBytes);
    if (text[at] != '\n') line_[line_bytes_++] = text[at];
    if (text[at] == '\n' || line_bytes_ == kLineBytes) end_line(daemon);
  }
}

// What is too much for the log, or for a daemon that does not read, is left out.
void Handler::end_line(DaemonSocket& daemon) {
  const uint32_t bytes = line_bytes_;
  line_bytes_ = 0;
  if (bytes == 0 || cut_) return;
  logged_ += bytes;
  if (logged_ <= kLoggedBytes && daemon.send(Kind::kOutput, id_, {line_, bytes}, true)) return;
  cut_ = true;
  daemon.send(Kind::kOutput, id_, "(further output is left out)");
}

void Handler::close_output(DaemonSocket& daemon) {
  if (output_ < 0) return;
  end_line(daemon);
  close(output_);
  output_ = -1;
}

// Told at once: a program that sleeps in the kernel may not hear of its death for long.
void Handler::expire(DaemonSocket& daemon) {
  BM_ASSERT(!free());
  kill(-pid_, SIGKILL);
  read_output(daemon);
  close_output(daemon);
  deadline_ms_ = 0;
  if (told_) return;
  told_ = true;
  daemon.send_numbers(Kind::kEnded, id_, static_cast<uint32_t>(Ending::kTimedOut), 0);
}

void Handler::reaped(int status, DaemonSocket& daemon) {
  BM_ASSERT(!free());
  read_output(daemon);
  close_output(daemon);
  pid_ = 0;
  deadline_ms_ = 0;
  if (told_) return;
  told_ = true;
  const bool exited = WIFEXITED(status);
  const int value = exited ? WEXITSTATUS(status) : WTERMSIG(status);
  const Ending ending = exited ? Ending::kExited : Ending::kKilled;
  daemon.send_numbers(Kind::kEnded, id_, static_cast<uint32_t>(ending),
                      static_cast<uint32_t>(value));
}

}  // namespace blkmirror::helper
