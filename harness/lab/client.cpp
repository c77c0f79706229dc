#include "harness/lab/client.hpp"

#include <array>
#include <csignal>
#include <filesystem>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

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

}  // namespace

int run_on_host(const std::string& lab, const std::string& host, const std::vector<std::string>& argv) {
  const UniqueFd signals = take_signals();
  std::vector<std::string> environment;
  for (char** entry = ::environ; *entry != nullptr; ++entry)
    environment.emplace_back(*entry);
  std::error_code error;
  const nlohmann::ordered_json request{{"do", "exec"},
                                       {"host", host},
                                       {"argv", argv},
                                       {"environment", environment},
                                       {"folder", std::filesystem::current_path(error).string()}};
  const Conversation conversation = converse(lab, request, {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO});
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
    if (waiting[0].revents != 0) {
      RemoteEnd end;
      if (::recv(conversation.socket.get(), &end, sizeof end, MSG_WAITALL) !=
          static_cast<ssize_t>(sizeof end))
        return kHostIsGone;
      return end.by_signal ? kSignalBase + end.value : end.value;
    }
  }
}

}  // namespace lockstep::lab
