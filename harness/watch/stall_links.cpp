#include "harness/watch/stall_links.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/core/units.hpp"
#include "harness/stats/stall.hpp"
#include "harness/watch/names.hpp"

namespace lockstep::watch {
namespace {

/// A link suffered when it lost so many more of its packets than usual,
constexpr double kMoreLost = 0.2;
/// or when a round trip took longer than usual by this share of the step's extra time.
constexpr double kLongerShare = 0.25;

struct Link {
  std::uint32_t sent = 0;
  std::uint32_t lost = 0;
  double longest_ns = 0.0;
  std::uint32_t sent_else = 0;
  std::uint32_t lost_else = 0;
  std::vector<double> longest_else;
  [[nodiscard]] double lost_share() const { return sent == 0 ? 0.0 : static_cast<double>(lost) / sent; }
  [[nodiscard]] double usual_lost_share() const {
    return sent_else == 0 ? 0.0 : static_cast<double>(lost_else) / sent_else;
  }
};

using Pair = std::pair<std::string, std::string>;

/// `site X` when the pairs are all those of X among at least three sites.
std::string common_site(const std::set<Pair>& suffered, const std::set<Pair>& all) {
  if (suffered.size() < 2)
    return {};
  for (const std::string& site : {suffered.begin()->first, suffered.begin()->second}) {
    const auto has = [&site](const Pair& pair) { return pair.first == site || pair.second == site; };
    const auto of_site = std::count_if(all.begin(), all.end(), has);
    if (std::all_of(suffered.begin(), suffered.end(), has) &&
        static_cast<std::size_t>(of_site) == suffered.size() && suffered.size() < all.size())
      return "site " + site;
  }
  return {};
}

}  // namespace

LinkSuspicion suspect_links(const LaunchView& view, std::uint32_t step, double extra_ns) {
  LinkSuspicion suspicion;
  const auto rows = view.steps_of(step);
  std::map<Pair, Link> links;
  for (const record::ProbeRow* probe : view.probes) {
    const std::string& from = view.site_of(probe->rank);
    const std::string& to = view.site_of(probe->peer);
    if (from.empty() || to.empty() || from == to)
      continue;
    Link& link = links[std::minmax(from, to)];
    const auto own = std::find_if(rows.begin(), rows.end(),
                                  [probe](const record::StepRow* row) { return row->rank == probe->rank; });
    const bool inside =
        own != rows.end() && probe->end_ns > (*own)->begin_ns && probe->begin_ns < (*own)->end_ns;
    if (inside) {
      link.sent += probe->sent;
      link.lost += probe->lost;
      link.longest_ns = std::max(link.longest_ns, static_cast<double>(probe->rtt_max_ns));
    } else {
      link.sent_else += probe->sent;
      link.lost_else += probe->lost;
      if (probe->rtt_max_ns > 0)
        link.longest_else.push_back(static_cast<double>(probe->rtt_max_ns));
    }
  }
  std::set<Pair> all;
  std::set<Pair> suffered;
  double worst = 0.0;
  for (const auto& [pair, link] : links) {
    all.insert(pair);
    if (link.sent == 0)
      continue;
    suspicion.asked = true;
    const double usual_ns = stats::median(link.longest_else);
    const bool slow = link.longest_ns > 0.0 && link.longest_ns - usual_ns >= kLongerShare * extra_ns &&
                      link.longest_ns > 1.5 * usual_ns && !link.longest_else.empty();
    const bool lossy = link.lost_share() - link.usual_lost_share() >= kMoreLost;
    if (!slow && !lossy)
      continue;
    suffered.insert(pair);
    const double badness = link.lost_share() + (slow ? (link.longest_ns - usual_ns) / extra_ns : 0.0);
    if (badness <= worst)
      continue;
    worst = badness;
    suspicion.why = fmt::format("probes {} - {} in that time: {} of {} lost", pair.first, pair.second,
                                link.lost, link.sent);
    if (slow)
      suspicion.why +=
          fmt::format(", longest round trip {} (usual {})", format_seconds(link.longest_ns / kNsPerS),
                      format_seconds(usual_ns / kNsPerS));
  }
  suspicion.links = suffered.size();
  if (suffered.size() == 1)
    suspicion.culprit = between({suffered.begin()->first, suffered.begin()->second});
  else
    suspicion.culprit = common_site(suffered, all);
  return suspicion;
}

}  // namespace lockstep::watch
