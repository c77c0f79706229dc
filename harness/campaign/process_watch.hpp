#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/record/process_state.hpp"
#include "harness/watch/launch_facts.hpp"

namespace lockstep::campaign {

/// Follows the processes of a launch by the files that their supervisors keep beside the journals
/// (record::ProcessState), and tells how each rank ended.
///
/// A launcher that ends its ranks lets stopped ones go on first, so how a process was before that has to be
/// remembered.
class ProcessWatch {
 public:
  explicit ProcessWatch(std::string folder) : folder_(std::move(folder)) {}

  void look(std::int64_t now_utc_ns);
  /// What went wrong with a process since the last call, one line each: `process 812 on b2: killed by
  /// SIGKILL`. After the first that died only those that are stopped: a launcher ends the others.
  [[nodiscard]] std::vector<std::string> take_news();
  /// When the first of those was seen that is not over; 0: none was. One that was stopped and goes on by
  /// itself, as in a drill, did not begin the end of the launch.
  [[nodiscard]] std::int64_t first_trouble_utc_ns() const { return first_trouble_utc_ns_; }
  /// By rank, after a last look(). Signals from `ended_by_us_utc_ns` on (0: none) came from the controller.
  [[nodiscard]] std::vector<watch::RankEnd> ends(std::span<const record::RankRow> ranks,
                                                 std::int64_t ended_by_us_utc_ns) const;
  /// The launcher has ended: from now on it counts who is still heard.
  void listen();
  /// Whether each host has been heard: a process of it has ended, or its supervisor gave a sign of life since
  /// listen(). Those that gave none before cannot be told, and are left out.
  [[nodiscard]] bool everybody_is_heard() const;
  /// Hosts that are not: they are gone, if nobody killed the supervisors. This machine is never one of them.
  [[nodiscard]] std::set<std::string> silent_hosts(std::span<const record::RankRow> ranks) const;

 private:
  struct Seen {
    record::ProcessState state;
    std::int64_t stopped_utc_ns = 0;  ///< last time that it was seen to stop; 0: never
    std::int64_t went_on_utc_ns = 0;  ///< after that
    std::uint32_t beats_seen = 0;     ///< signs of life
    bool is_heard = false;            ///< see listen()
  };
  using Key = std::pair<std::string, std::int64_t>;  ///< host and pid
  /// When the launch began to end, as far as processes tell that were never stopped; 0: they do not.
  [[nodiscard]] std::int64_t first_end_utc_ns(std::int64_t ended_by_us_utc_ns) const;
  [[nodiscard]] std::set<std::string> unheard() const;
  [[nodiscard]] const Seen* find(const record::RankRow& rank) const;

  std::string folder_;
  std::map<Key, Seen> seen_;
  std::vector<std::string> news_;
  std::int64_t first_trouble_utc_ns_ = 0;
  bool somebody_died_ = false;
  bool listens_ = false;
};

/// Hosts that an incident's culprit stands for; empty when it is unknown or lies between hosts.
[[nodiscard]] std::set<std::string> hosts_to_blame(const record::IncidentRow& incident,
                                                   std::span<const record::RankRow> ranks);

}  // namespace lockstep::campaign
