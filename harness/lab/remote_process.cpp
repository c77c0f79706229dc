#include "harness/lab/remote_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
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
#include "harness/core/posix.hpp"
#include "harness/lab/new_process.hpp"
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

/// All that the new process needs: between fork and exec it allocates nothing, since the relay's thread may
/// have held the allocator's lock at that instant.
struct Prepared {
  std::vector<char*> argv;
  std::vector<char*> environment;
  const char* folder;
  std::string complaint;  ///< for standard error, without the reason
};

[[noreturn]] void become(const Prepared& command, const std::array<int, 3>& streams) {
  ::setsid();
  // Above the standard streams first, so that none is overwritten before it is copied.
  std::array<int, 3> high{};
  for (std::size_t i = 0; i < high.size(); ++i)
    high[i] = ::fcntl(streams[i], F_DUPFD, 10);
  for (std::size_t i = 0; i < high.size(); ++i)
    ::dup2(high[i], static_cast<int>(i));
  ::close_range(3, ~0U, 0);
  if (::chdir(command.folder) != 0 && ::chdir("/") != 0)
    ::_exit(kNotExecutable);
  ::environ = const_cast<char**>(command.environment.data());
  ::execvp(command.argv[0], command.argv.data());
  const int error = errno;
  for (const char* part : {command.complaint.c_str(), ::strerrordesc_np(error), "\n"}) {
    if (part != nullptr)
      static_cast<void>(::write(STDERR_FILENO, part, std::strlen(part)));
  }
  ::_exit(error == ENOENT ? kNotFound : kNotExecutable);
}

/// Whether the host that this process has entered is coming to its end, and so all that runs there: known by
/// its first process, open as `stat`.
bool host_is_ending(int stat) {
  constexpr unsigned long kExiting = 0x4;  // PF_EXITING, the ninth field of proc(5)'s stat
  std::array<char, 512> text{};
  const ssize_t bytes = ::pread(stat, text.data(), text.size() - 1, 0);
  const char* at = bytes > 0 ? std::strrchr(text.data(), ')') : nullptr;
  if (at == nullptr)
    return true;
  unsigned long flags = 0;
  return std::sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) != 1 || (flags & kExiting) != 0;
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
    ::kill(-program, SIGTERM);  // no SIGCONT: the host may be frozen
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
  const Prepared prepared{pointers(command.argv), pointers(command.environment), command.folder.c_str(),
                          fmt::format("lockstep lab: cannot execute {}: ", command.argv[0])};
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
    throw RunError({.what = "cannot make a pipe", .why = std::strerror(errno), .suggestion = {}, .file = {}});
  const UniqueFd is_there(pipe[0]);
  UniqueFd started(pipe[1]);
  const std::vector<int> kept{streams[0].get(), streams[1].get(), streams[2].get(),
                              client.get(),     host.get(),       started.get()};
  const pid_t parent = ::getpid();
  const pid_t keeper = ::fork();
  if (keeper < 0)
    throw RunError(
        {.what = "cannot start a process", .why = std::strerror(errno), .suggestion = {}, .file = {}});
  if (keeper > 0) {
    // Until the program is one of the host's processes: whatever is done to the host from now on reaches it.
    started.reset();
    char none = 0;
    while (::read(is_there.get(), &none, 1) < 0 && errno == EINTR) {
    }
    return keeper;
  }

  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "lab-exec");
  if (::getppid() != parent)
    ::_exit(1);
  reset_signals();
  static_cast<void>(::signal(SIGPIPE, SIG_IGN));
  close_all_but(kept);
  const std::array<int, 3> fds{kept[0], kept[1], kept[2]};
  if (::setns(host.get(), kEntered) == 0) {
    const int stat = ::open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
    const pid_t program = ::fork();
    if (program == 0) {
      reset_signals();
      become(prepared, fds);
    }
    started.reset();
    // What only the program needs must not be held by two, or its readers would never see the end.
    for (const int fd : fds)
      ::close(fd);
    if (program > 0) {
      const RemoteEnd end = look_after(program, client.get());
      // A client that hears nothing knows that the host is gone.
      if (!end.by_signal || !host_is_ending(stat))
        static_cast<void>(::send(client.get(), &end, sizeof end, MSG_NOSIGNAL));
    }
  }
  ::_exit(0);
}

}  // namespace lockstep::lab
