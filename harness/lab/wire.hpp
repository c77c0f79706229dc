#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/core/posix.hpp"

/// How the lab's process and its clients talk: over a Unix socket, one request and one answer a connection,
/// each a JSON document as CBOR (RFC 8949) after its length. A request to run a program brings the client's
/// standard streams along; after its answer the client sends signal numbers as bytes and gets one RemoteEnd.
namespace lockstep::lab {

struct Message {
  nlohmann::ordered_json json;
  std::vector<UniqueFd> fds;
};

/// How a program on a host ended.
struct RemoteEnd {
  bool by_signal = false;
  int value = 0;  ///< exit code or signal
};

/// Throws RunError when the other side is gone.
void send_message(int socket, const nlohmann::ordered_json& json, const std::vector<int>& fds = {});
/// nullopt when the other side closed instead of speaking. Throws RunError for anything that is no message.
[[nodiscard]] std::optional<Message> receive_message(int socket);

/// Throws the Problem that an answer tells of, as InputError or RunError; returns when it tells of none.
void throw_if_problem(const nlohmann::ordered_json& answer);

/// Sends one request to a lab and returns the answer. Throws InputError when there is no such lab, and
/// whatever Problem the lab answered with, as InputError or RunError.
[[nodiscard]] nlohmann::ordered_json ask(const std::string& lab, const nlohmann::ordered_json& request);
/// The same, and the connection stays open.
struct Conversation {
  UniqueFd socket;
  nlohmann::ordered_json answer;
};
[[nodiscard]] Conversation converse(const std::string& lab, const nlohmann::ordered_json& request,
                                    const std::vector<int>& fds);

}  // namespace lockstep::lab
