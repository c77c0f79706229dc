#include "harness/lab/server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/lab_variable.hpp"
#include "harness/core/log.hpp"
#include "harness/lab/lab.hpp"
#include "harness/lab/privilege.hpp"
#include "harness/lab/quantity.hpp"
#include "harness/lab/remote_process.hpp"
#include "harness/lab/slurm.hpp"
#include "harness/lab/wire.hpp"

namespace lockstep::lab {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kClientPatienceS = 5;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;

Json problem_json(const Problem& problem, bool bad_input) {
  return {{"problem",
           {{"what", problem.what},
            {"why", problem.why},
            {"suggestion", problem.suggestion},
            {"bad_input", bad_input}}}};
}

[[noreturn]] void fail(const char* what) {
  throw RunError({.what = what, .why = std::strerror(errno), .suggestion = {}, .file = {}});
}

UniqueFd listen_on(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd.valid() || path.size() >= sizeof address.sun_path)
    fail("cannot make the lab's socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(fd.get(), SOMAXCONN) != 0)
    fail("cannot make the lab's socket");
  return fd;
}

void write_remote_shell(const ServerSettings& settings, const LabFolder& folder) {
  write_text_file(folder.remote_shell(), fmt::format("#!/bin/sh\nexec '{}' lab rsh --lab '{}' \"$@\"\n",
                                                     settings.program, settings.name));
  if (::chmod(folder.remote_shell().c_str(), S_IRWXU) != 0)
    fail("cannot make the lab's remote shell");
}

/// Serves one lab until it goes down.
class Server {
 public:
  Server(Lab& lab, const LabFolder& folder, UniqueFd socket, UniqueFd signals, UniqueFd owner)
      : lab_(lab),
        folder_(folder),
        socket_(std::move(socket)),
        signals_(std::move(signals)),
        owner_(std::move(owner)) {}

  void run() {
    while (!is_going_down_) {
      std::int64_t next_ns = lab_.let_expire(monotonic_ns());
      std::vector<pollfd> waiting{pollfd{socket_.get(), POLLIN, 0}, pollfd{signals_.get(), POLLIN, 0},
                                  pollfd{owner_.get(), POLLIN, 0}};
      for (const Silent& client : silent_) {
        waiting.push_back({client.socket.get(), POLLIN, 0});
        next_ns = std::min(next_ns, client.until_ns);
      }
      timespec wait{};
      const timespec* limit = nullptr;
      if (next_ns != std::numeric_limits<std::int64_t>::max()) {
        const std::int64_t left_ns = std::max<std::int64_t>(0, next_ns - monotonic_ns());
        wait = {left_ns / kNsPerSecond, left_ns % kNsPerSecond};
        limit = &wait;
      }
      const bool anything = ::ppoll(waiting.data(), waiting.size(), limit, nullptr) > 0;
      hear(std::span(waiting).subspan(3));
      if (!anything)
        continue;
      if (waiting[0].revents != 0)
        accept_client();
      if (waiting[1].revents != 0)
        take_signal();
      if (waiting[2].revents != 0)
        is_going_down_ = true;  // whoever brought it up is gone
    }
  }

  /// The client that asked to go down learns that it is done when this closes.
  [[nodiscard]] UniqueFd take_last_client() { return std::move(last_client_); }

 private:
  void take_signal() {
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
      return;
    if (info.ssi_signo != SIGCHLD) {
      is_going_down_ = true;
      return;
    }
    // Only what looked after programs: hosts are waited for by whoever ends them.
    std::erase_if(exec_keepers_, [](pid_t keeper) { return ::waitpid(keeper, nullptr, WNOHANG) != 0; });
  }

  void accept_client() {
    UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.valid())
      return;
    const timeval patience{kClientPatienceS, 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    silent_.push_back({std::move(client), monotonic_ns() + kClientPatienceS * kNsPerSecond});
  }

  /// Serves the clients that began to speak and lets those go that never will. `polled`: what poll() said of
  /// each.
  void hear(std::span<const pollfd> polled) {
    std::vector<Silent> silent = std::exchange(silent_, {});
    const std::int64_t now_ns = monotonic_ns();
    for (std::size_t i = 0; i < silent.size(); ++i) {
      if (polled[i].revents != 0 && !is_going_down_)
        serve(std::move(silent[i].socket));
      else if (now_ns < silent[i].until_ns)
        silent_.push_back(std::move(silent[i]));
    }
  }

  void serve(UniqueFd client) {
    try {
      auto message = receive_message(client.get());
      if (!message)
        return;
      Json answer;
      try {
        answer = handle(*message, client);
      } catch (const InputError& error) {
        answer = problem_json(error.problem(), true);
      } catch (const RunError& error) {
        answer = problem_json(error.problem(), false);
      } catch (const Json::exception& error) {
        answer = problem_json({.what = "a request that cannot be understood",
                               .why = error.what(),
                               .suggestion = "are client and lab of one version?",
                               .file = {}},
                              true);
      }
      if (!answer.is_null())
        send_message(client.get(), answer);
      if (is_going_down_)
        last_client_ = std::move(client);
    } catch (const RunError& error) {
      log_warning(error.problem().one_line());
    }
  }

  Json handle(const Message& message, const UniqueFd& client) {
    const Json& request = message.json;
    const std::string what = request.at("do");
    if (what == "status")
      return lab_.status();
    if (what == "exec")
      return execute(message, client);
    if (what == "link" || what == "cut") {
      const std::string for_text = request.value("for", "");
      const std::int64_t for_ns = for_text.empty() ? 0 : parse_duration_ns(for_text);
      if (!for_text.empty() && for_ns == 0)
        throw InputError(
            {.what = "for 0", .why = "nothing would change", .suggestion = "give a time", .file = {}});
      if (what == "cut") {
        lab_.cut(request.at("a"), request.at("b"), request.value("one_way", false), for_ns);
      } else {
        std::vector<KeyValue> changes;
        for (const std::string word : request.at("changes"))
          changes.push_back(parse_link_word(word));
        lab_.change_link(request.at("a"), request.at("b"), request.value("one_way", false), changes, for_ns);
      }
    } else if (what == "heal") {
      lab_.heal(request.at("names").get<std::vector<std::string>>());
    } else if (what == "freeze") {
      lab_.freeze(request.at("host"));
    } else if (what == "kill") {
      lab_.kill(request.at("host"));
    } else if (what == "clear") {
      lab_.clear();
    } else if (what == "down") {
      is_going_down_ = true;
    } else {
      throw InputError(
          {.what = fmt::format("a lab cannot \"{}\"", what), .why = {}, .suggestion = {}, .file = {}});
    }
    return Json::object();
  }

  Json execute(const Message& message, const UniqueFd& client) {
    const Json& request = message.json;
    RemoteCommand command{request.at("argv").get<std::vector<std::string>>(),
                          request.at("environment").get<std::vector<std::string>>(),
                          request.at("folder").get<std::string>()};
    if (command.argv.empty() || message.fds.size() != 3)
      throw InputError({.what = "a request to run nothing", .why = {}, .suggestion = {}, .file = {}});
    const std::string host = request.at("host");
    const pid_t init = lab_.init_of(host);
    const auto set = [&command](const std::string& name, const std::string& value) {
      std::erase_if(command.environment, [&name](const std::string& e) { return e.starts_with(name + "="); });
      command.environment.push_back(name + "=" + value);
    };
    set(kLabVariable, folder_.name());
    set("LOCKSTEP_LAB_HOST", host);
    set(kLabsFolderVariable, std::filesystem::path(folder_.path()).parent_path().string());
    if (const std::string conf = slurm_folder(folder_) + "/slurm.conf"; std::filesystem::exists(conf))
      set("SLURM_CONF", conf);
    // Whoever runs programs here is root on the host, also a user that was mapped to it.
    set("OMPI_ALLOW_RUN_AS_ROOT", "1");
    set("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // The answer must come before whatever the small process sends.
    send_message(client.get(), Json::object());
    exec_keepers_.push_back(start_on_host(init, command, message.fds, client));
    return nullptr;
  }

  /// A client that has not spoken yet.
  struct Silent {
    UniqueFd socket;
    std::int64_t until_ns = 0;
  };

  Lab& lab_;
  const LabFolder& folder_;
  std::vector<Silent> silent_;
  UniqueFd socket_;
  UniqueFd signals_;
  UniqueFd owner_;
  UniqueFd last_client_;
  std::vector<pid_t> exec_keepers_;
  bool is_going_down_ = false;
};

UniqueFd block_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD})
    ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!fd.valid())
    fail("cannot make the lab's signal queue");
  return fd;
}

/// Standard streams away from the caller's: whoever waits for the end of its output must not wait for the
/// lab.
void detach(const LabFolder& folder) {
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd log(::open(folder.log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!null.valid() || !log.valid())
    fail("cannot create the lab's log");
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(log.get(), STDOUT_FILENO);
  ::dup2(log.get(), STDERR_FILENO);
}

[[noreturn]] void refuse_second(const std::string& name) {
  throw InputError({.what = fmt::format("the lab \"{}\" is up already", name),
                    .why = "two labs need two names",
                    .suggestion = fmt::format(
                        "take it down (lockstep lab down --lab {}), or name this one with --name", name),
                    .file = {}});
}

/// The lab's folder and, in it, the socket that says that the name is taken.
UniqueFd take_name(const LabFolder& folder) {
  const UniqueFd held = folder.lock();
  if (folder.is_live())
    refuse_second(folder.name());
  folder.create();
  return listen_on(folder.socket());
}

void give_name_back(const LabFolder& folder) {
  try {
    static_cast<void>(folder.remove_if_dead());  // not what another has made under this name meanwhile
  } catch (const RunError& error) {
    log_warning(error.problem().one_line());
  }
}

/// Does `work` and returns the exit code that this means; a problem is told to `report` while that is open.
int do_and_report(UniqueFd& report, const std::function<void()>& work) {
  try {
    work();
    return 0;
  } catch (const InputError& error) {
    if (report.valid())
      send_message(report.get(), problem_json(error.problem(), true));
    return static_cast<int>(ExitCode::bad_input);
  } catch (const RunError& error) {
    if (report.valid())
      send_message(report.get(), problem_json(error.problem(), false));
    return static_cast<int>(ExitCode::run_failed);
  }
}

[[noreturn]] void run_server(const ServerSettings& settings, UniqueFd owner, UniqueFd report) {
  ::setsid();
  ::prctl(PR_SET_NAME, "lockstep-lab");
  static_cast<void>(::signal(SIGPIPE, SIG_IGN));
  static_cast<void>(::signal(SIGCHLD, SIG_DFL));
  // Nobody shall wait for a pipe or a lock to be let go that the lab happened to inherit, nor for a folder.
  close_all_but({owner.get(), report.get()});
  static_cast<void>(::chdir("/"));
  const LabFolder folder(settings.name);
  UniqueFd socket;
  int code = do_and_report(report, [&] { socket = take_name(folder); });
  if (!socket.valid())
    ::_exit(code);
  UniqueFd last_client;  // learns by the end of this process that it is done
  code = do_and_report(report, [&] {
    detach(folder);
    gain_privilege();
    UniqueFd signals = block_signals();
    write_remote_shell(settings, folder);
    Lab lab(settings.spec, folder, settings.shared);
    send_message(report.get(), Json::object());
    report.reset();
    Server server(lab, folder, std::move(socket), std::move(signals), std::move(owner));
    server.run();
    last_client = server.take_last_client();
  });
  socket.reset();  // still here when the lab did not come up
  give_name_back(folder);
  ::_exit(code);
}

}  // namespace

UniqueFd start_lab(const ServerSettings& settings, Lifetime lifetime) {
  const LabFolder folder(settings.name);
  if (folder.is_live())
    refuse_second(settings.name);
  std::array<int, 2> pair{};
  std::array<int, 2> owner{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0 ||
      (lifetime == Lifetime::attached && ::pipe2(owner.data(), O_CLOEXEC) != 0))
    fail("cannot make a pipe");
  const UniqueFd answer(pair[0]);
  UniqueFd report(pair[1]);
  UniqueFd owner_read(owner[0]);
  UniqueFd owner_write(owner[1]);
  const pid_t child = ::fork();
  if (child < 0)
    fail("cannot start a process");
  if (child == 0) {
    // Twice, so that the lab is nobody's child: it is not waited for.
    const pid_t grandchild = ::fork();
    if (grandchild != 0)
      ::_exit(grandchild > 0 ? 0 : 1);
    ::close(pair[0]);
    owner_write.reset();
    run_server(settings, std::move(owner_read), std::move(report));
  }
  report.reset();
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  const auto message = receive_message(answer.get());
  if (!message)
    throw RunError(
        {.what = "the lab did not come up", .why = "its process died", .suggestion = {}, .file = {}});
  throw_if_problem(message->json);
  return owner_write;
}

}  // namespace lockstep::lab
