#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/campaign/survey_data.hpp"
#include "harness/plan/plan.hpp"

/// Looking things up in a survey: shared by the rules of the preflight and its tables. Internal to what
/// judges or prints a survey.
namespace lockstep::campaign {

class SurveyView {
 public:
  SurveyView(const plan::Plan& plan, const Survey& survey);

  [[nodiscard]] const std::vector<std::uint32_t>& hosts() const { return hosts_; }  ///< distinct_hosts()
  [[nodiscard]] const std::string& host(std::uint32_t index) const;
  [[nodiscard]] const std::string& site(SiteId id) const;
  [[nodiscard]] SiteId site_of(std::uint32_t host) const;
  [[nodiscard]] const HostFacts& facts(std::uint32_t host) const;  ///< of one of hosts()
  /// nullptr when there is no report.
  [[nodiscard]] const PathReport* path(std::uint32_t from, std::uint32_t to) const;
  /// Shortest round trip of a pair, of both directions; nullopt when neither was measured.
  [[nodiscard]] std::optional<double> round_trip_s(std::uint32_t a, std::uint32_t b) const;
  /// Hosts of a site, of hosts().
  [[nodiscard]] std::vector<std::uint32_t> hosts_of(SiteId id) const;
  /// Names of hosts, in order.
  [[nodiscard]] std::vector<std::string> names(const std::vector<std::uint32_t>& hosts) const;

 private:
  const plan::Plan& plan_;
  const Survey& survey_;
  std::vector<std::uint32_t> hosts_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, const PathReport*> paths_;
};

/// One direction between two sites, all host pairs together.
struct SiteDirection {
  SiteId from;
  SiteId to;
  std::uint32_t pairs = 0;      ///< with a report
  std::uint32_t reachable = 0;  ///< of them
  std::optional<double> min_s;  ///< shortest round trip of any pair, measured from either end
  std::optional<double> p50_s;  ///< median over pairs of their medians
  std::optional<double> p99_s;  ///< the worst pair's; of pairs with 100 exchanges
  std::uint32_t sent = 0;       ///< datagrams, of pairs where any arrived
  std::uint32_t received = 0;
  std::optional<std::uint32_t> path_mtu;         ///< the smallest
  std::optional<double> one_stream_bytes_per_s;  ///< of the pair that stands for the sites
  std::optional<double> streams_bytes_per_s;     ///< of several streams together
  std::uint32_t streams = 0;
};
/// Ordered by site pair, one direction after the other. Inside a site: from and to are equal.
[[nodiscard]] std::vector<SiteDirection> site_directions(const SurveyView& view, const Survey& survey);

/// `a1, a2 and 3 more`.
[[nodiscard]] std::string some_of(const std::vector<std::string>& names, std::size_t most = 6);

}  // namespace lockstep::campaign
