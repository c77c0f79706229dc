#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "harness/core/posix.hpp"
#include "harness/record/evidence.hpp"
#include "harness/watch/probe_frame.hpp"
#include "harness/watch/sockets.hpp"

namespace lockstep::watch {

/// A rank that is probed.
struct ProbePeer {
  std::uint32_t rank = 0;
  std::vector<std::string> addresses;  ///< numeric; the first that answers is used
  std::uint16_t port = 0;
};

/// How long a packet and its answer took.
struct ProbeTimes {
  std::int64_t round_trip_ns = 0;
  std::int64_t out_ns = 0;   ///< to the peer, from one clock to the other: how the two differ is in it
  std::int64_t back_ns = 0;  ///< and from it
};

/// Counts packets of one peer into rows: one a second, given out when each packet of it was answered or is
/// lost. Pure: the time is an argument (ns, monotonic).
class ProbeLedger {
 public:
  static constexpr std::int64_t kWindowNs = 1'000'000'000;
  static constexpr std::int64_t kLostAfterNs = 1'000'000'000;

  /// A packet goes out. Returns its number.
  std::uint64_t send(std::int64_t now_ns);
  /// It was answered. False when it is not awaited (any more).
  bool answer(std::uint64_t number, const ProbeTimes& times);
  /// A packet of the peer's own came in.
  void hear(std::int64_t now_ns);
  /// Rows that can still change no more. leg, rank and peer are left to the caller.
  [[nodiscard]] std::vector<record::ProbeRow> settle(std::int64_t now_ns);
  /// All others as they are: what is still awaited is left out of them.
  [[nodiscard]] std::vector<record::ProbeRow> close(std::int64_t now_ns);

 private:
  struct Window {
    record::ProbeRow row;
    std::int64_t sum_ns = 0;
    std::uint32_t answered = 0;
    std::uint32_t awaited = 0;
  };
  struct Packet {
    std::uint64_t number = 0;
    std::int64_t sent_ns = 0;
    std::int64_t window_ns = 0;
  };
  [[nodiscard]] Window& window_at(std::int64_t begin_ns);
  static record::ProbeRow finished(const Window& window);

  std::deque<Window> windows_;  // the last is the present one
  std::deque<Packet> awaited_;  // in order of sending
  std::uint64_t next_ = 1;
  std::uint32_t heard_between_ = 0;  // after one row's second and before the next
};

/// Sends small packets to peers and answers theirs, on a thread of its own that sleeps in between. The round
/// trip counts from the system call that sends to the kernel's stamp of the answer, without the time that the
/// peer took to answer: it is the network's, also where threads wait for a core.
class SiteProbes {
 public:
  struct Options {
    std::uint32_t self = 0;   ///< rank
    std::uint64_t token = 0;  ///< the same for all ranks of the launch: strangers are not answered
    double per_second = 4.0;  ///< to each peer
  };
  /// `add` is called on the thread, with rank and peer set.
  SiteProbes(BoundSocket socket, const Options& options, std::vector<ProbePeer> peers,
             std::function<void(const record::ProbeRow&)> add);
  /// Gives out what it has.
  ~SiteProbes();
  SiteProbes(const SiteProbes&) = delete;
  SiteProbes& operator=(const SiteProbes&) = delete;

 private:
  struct Peer {
    std::uint32_t rank = 0;
    std::vector<SocketAddress> addresses;
    std::size_t next_address = 0;
    bool settled = false;  ///< that address has answered
    std::int64_t due_ns = 0;
    ProbeLedger ledger;
    std::array<std::int64_t, 1024> sent_utc_ns{};  ///< by number
  };

  void run();
  void send_due(std::int64_t now_ns);
  void send(Peer& peer, std::int64_t now_ns);
  void receive_all();
  [[nodiscard]] Peer* find(std::uint32_t rank);
  void handle(const Frame& frame, const SocketAddress& from, std::int64_t arrived_utc_ns);
  void give_out(std::uint32_t peer, const std::vector<record::ProbeRow>& rows) const;

  BoundSocket socket_;
  Options options_;
  std::vector<Peer> peers_;
  std::function<void(const record::ProbeRow&)> add_;
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace lockstep::watch
