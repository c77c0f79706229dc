#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/units.hpp"
#include "harness/stats/quantile.hpp"

namespace lockstep::campaign {
namespace {

/// Lockstep synchronises its ranks' clocks by itself; what a wrong clock spoils is comparing times of logs,
/// certificates and other systems, for which this is plenty.
constexpr double kClockLimitS = 0.05;

/// A clock read takes a system call or worse with the other sources.
constexpr std::array<std::string_view, 5> kFastSources = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page",
                                                          "arch_sys_counter", "timebase"};

struct Deviation {
  std::uint32_t host = 0;
  double offset_s = 0.0;
  double bound_s = 0.0;
};

/// How far a host's clock is from the others': the median over all hosts, so that one wrong clock does not
/// make the right ones look wrong. Of two hosts there is only the difference.
std::vector<Deviation> deviations(const SurveyView& view) {
  std::vector<Deviation> found;
  for (const std::uint32_t i : view.hosts()) {
    std::vector<double> offsets_s;
    if (view.hosts().size() > 2)
      offsets_s.push_back(0.0);
    double bound_s = 0.0;
    for (const std::uint32_t j : view.hosts()) {
      const PathReport* best = nullptr;
      for (const PathReport* path : {view.path(i, j), view.path(j, i)}) {
        const bool measured = path != nullptr && path->trips && path->trips->exchanges > 0;
        if (measured && (best == nullptr || path->trips->clock_bound_s < best->trips->clock_bound_s))
          best = path;
      }
      if (best == nullptr)
        continue;
      // From i to j the offset is j's clock minus i's.
      offsets_s.push_back(best->from == i ? -best->trips->clock_offset_s : best->trips->clock_offset_s);
      bound_s = std::max(bound_s, best->trips->clock_bound_s);
    }
    if (!offsets_s.empty())
      found.push_back({i, stats::quantile(offsets_s, 0.5), bound_s});
  }
  return found;
}

bool is_off(const Deviation& deviation) {
  return std::abs(deviation.offset_s) - deviation.bound_s > kClockLimitS;
}

void find_offsets(const SurveyView& view, std::vector<Finding>& found) {
  const std::vector<Deviation> all = deviations(view);
  const auto off = static_cast<std::size_t>(std::count_if(all.begin(), all.end(), is_off));
  // With two hosts, or two camps of equal size, nobody can say whose clock is wrong.
  const bool can_tell = 2 * off < all.size();
  for (const Deviation& deviation : all) {
    if (!is_off(deviation))
      continue;
    const std::string& name = view.host(deviation.host);
    found.push_back({.severity = Severity::warning,
                     .kind = "clock-offset",
                     .hosts = {name},
                     .sites = {view.site(view.site_of(deviation.host))},
                     .what = fmt::format(
                         "the clock of {} is {} {} the other hosts' (within {}; four-timestamp exchange over "
                         "the shortest round trip){}",
                         name, format_seconds(std::abs(deviation.offset_s)),
                         deviation.offset_s > 0 ? "ahead of" : "behind", format_seconds(deviation.bound_s),
                         can_tell ? "" : "; which of them is right cannot be told"),
                     .why = "lockstep corrects for it in its figures, but times of logs and certificates do "
                            "not fit together",
                     .advice = fmt::format("synchronise it by chrony or ntpd, to within {}",
                                           format_seconds(kClockLimitS))});
  }
}

void find_undisciplined(const SurveyView& view, std::vector<Finding>& found) {
  std::vector<std::string> undisciplined;
  std::vector<std::string> slow;
  std::set<std::string> sources;
  std::set<std::string> machines;
  for (const std::uint32_t i : view.hosts()) {
    const HostFacts& facts = view.facts(i);
    machines.insert(facts.boot_id);
    if (facts.clock_state == "not synchronised")
      undisciplined.push_back(view.host(i));
    const bool fast = facts.clock_source.empty() || std::find(kFastSources.begin(), kFastSources.end(),
                                                              facts.clock_source) != kFastSources.end();
    if (!fast) {
      slow.push_back(view.host(i));
      sources.insert(facts.clock_source);
    }
  }
  // One machine has one clock: its hosts cannot disagree.
  if (!undisciplined.empty() && machines.size() > 1) {
    found.push_back({.severity = Severity::warning,
                     .kind = "clock-not-synchronised",
                     .hosts = undisciplined,
                     .sites = {},
                     .what = fmt::format("nothing steers the clock of {} (adjtimex)", some_of(undisciplined)),
                     .why = "clocks drift apart by seconds a week",
                     .advice = "run chrony or ntpd there"});
  }
  if (!slow.empty()) {
    found.push_back(
        {.severity = Severity::warning,
         .kind = "slow-clock",
         .hosts = slow,
         .sites = {},
         .what = fmt::format("the kernel's clock source is {} on {}", *sources.begin(), some_of(slow)),
         .why = "each time stamp costs about a microsecond instead of 25 ns",
         .advice = "see in the kernel's log why tsc was not trusted"});
  }
}

}  // namespace

std::vector<Finding> clock_findings(const DoctorInput& input) {
  const SurveyView view(input.plan, input.survey);
  std::vector<Finding> found;
  find_offsets(view, found);
  find_undisciplined(view, found);
  return found;
}

}  // namespace lockstep::campaign
