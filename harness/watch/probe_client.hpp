#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/posix.hpp"
#include "harness/watch/sockets.hpp"

/// The asking half of the measurements between hosts, against a ProbeServer. Plain sockets: it works where an
/// MPI job cannot even be wired up. Every measurement ends by its own deadline, and what it could not find
/// out is missing in its result; nothing here throws for what the network does.
namespace lockstep::watch {

/// A probe server as others know it.
struct Peer {
  std::uint64_t token = 0;
  std::uint64_t place = 0;             ///< who has to answer
  std::vector<std::string> addresses;  ///< numeric, the preferred one first
  std::uint16_t tcp_port = 0;
  std::uint16_t udp_port = 0;
};

/// One address that was tried over TCP.
struct Attempt {
  std::string address;
  std::string error;  ///< empty: the right peer answered here
};

/// Time there and back of small TCP messages, one at a time (TCP_NODELAY), and the peer's clock by them.
struct RoundTrips {
  std::uint32_t exchanges = 0;
  double min_s = 0.0;
  double p50_s = 0.0;
  std::optional<double> p99_s;  ///< from 100 exchanges on
  double clock_offset_s = 0.0;  ///< the peer's CLOCK_REALTIME minus ours, from the shortest exchange
  double clock_bound_s = 0.0;   ///< the offset is right within this: half of that exchange's time
  std::string error;            ///< empty: all exchanges were made
};

/// Datagrams sent one way, evenly spaced, and how many arrived.
struct DatagramTrain {
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  std::string error;  ///< not empty: nothing is known of what arrived
};

/// The largest IP packet that goes through one way without being taken apart.
struct PathMtu {
  std::string interface;            ///< of this host, that the packets leave by
  std::uint32_t interface_mtu = 0;  ///< bytes
  std::uint32_t path_mtu = 0;       ///< bytes; 0: not even the smallest size that was tried was answered
};

/// What streams of TCP brought to the other side together.
struct StreamRate {
  std::uint32_t streams = 0;
  double bytes_per_s = 0.0;  ///< as the receiver counted, after the first 30 % of the time
  double seconds = 0.0;      ///< that counted
  std::uint64_t retransmits = 0;
  std::string error;  ///< not empty: the rate is not known
};

struct LatencyRequest {
  std::uint32_t exchanges = 100;
  std::uint32_t least = 20;  ///< made even when they take longer than `enough_s`
  double enough_s = 1.0;     ///< no more exchanges after this time
  double deadline_s = 10.0;
};

/// A connection to one peer that has said who it is.
class ProbeClient {
 public:
  /// Over a connection to `address` on which the peer has said who it is: see open_probe().
  ProbeClient(const Peer& peer, std::string address, UniqueFd fd);

  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] RoundTrips round_trips(const LatencyRequest& request);
  /// One datagram each `interval_s`; `train` tells it from others to the same peer.
  [[nodiscard]] DatagramTrain send_train(std::uint64_t train, std::uint32_t datagrams, double interval_s);
  /// `round_trip_s` is how long an answer takes, to know when one is lost.
  [[nodiscard]] PathMtu path_mtu(double round_trip_s);
  /// Opens `streams` connections of its own and sends for `seconds`.
  [[nodiscard]] StreamRate send_streams(std::uint32_t streams, double seconds);

 private:
  std::uint64_t token_;
  std::uint64_t place_;
  std::uint16_t tcp_port_;
  std::uint16_t udp_port_;
  std::string address_;
  UniqueFd fd_;
};

struct OpenedProbe {
  std::optional<ProbeClient> client;  ///< on the first address in order that worked
  std::vector<Attempt> attempts;      ///< of every address
};
/// Tries all addresses of the peer at the same time. Once one works, the others have one second more.
[[nodiscard]] OpenedProbe open_probe(const Peer& peer, double deadline_s);

}  // namespace lockstep::watch
