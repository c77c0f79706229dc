#include "harness/lab/net_namespace.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::lab {
namespace {

[[noreturn]] void fail(std::string what, int error, std::string suggestion = {}) {
  throw RunError({.what = std::move(what),
                  .why = std::strerror(error),
                  .suggestion = std::move(suggestion),
                  .file = {}});
}

UniqueFd open_network_of(const std::string& process) {
  const std::string path = "/proc/" + process + "/ns/net";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid())
    fail("cannot open " + path, errno);
  return fd;
}

void copy_name(ifreq& request, const std::string& name) {
  LOCKSTEP_EXPECT(name.size() < IFNAMSIZ, "an interface name that is too long");
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = ::read(fd, part.data(), part.size())) > 0;)
    text.append(part.data(), static_cast<std::size_t>(n));
  return text;
}

}  // namespace

InNetworkOf::InNetworkOf(pid_t process) : own_(open_network_of("thread-self")) {
  const UniqueFd other = open_network_of(std::to_string(process));
  if (::setns(other.get(), CLONE_NEWNET) != 0)
    fail("cannot enter a network namespace", errno);
}

InNetworkOf::~InNetworkOf() {
  const bool back = ::setns(own_.get(), CLONE_NEWNET) == 0;
  LOCKSTEP_EXPECT(back, "the way back into one's own network namespace");
}

void run_ip(pid_t process, const std::vector<std::string>& lines) {
  const InNetworkOf there(process);
  const std::string text = join(lines, "\n") + "\n";
  std::array<int, 2> input{};
  std::array<int, 2> output{};
  if (::pipe2(input.data(), O_CLOEXEC) != 0)
    fail("cannot make a pipe", errno);
  UniqueFd input_read(input[0]);
  UniqueFd input_write(input[1]);
  if (::pipe2(output.data(), O_CLOEXEC) != 0)
    fail("cannot make a pipe", errno);
  const UniqueFd output_read(output[0]);
  UniqueFd output_write(output[1]);
  // All of it fits, so that nothing waits for a reader that waits for us.
  if (::fcntl(input_write.get(), F_SETPIPE_SZ, std::max<int>(1 << 16, static_cast<int>(text.size()))) < 0 ||
      ::write(input_write.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    fail("cannot hand its commands to ip", errno);
  input_write.reset();

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input_read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output_write.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output_write.get(), STDERR_FILENO);
  std::array<std::string, 3> words{"ip", "-batch", "-"};
  const std::array<char*, 4> argv{words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, "ip", &actions, nullptr, argv.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    fail("cannot run ip", error, "install iproute2 (scripts/setup does)");
  output_write.reset();
  const std::string said = read_all(output_read.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw RunError({.what = "ip could not set up the lab's network",
                    .why = std::string(trim(said)),
                    .suggestion = {},
                    .file = {}});
}

UniqueFd open_tun(pid_t process, const std::string& name) {
  const InNetworkOf there(process);
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid())
    fail("cannot open /dev/net/tun", errno, "load the module tun, or give this user access to the device");
  ifreq request{};
  copy_name(request, name);
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0)
    fail("cannot make a TUN device", errno, "this needs CAP_NET_ADMIN in the network namespace");
  if (::ioctl(fd.get(), TUNSETOFFLOAD, static_cast<unsigned long>(TUN_F_CSUM | TUN_F_TSO4)) != 0)
    fail("cannot have TCP segmentation offload on a TUN device", errno);
  return fd;
}

void write_sysctl(pid_t process, const std::map<std::string, std::string>& settings) {
  if (settings.empty())
    return;
  const InNetworkOf there(process);
  for (const auto& [name, value] : settings) {
    std::string path = "/proc/sys/" + name;
    std::replace(path.begin() + 10, path.end(), '.', '/');
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid() || ::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
      fail(fmt::format("cannot set {} = {} in a host of the lab", name, value), errno,
           "not every setting exists in a network namespace; remove it from the specification");
  }
}

std::uint64_t packets_dropped(pid_t process) {
  // Two lines of headings, then a device each: its name and a colon, eight counters of what it received and
  // eight of what it sent (proc(5)).
  constexpr int kHeadings = 2;
  constexpr int kReceivedDrops = 3;
  constexpr int kSentDrops = 11;
  std::ifstream text(fmt::format("/proc/{}/net/dev", process));
  std::string line;
  for (int i = 0; i < kHeadings; ++i)
    std::getline(text, line);
  std::uint64_t dropped = 0;
  while (std::getline(text, line)) {
    const std::size_t name_end = line.find(':');
    LOCKSTEP_EXPECT(name_end != std::string::npos, "a device's name in /proc/net/dev");
    std::istringstream counters(line.substr(name_end + 1));
    std::uint64_t count = 0;
    for (int column = 0; counters >> count; ++column) {
      if (column == kReceivedDrops || column == kSentDrops)
        dropped += count;
    }
  }
  return dropped;
}

InterfaceSwitch::InterfaceSwitch(pid_t process) {
  const InNetworkOf there(process);
  socket_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_.valid())
    fail("cannot make a socket", errno);
}

void InterfaceSwitch::set_up(const std::string& interface, bool up) const {
  ifreq request{};
  copy_name(request, interface);
  if (::ioctl(socket_.get(), SIOCGIFFLAGS, &request) != 0)
    fail("cannot read the state of " + interface, errno);
  const auto flag = static_cast<short>(IFF_UP);
  request.ifr_flags = static_cast<short>(up ? request.ifr_flags | flag : request.ifr_flags & ~flag);
  if (::ioctl(socket_.get(), SIOCSIFFLAGS, &request) != 0)
    fail("cannot switch " + interface, errno);
}

}  // namespace lockstep::lab
