#include "harness/lab/remote_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/lab/wire.hpp"

namespace lockstep::lab {
namespace {

constexpr int kEntered = CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID;
constexpr int kGraceMs = 2000;
constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts)
    result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

void restore_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal)
    ::sigaction(signal, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void become(const RemoteCommand& command, const std::array<int, 3>& streams) {
  ::setsid();
  // Above the standard streams first, so that none is overwritten before it is copied.
  std::array<int, 3> high{};
  for (std::size_t i = 0; i < high.size(); ++i)
    high[i] = ::fcntl(streams[i], F_DUPFD, 10);
  for (std::size_t i = 0; i < high.size(); ++i)
    ::dup2(high[i], static_cast<int>(i));
  ::close_range(3, ~0U, 0);
  if (::chdir(command.folder.c_str()) != 0 && ::chdir("/") != 0)
    ::_exit(kNotExecutable);
  const std::vector<char*> argv = pointers(command.argv);
  const std::vector<char*> environment = pointers(command.environment);
  ::environ = const_cast<char**>(environment.data());
  ::execvp(argv[0], argv.data());
  const int error = errno;
  const std::string text =
      fmt::format("lockstep lab: cannot execute {}: {}\n", command.argv[0], std::strerror(error));
  static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()));
  ::_exit(error == ENOENT ? kNotFound : kNotExecutable);
}

RemoteEnd end_of(int status) {
  if (WIFSIGNALED(status))
    return {true, WTERMSIG(status)};
  return {false, WEXITSTATUS(status)};
}

/// Until the program has ended. `client` is closed once it has gone away.
RemoteEnd look_after(pid_t program, int client) {
  const UniqueFd ended(static_cast<int>(::syscall(SYS_pidfd_open, program, 0)));
  bool is_heard = true;
  bool was_asked = false;
  for (;;) {
    std::array<pollfd, 2> waiting{pollfd{ended.get(), POLLIN, 0}, pollfd{is_heard ? client : -1, POLLIN, 0}};
    const int ready = ::poll(waiting.data(), waiting.size(), was_asked ? kGraceMs : -1);
    if (ready == 0)
      ::kill(-program, SIGKILL);
    if ((waiting[0].revents & POLLIN) != 0)
      break;
    if (waiting[1].revents == 0)
      continue;
    unsigned char signal = 0;
    if (::recv(client, &signal, 1, 0) == 1) {
      ::kill(-program, signal);
      continue;
    }
    is_heard = false;
    was_asked = true;
    ::kill(-program, SIGTERM);
    ::kill(-program, SIGCONT);
  }
  int status = 0;
  while (::waitpid(program, &status, 0) < 0 && errno == EINTR) {
  }
  return end_of(status);
}

}  // namespace

pid_t start_on_host(pid_t init, const RemoteCommand& command, const std::vector<UniqueFd>& streams,
                    const UniqueFd& client) {
  LOCKSTEP_EXPECT(streams.size() == 3 && !command.argv.empty(), "a program and its three streams");
  const UniqueFd host(static_cast<int>(::syscall(SYS_pidfd_open, init, 0)));
  if (!host.valid())
    throw RunError(
        {.what = "the host does not answer", .why = std::strerror(errno), .suggestion = {}, .file = {}});
  const pid_t parent = ::getpid();
  const pid_t keeper = ::fork();
  if (keeper < 0)
    throw RunError(
        {.what = "cannot start a process", .why = std::strerror(errno), .suggestion = {}, .file = {}});
  if (keeper > 0)
    return keeper;

  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "lab-exec");
  if (::getppid() != parent)
    ::_exit(1);
  restore_signals();
  static_cast<void>(::signal(SIGPIPE, SIG_IGN));
  std::array<int, 3> fds{streams[0].get(), streams[1].get(), streams[2].get()};
  RemoteEnd end{false, kNotExecutable};
  if (::setns(host.get(), kEntered) == 0) {
    const pid_t program = ::fork();
    if (program == 0) {
      restore_signals();
      become(command, fds);
    }
    // What only the program needs must not be held by two, or its readers would never see the end.
    for (const int fd : fds)
      ::close(fd);
    if (program > 0)
      end = look_after(program, client.get());
  }
  static_cast<void>(::send(client.get(), &end, sizeof end, MSG_NOSIGNAL));
  ::_exit(0);
}

}  // namespace lockstep::lab
