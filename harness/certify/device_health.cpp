#include "harness/certify/device_health.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/certify/launches.hpp"
#include "harness/core/units.hpp"
#include "harness/stats/stall.hpp"
#include "harness/stats/trend.hpp"
#include "harness/watch/launch_view.hpp"
#include "harness/watch/throttle_bits.hpp"
#include "harness/watch/throttles.hpp"

namespace lockstep::certify {
namespace {

constexpr std::size_t kMostDrifts = 10;
constexpr std::size_t kMostThrottled = 16;
constexpr std::size_t kMostTold = 4;
constexpr std::size_t kMostRuns = 16;
/// A device takes tens of seconds to warm up: what shorter launches show is noise.
constexpr double kLeastDriftS = 20.0;
/// A rank stands out when it computes for so much longer than the median rank over all launches,
constexpr double kStandsOut = 1.05;
/// and for so much longer in each of them.
constexpr double kInEachLaunch = 1.03;
constexpr std::uint32_t kLeastRanks = 3;

/// Where a rank of a launch is; device and serial as its watcher recorded them.
RankPlace place_of(const watch::LaunchView& view, std::uint32_t rank) {
  RankPlace place{
      .rank = rank, .site = view.site_of(rank), .host = view.host_of(rank), .device = {}, .serial = {}};
  if (const record::DeviceRow* device = view.device_of(rank)) {
    place.device = device->name;
    place.serial = device->kind == "gpu" ? device->serial : std::string{};
  }
  return place;
}

/// Steady steps of one rank in one launch: what drift and slowness are computed from.
struct RankSteps {
  std::vector<stats::Point> compute;     ///< begin on the rank's clock in s, time in s
  std::vector<std::uint32_t> throttled;  ///< steps
  std::int64_t bits = 0;
};

struct LaunchFigures {
  const Launch* launch = nullptr;
  std::vector<RankPlace> places;  ///< by rank
  std::vector<RankSteps> ranks;
  std::vector<double> hottest_c;  ///< by rank
  std::size_t steps = 0;
  std::size_t throttled = 0;
  std::size_t watched = 0;
};

LaunchFigures figure_launch(const watch::LaunchView& view, const Launch& launch) {
  LaunchFigures figures;
  figures.launch = &launch;
  const std::uint32_t ranks = launch.leg->ranks;
  figures.ranks.resize(ranks);
  figures.hottest_c.assign(ranks, -1.0);
  const watch::Throttles throttles(view);
  figures.watched = view.devices.size();
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    figures.places.push_back(place_of(view, rank));
    const record::DeviceRow* device = throttles.empty() ? nullptr : view.device_of(rank);
    if (device == nullptr)
      continue;
    for (const record::HealthRow* row : view.health_of(*device))
      figures.hottest_c[rank] = std::max(figures.hottest_c[rank], row->temperature_c);
  }
  for (const JudgedStep& step : launch.steps) {
    if (!step.steady)
      continue;
    bool any = false;
    for (const record::StepRow* row : step.rows) {
      RankSteps& own = figures.ranks[row->rank];
      if (row->compute_ns > 0)
        own.compute.push_back(
            {seconds_from_ns(row->begin_ns - launch.steps.front().rows[row->rank]->begin_ns),
             seconds_from_ns(row->compute_ns)});
      const std::int64_t bits = throttles.empty() ? 0 : throttles.bits(*row);
      if (bits != 0)
        own.throttled.push_back(row->step);
      own.bits |= bits;
      any = any || bits != 0;
    }
    ++figures.steps;
    figures.throttled += any ? 1 : 0;
  }
  return figures;
}

double loss_between(const stats::Trend& trend, double slope) {
  const double first_s = trend.value(trend.begin, slope);
  const double last_s = trend.value(trend.end, slope);
  // A line that falls to nothing within the launch is no estimate of a rate: it counts as all that can be.
  if (first_s <= 0.0)
    return 1.0;
  return last_s <= 0.0 ? -1.0 : 1.0 - first_s / last_s;
}

void add_drifts(DeviceHealth& health, const std::vector<LaunchFigures>& all, double confidence) {
  const auto lasts = [](const RankSteps& own) {
    return own.compute.size() >= stats::kLeastPointsForTrend &&
           own.compute.back().at - own.compute.front().at >= kLeastDriftS;
  };
  for (const LaunchFigures& figures : all)
    health.drift_series +=
        static_cast<std::size_t>(std::count_if(figures.ranks.begin(), figures.ranks.end(), lasts));
  if (health.drift_series == 0)
    return;
  // The worst of many is looked for: each interval has to hold all the more surely (Bonferroni).
  const double each = 1.0 - (1.0 - confidence) / static_cast<double>(health.drift_series);
  for (const LaunchFigures& figures : all) {
    for (std::size_t rank = 0; rank < figures.ranks.size(); ++rank) {
      const RankSteps& own = figures.ranks[rank];
      const auto trend = lasts(own) ? stats::robust_trend(own.compute, each) : std::nullopt;
      if (!trend)
        continue;
      const record::LegRow& leg = *figures.launch->leg;
      health.drifts.push_back({.leg = leg.name,
                               .round = leg.round,
                               .attempt = leg.attempt,
                               .place = figures.places[rank],
                               .loss = loss_between(*trend, trend->slope),
                               .interval = {loss_between(*trend, trend->slope_interval.low),
                                            loss_between(*trend, trend->slope_interval.high)},
                               .steps = own.compute.size(),
                               .throttled_steps = own.throttled.size()});
    }
  }
  std::stable_sort(health.drifts.begin(), health.drifts.end(),
                   [](const RateDrift& a, const RateDrift& b) { return a.interval.low > b.interval.low; });
  if (health.drifts.size() > kMostDrifts)
    health.drifts.resize(kMostDrifts);
}

/// Adds the steps of one launch, as runs of consecutive ones.
void mark(std::string& marked, const record::LegRow& leg, const std::vector<std::uint32_t>& steps) {
  if (steps.empty() || marked.ends_with("..."))
    return;
  auto runs = static_cast<std::size_t>(std::count(marked.begin(), marked.end(), ',') +
                                       std::count(marked.begin(), marked.end(), ';'));
  marked += fmt::format("{}round {}{}: ", marked.empty() ? "" : "; ", leg.round + 1,
                        leg.attempt == 0 ? std::string{} : fmt::format(" attempt {}", leg.attempt + 1));
  for (std::size_t i = 0; i < steps.size(); ++runs) {
    std::size_t last = i;
    while (last + 1 < steps.size() && steps[last + 1] == steps[last] + 1)
      ++last;
    if (runs >= kMostRuns) {
      marked += i == 0 ? "..." : ", ...";
      return;
    }
    marked += i == 0 ? "" : ", ";
    marked += last == i ? fmt::format("{}", steps[i]) : fmt::format("{}-{}", steps[i], steps[last]);
    i = last + 1;
  }
}

void add_throttled(DeviceHealth& health, const std::vector<LaunchFigures>& all, const plan::Plan& plan) {
  std::map<std::pair<std::string, std::uint32_t>, ThrottledRank> ranks;
  for (const plan::Leg& leg : plan.legs) {
    LegThrottle& of_leg = health.legs.emplace_back();
    of_leg.leg = leg.name;
    for (const LaunchFigures& figures : all) {
      if (figures.launch->leg->name != leg.name)
        continue;
      of_leg.steps += figures.steps;
      of_leg.throttled += figures.throttled;
      for (std::uint32_t rank = 0; rank < figures.ranks.size(); ++rank) {
        ThrottledRank& entry = ranks[{leg.name, rank}];
        entry.leg = leg.name;
        entry.steps += figures.steps;
        entry.throttled += figures.ranks[rank].throttled.size();
        mark(entry.marked, *figures.launch->leg, figures.ranks[rank].throttled);
        entry.bits |= figures.ranks[rank].bits;
        entry.hottest_c = std::max(entry.hottest_c, figures.hottest_c[rank]);
        if (entry.throttled == 0 || !figures.ranks[rank].throttled.empty())
          entry.place = figures.places[rank];
      }
    }
  }
  for (auto& [key, entry] : ranks) {
    if (entry.throttled > 0)
      health.throttled.push_back(std::move(entry));
  }
  health.throttled_ranks = health.throttled.size();
  std::stable_sort(health.throttled.begin(), health.throttled.end(),
                   [](const ThrottledRank& a, const ThrottledRank& b) { return a.throttled > b.throttled; });
  if (health.throttled.size() > kMostThrottled)
    health.throttled.resize(kMostThrottled);
}

/// Median compute time of each rank; empty when some rank has none.
std::vector<double> medians_of(const LaunchFigures& figures) {
  std::vector<double> medians;
  for (const RankSteps& own : figures.ranks) {
    std::vector<double> times_s;
    for (const stats::Point& point : own.compute)
      times_s.push_back(point.value);
    if (times_s.size() < stats::kLeastPointsForTrend)
      return {};
    medians.push_back(stats::median(times_s));
  }
  return medians;
}

void find_slow(DeviceHealth& health, const std::vector<LaunchFigures>& all) {
  std::map<std::uint32_t, std::vector<double>> ratios;
  const LaunchFigures* last = nullptr;
  std::map<std::uint32_t, SlowRank> ranks;
  for (const LaunchFigures& figures : all) {
    if (figures.launch->leg->kind != plan::to_string(plan::LegKind::joint))
      continue;
    const std::vector<double> medians = medians_of(figures);
    if (medians.size() < kLeastRanks)
      continue;
    last = &figures;
    const double usual = stats::median(medians);
    for (std::uint32_t rank = 0; usual > 0.0 && rank < medians.size(); ++rank) {
      ratios[rank].push_back(medians[rank] / usual);
      ranks[rank].throttled_steps += figures.ranks[rank].throttled.size();
      ranks[rank].bits |= figures.ranks[rank].bits;
    }
  }
  for (const auto& [rank, of_rank] : ratios) {
    const double ratio = stats::median(of_rank);
    const double least = *std::min_element(of_rank.begin(), of_rank.end());
    if (ratio < kStandsOut || least < kInEachLaunch || (health.slow && ratio <= health.slow->ratio) ||
        rank >= last->places.size())
      continue;
    health.slow = ranks[rank];
    health.slow->ratio = ratio;
    health.slow->launches = of_rank.size();
    health.slow->place = last->places[rank];
  }
}

}  // namespace

const LegThrottle* DeviceHealth::leg(const std::string& name) const {
  const auto found =
      std::find_if(legs.begin(), legs.end(), [&name](const LegThrottle& entry) { return entry.leg == name; });
  return found == legs.end() ? nullptr : &*found;
}

DeviceHealth figure_devices(const record::Evidence& evidence, const plan::Plan& plan,
                            const std::vector<Launch>& launches) {
  // Views sort all rows that there are: here they need but few of them.
  record::Evidence few;
  few.legs = evidence.legs;
  few.ranks = evidence.ranks;
  few.devices = evidence.devices;
  few.health = evidence.health;
  const std::vector<watch::LaunchView> views = watch::views_of(few);
  DeviceHealth health;
  std::vector<LaunchFigures> all;
  for (const Launch& launch : launches) {
    const auto view = std::find_if(views.begin(), views.end(), [&launch](const watch::LaunchView& entry) {
      return entry.leg->leg == launch.leg->leg;
    });
    if (view == views.end())
      continue;
    all.push_back(figure_launch(*view, launch));
    health.watched = std::max(health.watched, all.back().watched);
  }
  add_drifts(health, all, plan.criteria.confidence);
  add_throttled(health, all, plan);
  find_slow(health, all);
  return health;
}

std::string in_words(const RankPlace& place) {
  std::string text = fmt::format("rank {}{}", place.rank, place.host.empty() ? "" : " on " + place.host);
  if (!place.serial.empty())
    return text + fmt::format(" ({}, serial {})", place.device.empty() ? "card" : place.device, place.serial);
  return place.device.empty() ? text : text + " (" + place.device + ")";
}

std::vector<std::string> describe_devices(const DeviceHealth& health) {
  std::vector<std::string> lines;
  if (health.slow) {
    std::string line =
        fmt::format("{} computes {:.1f} % longer than the median rank in all {} joint launches",
                    in_words(health.slow->place), 100.0 * (health.slow->ratio - 1.0), health.slow->launches);
    if (health.slow->throttled_steps > 0)
      line += fmt::format("; its device was throttled in {} steps: {}", health.slow->throttled_steps,
                          watch::throttle_words(health.slow->bits));
    lines.push_back(std::move(line));
  }
  const std::size_t told = std::min(health.throttled.size(), kMostTold);
  for (std::size_t i = 0; i < told; ++i) {
    const ThrottledRank& entry = health.throttled[i];
    lines.push_back(fmt::format(
        "{} was throttled in {} of {} steps of leg {}: {}{}", in_words(entry.place), entry.throttled,
        entry.steps, entry.leg, watch::throttle_words(entry.bits),
        entry.hottest_c < 0.0 ? std::string{} : fmt::format(", up to {:.0f} degrees C", entry.hottest_c)));
  }
  if (told < health.throttled_ranks)
    lines.push_back(fmt::format("and {} more were throttled", health.throttled_ranks - told));
  return lines;
}

}  // namespace lockstep::certify
