#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/units.hpp"
#include "harness/plan/load.hpp"

namespace lockstep::campaign {
namespace {

constexpr double kFarBelow = 0.5;          // of the declared rate
constexpr double kAsymmetry = 1.5;         // one direction over the other
constexpr double kPerFlow = 1.6;           // several streams over one
constexpr double kEagerRoundTripS = 2e-3;  // from here on the extra round trip costs more than the message
constexpr double kBytesPerGigabyte = 1e9;
/// The kernel counts its own overhead against a receive buffer: about half is left for data.
constexpr double kReceiveOverhead = 2.0;
constexpr std::uint64_t kEagerBytes = 8388608;
constexpr std::uint64_t kDefaultEagerBytes = 65536;
constexpr std::uint64_t kMebibyte = 1 << 20;

/// The best that a direction showed.
double rate_of(const SiteDirection& direction) {
  return std::max(direction.one_stream_bytes_per_s.value_or(0.0),
                  direction.streams_bytes_per_s.value_or(0.0));
}

std::string way(const SurveyView& view, const SiteDirection& direction) {
  return direction.from == direction.to
             ? fmt::format("inside site {}", view.site(direction.from))
             : fmt::format("site {} to site {}", view.site(direction.from), view.site(direction.to));
}

const SiteDirection* other_way(const std::vector<SiteDirection>& all, const SiteDirection& direction) {
  for (const SiteDirection& one : all) {
    if (one.from == direction.to && one.to == direction.from)
      return &one;
  }
  return nullptr;
}

bool is_wide(const SiteDirection& direction) {
  return !(direction.from == direction.to);
}

void find_slow(const DoctorInput& input, const SurveyView& view, const SiteDirection& direction,
               std::vector<Finding>& found) {
  const double rate = rate_of(direction);
  if (rate <= 0.0 || !is_wide(direction) || !plan::sets_key(input.plan, "links.wan_gbps"))
    return;
  const double declared = input.plan.links.wan_gbps * kBytesPerGigabyte;
  if (rate >= kFarBelow * declared)
    return;
  found.push_back(
      {.severity = Severity::warning,
       .kind = "slow-link",
       .hosts = {},
       .sites = {view.site(direction.from), view.site(direction.to)},
       .what = fmt::format("{}: {} by TCP between one pair of hosts (best of one stream and {}), and the "
                           "plan declares {} (links.wan_gbps)",
                           way(view, direction), format_rate(rate), direction.streams, format_rate(declared)),
       .why = "predictions of the plan do not hold, and gradients may not fit into the step",
       .advice = "see the findings on buffers and loss first; then ask who provides the link for a "
                 "throughput test, or correct links.wan_gbps"});
}

void find_asymmetric(const SurveyView& view, const std::vector<SiteDirection>& all,
                     const SiteDirection& direction, std::vector<Finding>& found) {
  const SiteDirection* back = other_way(all, direction);
  if (!is_wide(direction) || back == nullptr || rate_of(direction) <= 0.0)
    return;
  if (rate_of(*back) < kAsymmetry * rate_of(direction))
    return;
  found.push_back({.severity = Severity::warning,
                   .kind = "asymmetric-link",
                   .hosts = {},
                   .sites = {view.site(direction.from), view.site(direction.to)},
                   .what = fmt::format("{}: {}, and {} the other way (TCP, best of one stream and several)",
                                       way(view, direction), format_rate(rate_of(direction)),
                                       format_rate(rate_of(*back))),
                   .why = "a collective runs at the slower direction's rate",
                   .advice = "look for a policer, a different path or a busy link in the slow direction"});
}

void find_flow_limit(const SurveyView& view, const SiteDirection& direction, std::vector<Finding>& found) {
  if (!direction.one_stream_bytes_per_s || !direction.streams_bytes_per_s)
    return;
  const double one = *direction.one_stream_bytes_per_s;
  const double many = *direction.streams_bytes_per_s;
  if (one <= 0.0 || many < kPerFlow * one)
    return;
  found.push_back(
      {.severity = Severity::warning,
       .kind = "flow-limit",
       .hosts = {},
       .sites = {view.site(direction.from), view.site(direction.to)},
       .what = fmt::format("{}: one TCP stream brings {}, {} together {}", way(view, direction),
                           format_rate(one), direction.streams, format_rate(many)),
       .why = "Open MPI uses one connection between two ranks unless told otherwise",
       .advice = fmt::format("set mpi.mca.btl_tcp_links = \"{}\", or lift what holds a single flow: "
                             "socket buffers, loss, hashing over parallel links",
                             direction.streams)});
}

/// Bytes rounded up to whole MiB, as one writes them into sysctl.conf.
std::uint64_t whole_mebibytes(double bytes) {
  return static_cast<std::uint64_t>(std::ceil(bytes / static_cast<double>(kMebibyte))) * kMebibyte;
}

void find_small_buffers(const DoctorInput& input, const SurveyView& view, const SiteDirection& direction,
                        std::vector<Finding>& found) {
  if (!is_wide(direction) || !direction.p50_s)
    return;
  const bool declared = plan::sets_key(input.plan, "links.wan_gbps");
  const double rate =
      std::max(rate_of(direction), declared ? input.plan.links.wan_gbps * kBytesPerGigabyte : 0.0);
  const double product = rate * *direction.p50_s;
  if (product <= 0.0)
    return;
  struct Side {
    SiteId site;
    const char* setting;
    std::uint64_t HostFacts::*limit;
    double needed;
  };
  for (const Side& side :
       {Side{direction.from, "tcp_wmem", &HostFacts::tcp_wmem_max, product},
        Side{direction.to, "tcp_rmem", &HostFacts::tcp_rmem_max, kReceiveOverhead * product}}) {
    std::vector<std::string> small;
    std::uint64_t least = ~0ULL;
    for (const std::uint32_t i : view.hosts_of(side.site)) {
      const std::uint64_t limit = view.facts(i).*side.limit;
      if (limit == 0 || static_cast<double>(limit) >= side.needed)
        continue;
      small.push_back(view.host(i));
      least = std::min(least, limit);
    }
    if (small.empty())
      continue;
    const std::uint64_t wanted = whole_mebibytes(2.0 * side.needed);
    found.push_back(
        {.severity = Severity::warning,
         .kind = "small-buffers",
         .hosts = small,
         .sites = {view.site(direction.from), view.site(direction.to)},
         .what =
             fmt::format("{}: {} x {} round trip = {} on the way ({} rate), and net.ipv4.{} ends at {} on {}",
                         way(view, direction), format_rate(rate), format_seconds(*direction.p50_s),
                         format_bytes(product), rate > rate_of(direction) ? "declared" : "measured",
                         side.setting, format_bytes(static_cast<double>(least)), some_of(small)),
         .why =
             fmt::format("one connection cannot fill the link: at most {}",
                         format_rate(static_cast<double>(least) * product / side.needed / *direction.p50_s)),
         .advice = fmt::format("sysctl -w net.ipv4.{}=\"4096 131072 {}\"", side.setting, wanted)});
  }
}

std::uint64_t eager_limit(const DoctorInput& input) {
  const auto at = input.mca.find("btl_tcp_eager_limit");
  if (at == input.mca.end())
    return kDefaultEagerBytes;
  std::uint64_t value = 0;
  std::from_chars(at->second.data(), at->second.data() + at->second.size(), value);
  return value;
}

void find_eager_limit(const DoctorInput& input, const SurveyView& view, const std::vector<SiteDirection>& all,
                      std::vector<Finding>& found) {
  const SiteDirection* farthest = nullptr;
  for (const SiteDirection& direction : all) {
    if (is_wide(direction) && direction.p50_s && (farthest == nullptr || *direction.p50_s > *farthest->p50_s))
      farthest = &direction;
  }
  if (farthest == nullptr || *farthest->p50_s < kEagerRoundTripS || eager_limit(input) > kDefaultEagerBytes)
    return;
  found.push_back(
      {.severity = Severity::warning,
       .kind = "eager-limit",
       .hosts = {},
       .sites = {view.site(farthest->from), view.site(farthest->to)},
       .what = fmt::format("{} round trip, and Open MPI's TCP eager limit is {}",
                           format_seconds(*farthest->p50_s),
                           format_bytes(static_cast<double>(eager_limit(input)))),
       .why = "a message above it asks before it is sent: three one-way delays instead of one",
       .advice = fmt::format(
           "set btl_tcp_eager_limit = \"{0}\" and btl_tcp_rndv_eager_limit = \"{0}\" in [mpi.mca]",
           kEagerBytes)});
}

}  // namespace

std::vector<Finding> bandwidth_findings(const DoctorInput& input) {
  const SurveyView view(input.plan, input.survey);
  const std::vector<SiteDirection> all = site_directions(view, input.survey);
  std::vector<Finding> found;
  for (const SiteDirection& direction : all) {
    find_slow(input, view, direction, found);
    find_asymmetric(view, all, direction, found);
    find_flow_limit(view, direction, found);
    find_small_buffers(input, view, direction, found);
  }
  find_eager_limit(input, view, all, found);
  return found;
}

}  // namespace lockstep::campaign
