#include "harness/watch/supervisor.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <optional>
#include <sstream>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/log.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"
#include "harness/record/process_state.hpp"

namespace lockstep::watch {

struct SupervisorPage {
  pid_t supervisor = ::getpid();
  std::atomic<std::int64_t> resume_after_ns{0};
  std::atomic<std::uint32_t> disk_full{0};
  std::atomic<std::uint32_t> has_folder{0};
  std::array<char, 4000> folder{};
};

namespace {

using record::ProcessCondition;

/// Time between two signs of life.
constexpr std::int64_t kBeatNs = 500'000'000;

/// By which the child says that there is a folder.
int folder_signal() {
  return SIGRTMIN;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Supervisor {
 public:
  Supervisor(SupervisorPage& page, pid_t child) : page_(page), child_(child) {
    state_.host = short_host_name();
    state_.pid = child;
    state_.supervisor_pid = ::getpid();
    state_.started_utc_ns = utc_ns();
    state_.changed_utc_ns = state_.started_utc_ns;
  }

  /// All signals are blocked.
  [[noreturn]] void watch() {
    sigset_t all;
    sigfillset(&all);
    while (true) {
      siginfo_t info{};
      const int number = wait(all, info);
      if (number == SIGCHLD)
        reap();
      else if (number == folder_signal() && info.si_pid == child_)
        make_file();
      else if (number > 0 && info.si_pid != child_)
        ::kill(child_, number);
      if (file_)
        file_->beat();
      if (resume_at_ns_ > 0 && monotonic_ns() >= resume_at_ns_) {
        resume_at_ns_ = 0;
        ::kill(child_, SIGCONT);
      }
    }
  }

 private:
  [[nodiscard]] int wait(const sigset_t& all, siginfo_t& info) const {
    std::int64_t left_ns = kBeatNs;
    if (resume_at_ns_ > 0)
      left_ns = std::clamp<std::int64_t>(resume_at_ns_ - monotonic_ns(), 0, kBeatNs);
    const timespec left{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
    return ::sigtimedwait(&all, &info, &left);
  }

  void make_file() noexcept {
    if (file_ || page_.has_folder.load(std::memory_order_acquire) == 0)
      return;
    try {
      file_.emplace(record::ProcessStateFile::create(page_.folder.data(), state_));
    } catch (const std::exception&) {
      // The child writes into the same folder and says what is wrong with it.
    }
  }

  void become(ProcessCondition condition, int signal) {
    state_.condition = condition;
    state_.signal = signal;
    state_.changed_utc_ns = utc_ns();
    state_.disk_full = page_.disk_full.load(std::memory_order_relaxed) != 0;
    make_file();
    if (file_)
      file_->update(state_);
  }

  void reap() {
    int status = 0;
    while (::waitpid(child_, &status, WNOHANG | WUNTRACED | WCONTINUED) > 0) {
      if (WIFSTOPPED(status)) {
        become(ProcessCondition::stopped, WSTOPSIG(status));
        if (const std::int64_t after_ns = page_.resume_after_ns.exchange(0); after_ns > 0)
          resume_at_ns_ = monotonic_ns() + after_ns;
      } else if (WIFCONTINUED(status)) {
        become(ProcessCondition::running, 0);
      } else if (WIFEXITED(status)) {
        state_.exit_code = WEXITSTATUS(status);
        become(ProcessCondition::exited, 0);
        ::_exit(state_.exit_code);
      } else if (WIFSIGNALED(status)) {
        state_.core_dumped = WCOREDUMP(status);
        state_.out_of_memory = WTERMSIG(status) == SIGKILL && out_of_memory_kills(cgroup_) > kills_before_;
        become(ProcessCondition::killed, WTERMSIG(status));
        die_of(WTERMSIG(status));
      }
    }
  }

  [[noreturn]] static void die_of(int number) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);  // the child's is the one worth having
    ::signal(number, SIG_DFL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    ::kill(::getpid(), number);
    ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
    ::_exit(128 + number);
  }

  SupervisorPage& page_;
  pid_t child_;
  record::ProcessState state_;
  std::optional<record::ProcessStateFile> file_;
  std::int64_t resume_at_ns_ = 0;
  std::string cgroup_ = read_text("/proc/self/cgroup");
  std::int64_t kills_before_ = out_of_memory_kills(cgroup_);
};

}  // namespace

void Supervised::announce_folder(const std::string& folder) noexcept {
  if (page_ == nullptr || folder.size() >= page_->folder.size())
    return;
  std::memcpy(page_->folder.data(), folder.data(), folder.size());
  page_->has_folder.store(1, std::memory_order_release);
  ::kill(page_->supervisor, folder_signal());
}

void Supervised::resume_after(double seconds) noexcept {
  if (page_ != nullptr)
    page_->resume_after_ns.store(static_cast<std::int64_t>(seconds * kNsPerS));
}

void Supervised::note_disk_full() noexcept {
  if (page_ != nullptr)
    page_->disk_full.store(1);
}

Supervised supervise() {
  void* memory =
      ::mmap(nullptr, sizeof(SupervisorPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    log_warning(std::string("nobody supervises this process: ") + std::strerror(errno));
    return Supervised(nullptr);
  }
  auto* page = new (memory) SupervisorPage;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, &before);
  ::signal(SIGCHLD, SIG_DFL);  // where it was ignored, nobody could wait for the child
  const pid_t child = ::fork();
  if (child > 0)
    Supervisor(*page, child).watch();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != page->supervisor)  // it died before that call
      ::kill(::getpid(), SIGKILL);
  }
  const int error = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (child == 0)
    return Supervised(page);
  log_warning(std::string("nobody supervises this process: ") + std::strerror(error));
  ::munmap(memory, sizeof(SupervisorPage));
  return Supervised(nullptr);
}

std::int64_t out_of_memory_kills(const std::string& cgroup, const std::string& root) {
  std::istringstream lines(cgroup);
  std::string line;
  while (std::getline(lines, line)) {
    // `0::/path` in v2, `7:memory:/path` among others in v1
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos)
      continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (!controllers.empty() && controllers != "memory")
      continue;
    std::istringstream counts(read_text(controllers.empty()
                                            ? root + path + "/memory.events"
                                            : root + "/memory" + path + "/memory.oom_control"));
    std::string name;
    std::int64_t count = 0;
    while (counts >> name >> count) {
      if (name == "oom_kill")
        return count;
    }
  }
  return 0;
}

}  // namespace lockstep::watch
