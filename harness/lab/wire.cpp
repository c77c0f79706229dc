#include "harness/lab/wire.hpp"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/lab/lab_folder.hpp"

namespace lockstep::lab {
namespace {

constexpr std::uint32_t kLongestMessage = 64U << 20;
constexpr std::size_t kMostFds = 8;

[[noreturn]] void fail(const char* what, const char* why) {
  throw RunError({.what = what, .why = why, .suggestion = {}, .file = {}});
}

void write_all(int socket, const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = ::send(socket, data, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      fail("the lab cannot be spoken to", std::strerror(errno));
    data += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

/// Returns false when the other side closed before the first byte.
bool read_all(int socket, char* data, std::size_t bytes) {
  std::size_t got = 0;
  while (got < bytes) {
    const ssize_t n = ::recv(socket, data + got, bytes - got, 0);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      fail("the lab cannot be heard", std::strerror(errno));
    if (n == 0 && got == 0)
      return false;
    if (n == 0)
      fail("the lab cannot be heard", "it stopped in the middle of a message");
    got += static_cast<std::size_t>(n);
  }
  return true;
}

UniqueFd connect_to(const std::string& lab) {
  const LabFolder folder(lab);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder.socket();
  if (fd.valid() && path.size() < sizeof address.sun_path) {
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return fd;
  }
  const auto live = live_labs();
  throw InputError(
      {.what = fmt::format("no lab \"{}\" is up", lab),
       .why = folder.exists() ? "its process has died" : "",
       .suggestion = live.empty() ? "start it: lockstep lab up SPEC" : "there are " + join(live, ", "),
       .file = {}});
}

}  // namespace

void send_message(int socket, const nlohmann::ordered_json& json, const std::vector<int>& fds) {
  LOCKSTEP_EXPECT(fds.size() <= kMostFds, "too many descriptors for one message");
  // Binary, since arguments and environments are bytes and need not be UTF-8.
  const std::vector<std::uint8_t> text = nlohmann::ordered_json::to_cbor(json);
  auto length = static_cast<std::uint32_t>(text.size());
  // The descriptors travel with the length.
  iovec part{&length, sizeof length};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostFds)> control{};
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  }
  if (::sendmsg(socket, &header, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof length))
    fail("the lab cannot be spoken to", std::strerror(errno));
  write_all(socket, reinterpret_cast<const char*>(text.data()), text.size());
}

std::optional<Message> receive_message(int socket) {
  Message message;
  std::uint32_t length = 0;
  iovec part{&length, sizeof length};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostFds)> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_WAITALL);
  } while (n < 0 && errno == EINTR);
  for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
    if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
      continue;
    const std::size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof fd);
      message.fds.emplace_back(fd);
    }
  }
  if (n == 0)
    return std::nullopt;
  if (n != static_cast<ssize_t>(sizeof length) || length > kLongestMessage)
    fail("the lab cannot be heard", n < 0 ? std::strerror(errno) : "that is no message of its protocol");
  std::string text(length, '\0');
  if (!read_all(socket, text.data(), text.size()))
    return std::nullopt;
  message.json = nlohmann::ordered_json::from_cbor(text, true, false);
  if (message.json.is_discarded())
    fail("the lab cannot be heard", "that is no message of its protocol");
  return message;
}

void throw_if_problem(const nlohmann::ordered_json& answer) {
  const auto problem = answer.find("problem");
  if (problem == answer.end())
    return;
  Problem told{.what = problem->value("what", ""),
               .why = problem->value("why", ""),
               .suggestion = problem->value("suggestion", ""),
               .file = {}};
  if (problem->value("bad_input", false))
    throw InputError(std::move(told));
  throw RunError(std::move(told));
}

Conversation converse(const std::string& lab, const nlohmann::ordered_json& request,
                      const std::vector<int>& fds) {
  Conversation conversation{connect_to(lab), {}};
  send_message(conversation.socket.get(), request, fds);
  auto answer = receive_message(conversation.socket.get());
  if (!answer)
    fail("the lab did not answer", "its process has died");
  throw_if_problem(answer->json);
  conversation.answer = std::move(answer->json);
  return conversation;
}

nlohmann::ordered_json ask(const std::string& lab, const nlohmann::ordered_json& request) {
  return converse(lab, request, {}).answer;
}

}  // namespace lockstep::lab
