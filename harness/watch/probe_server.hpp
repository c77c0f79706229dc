#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "harness/watch/probe_frame.hpp"
#include "harness/watch/sockets.hpp"

namespace lockstep::watch {

/// The answering half of the measurements between hosts: a TCP and a UDP port that reply to probes which know
/// the token, on threads of their own, until the object dies.
class ProbeServer {
 public:
  /// `place`: what this one is called in hello. Throws RunError when no port can be opened.
  ProbeServer(std::uint64_t token, std::uint64_t place);
  ProbeServer(const ProbeServer&) = delete;
  ProbeServer& operator=(const ProbeServer&) = delete;
  /// Ends connections that are still open; takes up to a tenth of a second.
  ~ProbeServer();

  [[nodiscard]] std::uint16_t tcp_port() const { return tcp_.port; }
  [[nodiscard]] std::uint16_t udp_port() const { return udp_.port; }

 private:
  struct Connection {
    UniqueFd fd;
    std::atomic<bool> ended{false};
    std::thread thread;
  };
  void accept_connections();
  void forget_ended_connections();
  void answer(Connection& connection);
  /// False when the connection is over.
  [[nodiscard]] bool answer_one(int fd);
  [[nodiscard]] bool sink_stream(int fd, std::int64_t ramp_ns);
  void answer_datagrams();
  [[nodiscard]] std::int64_t count_of(std::uint64_t train);

  std::uint64_t token_;
  std::uint64_t place_;
  BoundSocket tcp_;
  BoundSocket udp_;
  std::atomic<bool> stop_{false};
  std::mutex trains_mutex_;
  std::map<std::uint64_t, std::set<std::int64_t>> trains_;  // datagrams that came in, by train
  std::list<Connection> connections_;                       // touched by the accepting thread only
  std::thread accepting_;
  std::thread answering_;
};

}  // namespace lockstep::watch
