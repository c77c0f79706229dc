#include "harness/lab/privilege.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/posix.hpp"
#include "harness/lab/net_namespace.hpp"

namespace lockstep::lab {
namespace {

bool write_file(const char* path, const std::string& text) {
  const UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return fd.valid() && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

[[noreturn]] void fail(const char* what, std::string suggestion) {
  throw RunError(
      {.what = what, .why = std::strerror(errno), .suggestion = std::move(suggestion), .file = {}});
}

Problem try_it() {
  try {
    gain_privilege();
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID) != 0)
      fail("namespaces cannot be made",
           "run as root; in a container, give it CAP_SYS_ADMIN and CAP_NET_ADMIN and allow unshare");
    static_cast<void>(open_tun(::getpid(), "wan"));
    run_ip(::getpid(), {"link add name port type veth peer name eth0", "link add name lan type bridge"});
  } catch (const RunError& error) {
    return error.problem();
  }
  return {};
}

}  // namespace

void gain_privilege() {
  if (::geteuid() == 0)
    return;
  const auto user = ::geteuid();
  const auto group = ::getegid();
  if (::unshare(CLONE_NEWUSER) != 0)
    fail("this user cannot make a user namespace",
         "run as root, or allow it: sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces "
         "above 0");
  if (!write_file("/proc/self/setgroups", "deny") ||
      !write_file("/proc/self/uid_map", fmt::format("0 {} 1", user)) ||
      !write_file("/proc/self/gid_map", fmt::format("0 {} 1", group)))
    fail("this user cannot be mapped into its user namespace", "run as root");
}

std::optional<Problem> why_no_lab() {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
    return Problem{.what = "cannot make a pipe", .why = std::strerror(errno), .suggestion = {}, .file = {}};
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  const pid_t child = ::fork();
  if (child < 0)
    return Problem{
        .what = "cannot start a process", .why = std::strerror(errno), .suggestion = {}, .file = {}};
  if (child == 0) {
    const Problem problem = try_it();
    const std::string text = problem.what + '\0' + problem.why + '\0' + problem.suggestion;
    static_cast<void>(::write(write_end.get(), text.data(), text.size()));
    ::_exit(0);
  }
  write_end.reset();
  std::string text;
  std::array<char, 1024> part{};
  for (ssize_t n = 0; (n = ::read(read_end.get(), part.data(), part.size())) > 0;)
    text.append(part.data(), static_cast<std::size_t>(n));
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  const std::size_t first = text.find('\0');
  const std::size_t second = first == std::string::npos ? first : text.find('\0', first + 1);
  if (second == std::string::npos)
    return Problem{.what = "whether a lab can be made could not be tried",
                   .why = "the process that tried it died",
                   .suggestion = {},
                   .file = {}};
  if (first == 0)
    return std::nullopt;
  return Problem{.what = text.substr(0, first),
                 .why = text.substr(first + 1, second - first - 1),
                 .suggestion = text.substr(second + 1),
                 .file = {}};
}

}  // namespace lockstep::lab
