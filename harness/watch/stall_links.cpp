#include "harness/watch/stall_links.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
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
/// One way alone is at fault when the other has at most this share of its delay or loss,
constexpr double kOtherWay = 0.25;
/// and so many packets at least were lost on it, when it is loss.
constexpr double kFewestMissing = 3.0;
/// A side that sent less than this share of its usual rate did not send all the time.
constexpr double kKeptSending = 0.8;

/// From one site to another. What was lost is told by what the far side sent in the same time, at the same
/// rate, and what came in.
struct Way {
  std::uint32_t due = 0;
  std::uint32_t heard = 0;
  std::uint32_t due_else = 0;
  std::uint32_t heard_else = 0;
  std::optional<double> longest_ns;
  std::vector<double> longest_else;
  [[nodiscard]] double missing() const {
    const double usual = due_else == 0 ? 1.0 : std::min(1.0, static_cast<double>(heard_else) / due_else);
    return std::max(0.0, usual * due - heard);
  }
  [[nodiscard]] std::optional<double> excess_ns() const {
    if (!longest_ns || longest_else.empty())
      return std::nullopt;
    return *longest_ns - stats::median(longest_else);
  }
};

/// How fast one side of a link sent, in the step and else.
struct Sender {
  std::uint32_t sent = 0;
  std::int64_t begin_ns = INT64_MAX;
  std::int64_t end_ns = INT64_MIN;
  std::uint32_t sent_else = 0;
  std::int64_t length_else_ns = 0;
  /// It sent far less than usual, gaps between its rows included: its process stood still.
  [[nodiscard]] bool stood_still() const {
    if (sent_else == 0 || length_else_ns <= 0 || end_ns <= begin_ns)
      return false;
    const double usual = sent_else / static_cast<double>(length_else_ns);
    return sent / static_cast<double>(end_ns - begin_ns) < kKeptSending * usual;
  }
};

struct Link {
  std::array<Way, 2> ways;  ///< from the lesser name to the other, and back
  std::array<Sender, 2> senders;
  std::int64_t clock_bound_ns = 0;
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

/// When a probe was sent, against the step that is asked about.
enum class When {
  inside,       ///< it overlaps the step
  in_training,  ///< else, and wholly between the first step of its rank and the last
  at_the_ends   ///< else: its peer may not have been there yet, or no more
};

void note_ways(Link& link, const record::ProbeRow& probe, bool from_first, When when) {
  const bool inside = when == When::inside;
  Way& out = link.ways[from_first ? 0 : 1];
  Way& back = link.ways[from_first ? 1 : 0];
  if (when != When::at_the_ends) {
    (inside ? back.due : back.due_else) += probe.sent;
    (inside ? back.heard : back.heard_else) += probe.received;
  }
  Sender& sender = link.senders[from_first ? 0 : 1];
  if (inside) {
    sender.sent += probe.sent;
    sender.begin_ns = std::min(sender.begin_ns, probe.begin_ns);
    sender.end_ns = std::max(sender.end_ns, probe.end_ns);
  } else {
    sender.sent_else += probe.sent;
    sender.length_else_ns += probe.end_ns - probe.begin_ns;
  }
  if (probe.rtt_max_ns == 0)
    return;
  const auto note = [inside](Way& way, std::int64_t longest_ns) {
    const auto value = static_cast<double>(longest_ns);
    if (inside)
      way.longest_ns = std::max(way.longest_ns.value_or(value), value);
    else
      way.longest_else.push_back(value);
  };
  note(out, probe.out_max_ns);
  note(back, probe.back_max_ns);
}

/// Index of the way that is at fault alone; nullopt when it is both, or when clocks and packets do not tell.
std::optional<std::size_t> way_at_fault(const Link& link, bool slow, bool lossy) {
  const auto worse = [](double first, double second) {
    return first >= second ? std::size_t{0} : std::size_t{1};
  };
  std::optional<std::size_t> slower;
  std::optional<std::size_t> lossier;
  const auto first_ns = link.ways[0].excess_ns();
  const auto second_ns = link.ways[1].excess_ns();
  if (slow && first_ns && second_ns) {
    const double more = std::max(*first_ns, *second_ns);
    const double less = std::min(*first_ns, *second_ns);
    // How two clocks differ falls out of the comparison with other times, except for what they drift.
    if (less <= kOtherWay * more &&
        more - std::max(0.0, less) > 2.0 * static_cast<double>(link.clock_bound_ns))
      slower = worse(*first_ns, *second_ns);
  }
  if (lossy && link.ways[0].due > 0 && link.ways[1].due > 0) {
    const double first = link.ways[0].missing();
    const double second = link.ways[1].missing();
    if (std::max(first, second) >= kFewestMissing &&
        std::min(first, second) <= kOtherWay * std::max(first, second))
      lossier = worse(first, second);
  }
  if (slow && lossy)
    return slower == lossier ? slower : std::nullopt;
  return slow ? slower : lossier;
}

struct Span {
  std::int64_t begin_ns = INT64_MAX;
  std::int64_t end_ns = INT64_MIN;
};

/// From the begin of a rank's first step to the end of its last one, on its own clock; by rank.
std::vector<Span> training_of(const LaunchView& view) {
  std::vector<Span> spans(view.rank_count());
  for (const record::StepRow* step : view.steps) {
    Span& span = spans[step->rank];
    span.begin_ns = std::min(span.begin_ns, step->begin_ns);
    span.end_ns = std::max(span.end_ns, step->end_ns);
  }
  return spans;
}

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

LinkSuspicion suspect_links(const LaunchView& view, std::uint32_t step, std::int64_t before_ns,
                            double extra_ns) {
  LinkSuspicion suspicion;
  const auto rows = view.steps_of(step);
  const auto training = training_of(view);
  std::map<Pair, Link> links;
  for (const record::ProbeRow* probe : view.probes) {
    const std::string& from = view.site_of(probe->rank);
    const std::string& to = view.site_of(probe->peer);
    if (from.empty() || to.empty() || from == to)
      continue;
    Link& link = links[std::minmax(from, to)];
    for (const std::uint32_t rank : {probe->rank, probe->peer})
      link.clock_bound_ns = std::max(link.clock_bound_ns, view.clocks[rank].bound_ns());
    const auto own = std::find_if(rows.begin(), rows.end(),
                                  [probe](const record::StepRow* row) { return row->rank == probe->rank; });
    const bool inside =
        own != rows.end() && probe->end_ns > (*own)->begin_ns - before_ns && probe->begin_ns < (*own)->end_ns;
    const Span& trained = training[probe->rank];
    const bool in_training = probe->begin_ns >= trained.begin_ns && probe->end_ns <= trained.end_ns;
    note_ways(link, *probe, from < to,
              inside        ? When::inside
              : in_training ? When::in_training
                            : When::at_the_ends);
    if (inside) {
      link.sent += probe->sent;
      link.lost += probe->lost;
      link.longest_ns = std::max(link.longest_ns, static_cast<double>(probe->rtt_max_ns));
    } else {
      if (in_training) {
        link.sent_else += probe->sent;
        link.lost_else += probe->lost;
      }
      if (probe->rtt_max_ns > 0)
        link.longest_else.push_back(static_cast<double>(probe->rtt_max_ns));
    }
  }
  std::set<Pair> all;
  std::set<Pair> suffered;
  std::optional<std::size_t> way;
  double worst = 0.0;
  for (const auto& [pair, link] : links) {
    all.insert(pair);
    if (link.sent == 0)
      continue;
    suspicion.asked = true;
    const double usual_ns = stats::median(link.longest_else);
    const bool slow = link.longest_ns > 0.0 && link.longest_ns - usual_ns >= kLongerShare * extra_ns &&
                      link.longest_ns > 1.5 * usual_ns && !link.longest_else.empty();
    // What a process that stands still does not answer was not lost on the way.
    const bool lossy = link.lost_share() - link.usual_lost_share() >= kMoreLost &&
                       std::none_of(link.senders.begin(), link.senders.end(),
                                    [](const Sender& sender) { return sender.stood_still(); });
    if (!slow && !lossy)
      continue;
    suffered.insert(pair);
    const double badness = link.lost_share() + (slow ? (link.longest_ns - usual_ns) / extra_ns : 0.0);
    if (badness <= worst)
      continue;
    worst = badness;
    way = way_at_fault(link, slow, lossy);
    suspicion.why = fmt::format("probes {} - {} in that time: {} of {} lost", pair.first, pair.second,
                                link.lost, link.sent);
    if (slow)
      suspicion.why +=
          fmt::format(", longest round trip {} (usual {})", format_seconds(link.longest_ns / kNsPerS),
                      format_seconds(usual_ns / kNsPerS));
  }
  suspicion.links = suffered.size();
  if (suffered.size() == 1) {
    const auto& [first, second] = *suffered.begin();
    suspicion.culprit = !way        ? between({first, second})
                        : *way == 0 ? one_way(first, second)
                                    : one_way(second, first);
    if (way)
      suspicion.why += ", on the way " + suspicion.culprit + " alone";
  } else {
    suspicion.culprit = common_site(suffered, all);
  }
  return suspicion;
}

}  // namespace lockstep::watch
