#include "harness/campaign/stop_signals.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/signalfd.h>
#include <unistd.h>

#include "harness/core/error.hpp"

namespace lockstep::campaign {
namespace {

bool is_ignored(int number) {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

StopWish wish_of(int number, StopWish before) {
  switch (number) {
    case SIGUSR1:
      return StopWish::soon;
    case SIGTERM:
      return before >= StopWish::promptly ? StopWish::at_once : StopWish::promptly;
    default:
      return StopWish::at_once;
  }
}

}  // namespace

StopSignals::StopSignals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : {SIGUSR1, SIGTERM, SIGINT, SIGHUP}) {
    // A blocked signal is queued even where it is ignored, so this has to be asked.
    if (number != SIGHUP || !is_ignored(number))
      sigaddset(&wanted, number);
  }
  fd_ = UniqueFd(::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd_.valid() || ::sigprocmask(SIG_BLOCK, &wanted, &previous_) != 0) {
    throw RunError({.what = "cannot take over the stop signals",
                    .why = std::strerror(errno),
                    .suggestion = {},
                    .file = {}});
  }
}

StopSignals::~StopSignals() {
  static_cast<void>(wish());
  ::sigprocmask(SIG_SETMASK, &previous_, nullptr);
}

StopWish StopSignals::wish() {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info))
    wish_ = std::max(wish_, wish_of(static_cast<int>(info.ssi_signo), wish_));
  return wish_;
}

}  // namespace lockstep::campaign
