#include "harness/lab/client.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/lab/wire.hpp"

namespace lockstep::lab {
namespace {

constexpr int kHostIsGone = 255;
constexpr int kSignalBase = 128;

UniqueFd take_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
    ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC));
}

/// Asks the lab to run a program, with these as its standard streams.
Conversation begin(const std::string& lab, const std::string& host, const std::vector<std::string>& argv,
                   const std::vector<int>& streams) {
  std::vector<std::string> environment;
  for (char** entry = ::environ; *entry != nullptr; ++entry)
    environment.emplace_back(*entry);
  std::error_code error;
  const nlohmann::ordered_json request{{"do", "exec"},
                                       {"host", host},
                                       {"argv", argv},
                                       {"environment", environment},
                                       {"folder", std::filesystem::current_path(error).string()}};
  return converse(lab, request, streams);
}

int end_of(const Conversation& conversation) {
  RemoteEnd end;
  if (::recv(conversation.socket.get(), &end, sizeof end, MSG_WAITALL) != static_cast<ssize_t>(sizeof end))
    return kHostIsGone;
  return end.by_signal ? kSignalBase + end.value : end.value;
}

}  // namespace

int run_on_host(const std::string& lab, const std::string& host, const std::vector<std::string>& argv) {
  const UniqueFd signals = take_signals();
  const Conversation conversation = begin(lab, host, argv, {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO});
  for (;;) {
    std::array<pollfd, 2> waiting{pollfd{conversation.socket.get(), POLLIN, 0},
                                  pollfd{signals.get(), POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0)
      continue;
    if (waiting[1].revents != 0) {
      signalfd_siginfo info{};
      if (::read(signals.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        const auto number = static_cast<unsigned char>(info.ssi_signo);
        static_cast<void>(::send(conversation.socket.get(), &number, 1, MSG_NOSIGNAL));
      }
    }
    if (waiting[0].revents != 0)
      return end_of(conversation);
  }
}

HostOutput capture_on_host(const std::string& lab, const std::string& host,
                           const std::vector<std::string>& argv) {
  std::array<int, 2> pipe{};
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.valid() || ::pipe2(pipe.data(), O_CLOEXEC) != 0)
    throw RunError({.what = "cannot make a pipe", .why = std::strerror(errno), .suggestion = {}, .file = {}});
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  const Conversation conversation = begin(lab, host, argv, {null.get(), write_end.get(), write_end.get()});
  write_end.reset();
  HostOutput output;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = ::read(read_end.get(), part.data(), part.size())) > 0;)
    output.text.append(part.data(), static_cast<std::size_t>(n));
  output.status = end_of(conversation);
  return output;
}

}  // namespace lockstep::lab
