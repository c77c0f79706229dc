#include "harness/lab/host.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/lab/new_process.hpp"

namespace lockstep::lab {
namespace {

constexpr int kHostNamespaces = CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID;

/// What the new processes tell the one that made them: a pid, or an error.
struct Report {
  pid_t init = -1;
  int error = 0;
  std::array<char, 48> what{};
};

void tell(int fd, const Report& report) {
  static_cast<void>(::write(fd, &report, sizeof report));
}

[[noreturn]] void give_up(int fd, std::string_view what) {
  Report report;
  report.error = errno;
  std::copy_n(what.begin(), std::min(what.size(), report.what.size() - 1), report.what.begin());
  tell(fd, report);
  ::_exit(1);
}

void make_folders(const std::string& path) {
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at);
    ::mkdir(path.substr(0, at).c_str(), 0755);
    if (at != std::string::npos)
      ++at;
  }
}

/// Its own /tmp, /dev/shm, /proc and /etc/hosts.
void mount_own_folders(const HostSettings& settings, int report) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    give_up(report, "cannot make its mounts its own");
  // Before they are covered: they may lie below /tmp.
  const UniqueFd hosts(::open(settings.hosts_file.c_str(), O_PATH));
  std::vector<std::pair<std::string, UniqueFd>> shared;
  for (const std::string& folder : settings.shared)
    shared.emplace_back(folder, UniqueFd(::open(folder.c_str(), O_PATH | O_DIRECTORY)));
  for (const char* folder : {"/tmp", "/dev/shm"}) {
    if (::mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") != 0)
      give_up(report, "cannot mount its own /tmp or /dev/shm");
  }
  for (const auto& [folder, fd] : shared) {
    make_folders(folder);
    const std::string source = fmt::format("/proc/self/fd/{}", fd.get());
    if (::mount(source.c_str(), folder.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
      give_up(report, "cannot share a folder with it");
  }
  if (::mount(fmt::format("/proc/self/fd/{}", hosts.get()).c_str(), "/etc/hosts", nullptr, MS_BIND,
              nullptr) != 0)
    give_up(report, "cannot give it its own /etc/hosts");
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    give_up(report, "cannot mount its own /proc");
}

/// Pid 1 of a host: adopts and reaps.
[[noreturn]] void live_as_init() {
  ::close_range(0, ~0U, 0);
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &children, nullptr);  // so that none is missed between a look and the next wait
  for (;;) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    int signal = 0;
    ::sigwait(&children, &signal);
  }
}

void die_with_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent)
    ::_exit(1);
}

[[noreturn]] void run_keeper(const HostSettings* settings, pid_t maker, int report) {
  die_with_parent(maker);
  reset_signals();
  ::prctl(PR_SET_NAME, settings != nullptr ? "lab-host" : "lab-router");
  if (::unshare(settings != nullptr ? kHostNamespaces : CLONE_NEWNET) != 0)
    give_up(report, "cannot make its namespaces");
  const pid_t keeper = ::getpid();
  if (settings == nullptr) {
    tell(report, {keeper, 0, {}});
    live_as_init();
  }
  // The pipe tells when pid 1 is ready; only then it may be entered.
  std::array<int, 2> ready{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0)
    give_up(report, "cannot make a pipe");
  const pid_t init = ::fork();
  if (init < 0)
    give_up(report, "cannot start its first process");
  if (init == 0) {
    // The parent is outside of this PID namespace, so its death cannot be checked by number: nobody reads
    // from the pipe any more.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(ready[0]);
    ::prctl(PR_SET_NAME, "lab-init");
    if (::sethostname(settings->name.c_str(), settings->name.size()) != 0)
      give_up(report, "cannot set its name");
    mount_own_folders(*settings, report);
    ::setsid();
    if (::write(ready[1], "+", 1) != 1)
      ::_exit(1);
    live_as_init();
  }
  ::close(ready[1]);
  char mark = 0;
  if (::read(ready[0], &mark, 1) == 1)
    tell(report, {init, 0, {}});
  ::close_range(0, ~0U, 0);
  while (::waitpid(init, nullptr, 0) < 0 && errno == EINTR) {
  }
  ::_exit(0);
}

struct Pair {
  pid_t keeper;
  pid_t init;
};

Pair start(const HostSettings* settings) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
    throw RunError({.what = "cannot make a pipe", .why = std::strerror(errno), .suggestion = {}, .file = {}});
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  const pid_t maker = ::getpid();
  const pid_t keeper = ::fork();
  if (keeper < 0)
    throw RunError(
        {.what = "cannot start a process", .why = std::strerror(errno), .suggestion = {}, .file = {}});
  if (keeper == 0)
    run_keeper(settings, maker, write_end.get());
  write_end.reset();
  Report report;
  const bool told = ::read(read_end.get(), &report, sizeof report) == static_cast<ssize_t>(sizeof report);
  if (told && report.init > 0)
    return {keeper, report.init};
  ::kill(keeper, SIGKILL);
  while (::waitpid(keeper, nullptr, 0) < 0 && errno == EINTR) {
  }
  throw RunError({.what = fmt::format("cannot boot {}", settings != nullptr ? "the host " + settings->name
                                                                            : std::string("a site's router")),
                  .why = told ? fmt::format("{}: {}", report.what.data(), std::strerror(report.error))
                              : std::string("its first process died"),
                  .suggestion =
                      "run as root, or allow unprivileged user namespaces; a container needs CAP_SYS_ADMIN, "
                      "CAP_NET_ADMIN and leave to unshare and mount",
                  .file = {}});
}

/// Which PID namespace a process is in; empty when it is gone.
std::string pid_namespace_of(const std::string& process) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/" + process + "/ns/pid", error).string();
}

bool is_stopped(pid_t process) {
  try {
    const std::string text = read_text_file(fmt::format("/proc/{}/stat", process));
    const std::size_t end = text.rfind(')');
    return end == std::string::npos || end + 2 >= text.size() ||
           std::string_view("TtZX").find(text[end + 2]) != std::string_view::npos;
  } catch (const InputError&) {
    return true;  // it has ended
  }
}

}  // namespace

Host Host::boot(const HostSettings& settings) {
  const Pair pair = start(&settings);
  Host host;
  host.keeper_ = pair.keeper;
  host.init_ = pair.init;
  return host;
}

Host Host::boot_router() {
  const Pair pair = start(nullptr);
  Host host;
  host.keeper_ = pair.keeper;
  host.init_ = pair.init;
  return host;
}

Host::Host(Host&& other) noexcept
    : keeper_(std::exchange(other.keeper_, -1)), init_(std::exchange(other.init_, -1)) {}

Host& Host::operator=(Host&& other) noexcept {
  if (this != &other) {
    kill();
    keeper_ = std::exchange(other.keeper_, -1);
    init_ = std::exchange(other.init_, -1);
  }
  return *this;
}

Host::~Host() {
  kill();
}

void Host::kill() noexcept {
  if (keeper_ <= 0)
    return;
  // The keeper ends by itself when pid 1 has ended, and that ends only when all its processes have.
  ::kill(init_, SIGKILL);
  while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {
  }
  keeper_ = -1;
  init_ = -1;
}

std::vector<pid_t> Host::processes() const {
  std::vector<pid_t> found;
  if (!is_alive())
    return found;
  const std::string own = pid_namespace_of(std::to_string(init_));
  if (own.empty())
    return found;  // its first process has ended; what cannot be read is not its own
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    pid_t process = 0;
    const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (problem == std::errc{} && end == name.data() + name.size() && process != init_ &&
        pid_namespace_of(name) == own)
      found.push_back(process);
  }
  return found;
}

void Host::stop_processes() const {
  // A process that forks while we look is found in the next round; a stopped one forks no more.
  // One that the kernel cannot interrupt just now stops as soon as it can: it is not waited for.
  constexpr int kMostRounds = 200;
  bool all_stopped = false;
  for (int round = 0; round < kMostRounds && !all_stopped; ++round) {
    all_stopped = true;
    for (const pid_t process : processes()) {
      if (!is_stopped(process)) {
        all_stopped = false;
        ::kill(process, SIGSTOP);
      }
    }
  }
}

void Host::continue_processes() const {
  for (const pid_t process : processes())
    ::kill(process, SIGCONT);
}

}  // namespace lockstep::lab
