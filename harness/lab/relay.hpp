#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "harness/core/posix.hpp"
#include "harness/lab/link_model.hpp"

namespace lockstep::lab {

/// One direction between two sites, by index.
struct Direction {
  std::size_t from = 0;
  std::size_t to = 0;
};

/// What happened to packets beside the links.
struct RelayCounters {
  std::uint64_t unroutable = 0;  ///< to an address of no site, or no IPv4
  std::uint64_t refused = 0;     ///< the receiving kernel did not take it
  std::uint64_t late = 0;        ///< delivered more than a millisecond after they were due
  std::int64_t worst_late_ns = 0;
};

/// The site of an address, by index, as the lab assigns them: 10.(index + 1).0.0/16. `sites` when it is
/// none's.
[[nodiscard]] std::size_t site_of_address(std::uint32_t address, std::size_t sites);

/// The wide-area network: a thread that takes packets from each site's TUN device and puts them into
/// another's when its LinkModel says so. Everything but the thread's own work is thread-safe.
///
/// A packet that stands for many segments is taken apart where the link's model treats its segments
/// differently, or spreads them over more than 100 us; so loss acts on packets as they are on the wire, and a
/// slow link does not deliver 64 KiB at one instant.
class Relay {
 public:
  /// `tuns`: one open, nonblocking TUN device per site, with virtio headers. `links`: settings by
  /// [from][to]. `seed`: of all that is drawn; each direction draws numbers of its own.
  Relay(std::vector<UniqueFd> tuns, const std::vector<std::vector<LinkSettings>>& links, std::uint64_t seed);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  void change(Direction direction, const LinkSettings& settings);
  /// Down until `until_ns` of monotonic_ns().
  void cut(Direction direction, std::int64_t until_ns);
  [[nodiscard]] LinkSettings settings(Direction direction) const;
  [[nodiscard]] LinkCounters counters(Direction direction) const;
  [[nodiscard]] bool is_down(Direction direction) const;
  [[nodiscard]] RelayCounters own_counters() const;
  /// How the kernel schedules the thread: "fifo", "nice -15" or "normal", the best that was permitted.
  [[nodiscard]] std::string scheduling() const;

 private:
  struct Pending {
    std::int64_t due_ns = 0;
    std::uint64_t number = 0;  ///< keeps the order of packets that are due together
    std::size_t site = 0;
    std::vector<std::byte> frame;
  };
  struct Piece {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::int64_t due_ns = 0;
    std::int64_t begin_ns = 0;  ///< when its first segment is due
  };
  struct Spoilt {
    std::uint32_t segment = 0;
    std::uint32_t bit = 0;
    std::int64_t due_ns = 0;
  };

  void run();
  void raise_priority();
  void take_from(std::size_t site);
  void accept(std::size_t site, std::span<const std::byte> frame, std::int64_t now_ns);
  void deliver_due(std::int64_t now_ns);
  void put(std::size_t site, std::span<const std::byte> frame);
  void keep(std::int64_t due_ns, std::size_t site, std::vector<std::byte> frame);
  [[nodiscard]] LinkModel& link(Direction direction) const;

  std::vector<UniqueFd> tuns_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::vector<std::unique_ptr<LinkModel>> links_;  ///< by from * sites + to
  std::vector<Pending> pending_;                   ///< a heap, earliest first
  std::uint64_t next_number_ = 0;
  std::vector<std::byte> buffer_;
  std::vector<Piece> pieces_;
  std::vector<Spoilt> spoilt_;
  mutable std::mutex mutex_;  ///< guards links_' contents, counters_ and scheduling_
  RelayCounters counters_;
  std::string scheduling_ = "normal";
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace lockstep::lab
