#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/units.hpp"
#include "harness/stats/quantile.hpp"

/// The declared site map against measured round trips. Shortest round trips are compared, since queues and
/// busy cores only add to them. Nobody is accused where near and far do not differ beyond this:
namespace lockstep::campaign {
namespace {

constexpr double kFactor = 2.0;
constexpr double kLeastDifferenceS = 60e-6;  // 6 km of fibre, there and back
constexpr double kNoises = 3.0;              // times what two measurements of a round trip differ by
/// Below this a pair of sites without inner pairs to compare with is one place: 5 km of fibre.
constexpr double kOnePlaceS = 50e-6;

/// The lower of the two middle ones, so that of a near and a far host the near one counts: a host with one
/// neighbour is somewhere.
double low_median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

bool has_trips(const PathReport* path) {
  return path != nullptr && path->trips && path->trips->exchanges > 0;
}

class PlaceMap {
 public:
  explicit PlaceMap(const DoctorInput& input, const SurveyView& view)
      : view_(view), sites_(input.plan.sites.size()), site_of_(input.survey.hosts.size()) {
    for (std::size_t i = 0; i < site_of_.size(); ++i)
      site_of_[i] = input.survey.hosts[i].site;
    // Both directions measure the same round trip: what they differ by is what a shortest one is worth.
    std::vector<double> differences_s;
    for (const PathReport& path : input.survey.paths) {
      const PathReport* back = path.from < path.to ? view.path(path.to, path.from) : nullptr;
      if (has_trips(&path) && has_trips(back))
        differences_s.push_back(std::abs(path.trips->min_s - back->trips->min_s));
    }
    if (!differences_s.empty())
      noise_s_ = stats::quantile(differences_s, 0.5);
  }

  [[nodiscard]] SiteId site_of(std::uint32_t host) const { return site_of_[host]; }
  void move(std::uint32_t host, SiteId to) { site_of_[host] = to; }

  [[nodiscard]] bool differ(double near_s, double far_s) const {
    return far_s > kFactor * near_s && far_s - near_s > std::max(kLeastDifferenceS, kNoises * noise_s_);
  }

  /// Typical round trip between a host and the other hosts of a site; nullopt when there is none.
  [[nodiscard]] std::optional<double> distance_s(std::uint32_t host, SiteId site) const {
    std::vector<double> times_s;
    for (const std::uint32_t other : view_.hosts()) {
      if (other == host || !(site_of_[other] == site))
        continue;
      if (const auto time_s = view_.round_trip_s(host, other))
        times_s.push_back(*time_s);
    }
    if (times_s.empty())
      return std::nullopt;
    return low_median(std::move(times_s));
  }

  struct Contradiction {
    std::uint32_t host = 0;
    SiteId nearest;
    double own_s = 0.0;
    double nearest_s = 0.0;
  };
  /// The host whose round trips contradict its place most, if any do.
  [[nodiscard]] std::optional<Contradiction> worst() const {
    std::optional<Contradiction> worst;
    for (const std::uint32_t host : view_.hosts()) {
      const auto own_s = distance_s(host, site_of_[host]);
      if (!own_s)
        continue;
      for (std::uint32_t i = 0; i < sites_; ++i) {
        const SiteId site(i);
        if (site == site_of_[host])
          continue;
        const auto there_s = distance_s(host, site);
        if (!there_s || !differ(*there_s, *own_s))
          continue;
        if (!worst || *own_s / *there_s > worst->own_s / worst->nearest_s)
          worst = Contradiction{host, site, *own_s, *there_s};
      }
    }
    return worst;
  }

  /// Round trips of pairs inside both sites, and between them.
  [[nodiscard]] std::vector<double> times_s(SiteId a, SiteId b) const {
    std::vector<double> times;
    for (const std::uint32_t i : view_.hosts()) {
      for (const std::uint32_t j : view_.hosts()) {
        if (j <= i)
          continue;
        const bool between = (site_of_[i] == a && site_of_[j] == b) || (site_of_[i] == b && site_of_[j] == a);
        const auto time_s = between ? view_.round_trip_s(i, j) : std::nullopt;
        if (time_s)
          times.push_back(*time_s);
      }
    }
    return times;
  }

 private:
  const SurveyView& view_;
  std::size_t sites_;
  std::vector<SiteId> site_of_;
  double noise_s_ = 0.0;
};

void find_misplaced(PlaceMap& map, const SurveyView& view, std::vector<Finding>& found) {
  // One at a time, the clearest first: once it is where it belongs, it no longer confuses the others' case.
  for (std::size_t i = 0; i < view.hosts().size(); ++i) {
    const auto worst = map.worst();
    if (!worst)
      return;
    const std::string& declared = view.site(map.site_of(worst->host));
    const std::string& seems = view.site(worst->nearest);
    const std::string& host = view.host(worst->host);
    found.push_back(
        {.severity = Severity::error,
         .kind = "misplaced-host",
         .hosts = {host},
         .sites = {declared, seems},
         .what = fmt::format(
             "{} is declared in site {} and seems to sit in site {}: {} to the hosts of {}, {} to those of "
             "{} (shortest TCP round trips, median over hosts)",
             host, declared, seems, format_seconds(worst->own_s), declared, format_seconds(worst->nearest_s),
             seems),
         .why = "the baselines would cross the wide-area link and eta would compare the wrong things",
         .advice = fmt::format("move {} to site {} in the plan, or see why its traffic takes a detour", host,
                               seems)});
    map.move(worst->host, worst->nearest);
  }
}

void find_one_place(const DoctorInput& input, const PlaceMap& map, const SurveyView& view,
                    std::vector<Finding>& found) {
  for (std::uint32_t a = 0; a < input.plan.sites.size(); ++a) {
    for (std::uint32_t b = a + 1; b < input.plan.sites.size(); ++b) {
      const std::vector<double> between_s = map.times_s(SiteId(a), SiteId(b));
      if (between_s.empty())
        continue;
      std::vector<double> inside_s = map.times_s(SiteId(a), SiteId(a));
      const std::vector<double> inside_b_s = map.times_s(SiteId(b), SiteId(b));
      inside_s.insert(inside_s.end(), inside_b_s.begin(), inside_b_s.end());
      const double between = low_median(between_s);
      const bool apart = inside_s.empty() ? between > kOnePlaceS : map.differ(low_median(inside_s), between);
      if (apart)
        continue;
      found.push_back(
          {.severity = Severity::warning,
           .kind = "one-place",
           .hosts = {},
           .sites = {view.site(SiteId(a)), view.site(SiteId(b))},
           .what = inside_s.empty()
                       ? fmt::format("sites {} and {} are {} apart (shortest TCP round trip)",
                                     view.site(SiteId(a)), view.site(SiteId(b)), format_seconds(between))
                       : fmt::format(
                             "sites {} and {} seem to be one place: {} between them, {} inside (shortest TCP "
                             "round trips, median over pairs)",
                             view.site(SiteId(a)), view.site(SiteId(b)), format_seconds(between),
                             format_seconds(low_median(inside_s))),
           .why = "a certificate of a wide-area link needs one between the sites",
           .advice = "check the site map, unless the sites are neighbours"});
    }
  }
}

}  // namespace

std::vector<Finding> place_findings(const DoctorInput& input) {
  const SurveyView view(input.plan, input.survey);
  PlaceMap map(input, view);
  std::vector<Finding> found;
  find_misplaced(map, view, found);
  find_one_place(input, map, view, found);
  return found;
}

}  // namespace lockstep::campaign
