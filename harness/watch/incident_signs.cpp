#include "harness/watch/incident_signs.hpp"

#include <algorithm>
#include <csignal>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "harness/watch/incident_story.hpp"
#include "harness/watch/names.hpp"
#include "harness/watch/watchdog.hpp"

namespace lockstep::watch {
namespace {

using record::IncidentRow;

/// Hosts that are lost within this of each other were lost at once.
constexpr std::int64_t kHostsTogetherNs = 2'000'000'000;
/// So many causes of wrong data in one launch are told apart. Where ever other ranks are wrong, a row for
/// each set of them would hide what they have in common.
constexpr std::size_t kMostWrongCauses = 8;

bool is_victim(const RankEnd& end) {
  return end.kind == RankEndKind::exited && (end.code == static_cast<int>(RankExit::deadline) ||
                                             end.code == static_cast<int>(RankExit::transport_error));
}

/// It died by itself, and not of others.
bool is_death(const RankEnd& end) {
  if (end.kind == RankEndKind::killed)
    return !end.on_request;
  return end.kind == RankEndKind::exited && end.code != 0 && !is_victim(end);
}

/// The last stamp of each host, on the common clock.
std::map<std::string, std::int64_t> last_signs(const LaunchView& view) {
  std::map<std::string, std::int64_t> last;
  const auto note = [&](std::uint32_t rank, std::int64_t local_ns) {
    std::int64_t& at = last.try_emplace(view.host_of(rank), INT64_MIN).first->second;
    at = std::max(at, view.clocks[rank].to_common_ns(local_ns));
  };
  for (const record::StepRow* row : view.steps)
    note(row->rank, row->end_ns);
  for (const record::CommRow* row : view.comms)
    note(row->rank, std::max(row->begin_ns, row->end_ns));
  return last;
}

/// What was told of a step, or of several, with wrong data.
struct WrongStep {
  std::vector<const record::FailureRow*> rows;  ///< by step
  std::set<std::uint32_t> strayed;              ///< checksum_mismatch names the rank that differs
  std::set<std::uint32_t> saw;                  ///< wrong_value names a rank that saw it
  std::uint32_t sets = 1;                       ///< different sets of ranks that were put together here
  [[nodiscard]] const std::set<std::uint32_t>& named() const { return strayed.empty() ? saw : strayed; }
  [[nodiscard]] bool is_of_same_ranks(const WrongStep& other) const {
    return sets == 1 && named() == other.named() && strayed.empty() == other.strayed.empty();
  }
  void add(const WrongStep& other) {
    rows.insert(rows.end(), other.rows.begin(), other.rows.end());
    std::set<std::uint32_t> all = named();
    all.insert(other.named().begin(), other.named().end());
    (strayed.empty() && other.strayed.empty() ? saw : strayed) = std::move(all);
  }
};

IncidentRow wrong_data(const LaunchView& view, const LaunchFacts& facts, const WrongStep& cause) {
  IncidentRow row;
  row.leg = view.leg->leg;
  row.kind = "wrong_data";
  row.step = cause.rows.front()->step;
  row.op = cause.rows.front()->op;
  row.first_symptom = cause.rows.front()->message;
  // The rank that sees it knows at once; sums are compared when the journals are merged.
  for (const record::FailureRow* failure : cause.rows) {
    if (failure->kind == "wrong_value" && failure->utc_ns > 0 &&
        (row.began_utc_ns == 0 || failure->utc_ns < row.began_utc_ns))
      row.began_utc_ns = failure->utc_ns;
  }
  row.detected_utc_ns = row.began_utc_ns > 0 ? row.began_utc_ns : facts.detected_utc_ns;
  const std::vector<std::uint32_t> ranks(cause.named().begin(), cause.named().end());
  const Place place = place_of(view, ranks);
  const bool one = ranks.size() == 1;
  row.culprit = place.name;
  if (place.scope == Scope::none || place.scope == Scope::all) {
    row.culprit.clear();
    row.confidence = 0.5;
    row.cause =
        "reduced data were wrong on every rank that checked them: whose part of it was wrong, the "
        "sums do not tell";
  } else if (cause.strayed.empty()) {
    row.confidence = 0.7;
    row.cause = fmt::format("wrong reduced data were seen on {} alone", place.name);
  } else {
    row.confidence = 0.9;
    row.cause = fmt::format("{} {} other reduced data than most of {} group", place.name,
                            one ? "holds" : "hold", one ? "its" : "their");
  }
  if (cause.sets > 1) {
    row.confidence = 0.5;
    row.cause +=
        fmt::format("; put together from {} steps, in which not the same ranks were wrong", cause.sets);
  }
  tell_story(row, view, std::nullopt);
  row.ranks_hit = static_cast<std::uint32_t>(ranks.size());
  return row;
}

}  // namespace

bool tells_of_data(const record::FailureRow& row) {
  return row.kind == "wrong_value" || row.kind == "checksum_mismatch" || row.kind == "checksum";
}

std::vector<IncidentRow> find_wrong_data(const LaunchView& view, const LaunchFacts& facts) {
  std::map<std::int32_t, WrongStep> steps;
  for (const record::FailureRow* row : view.failures) {
    if (row->kind != "wrong_value" && row->kind != "checksum_mismatch")
      continue;
    WrongStep& step = steps[row->step];
    step.rows.push_back(row);
    if (row->rank >= 0)
      (row->kind == "wrong_value" ? step.saw : step.strayed).insert(static_cast<std::uint32_t>(row->rank));
  }
  // A rank that is wrong in many steps is one cause; another rank is another one.
  std::vector<WrongStep> causes;
  for (auto& [number, step] : steps) {
    auto known = std::find_if(causes.begin(), causes.end(),
                              [&](const WrongStep& cause) { return cause.is_of_same_ranks(step); });
    if (known == causes.end() && causes.size() < kMostWrongCauses) {
      causes.push_back(std::move(step));
      continue;
    }
    if (known == causes.end()) {
      known = std::prev(causes.end());
      ++known->sets;
    }
    known->add(step);
  }
  std::vector<IncidentRow> rows;
  rows.reserve(causes.size());
  for (const WrongStep& cause : causes)
    rows.push_back(wrong_data(view, facts, cause));
  return rows;
}

void mark_signals_of_launcher(std::vector<RankEnd>& ends) {
  // mpirun sends SIGTERM a second after the first bad end, and SIGKILL two seconds after it. These lie half
  // way: hosts' clocks may differ by the rest.
  constexpr std::int64_t kBeforeTermNs = 500'000'000;
  constexpr std::int64_t kBeforeKillNs = 1'000'000'000;
  const auto is_sent = [](const RankEnd& end, int signal) {
    return end.kind == RankEndKind::killed && end.code == signal && !end.on_request && !end.out_of_memory;
  };
  bool somebody_died = false;  // of what no launcher does
  std::int64_t first_utc_ns = INT64_MAX;
  for (const RankEnd& end : ends) {
    const bool gave_up = end.kind == RankEndKind::exited && end.code != 0;
    const bool died = (gave_up && !is_victim(end)) || (end.kind == RankEndKind::killed && !end.on_request &&
                                                       !is_sent(end, SIGTERM) && !is_sent(end, SIGKILL));
    somebody_died = somebody_died || died;
    if ((gave_up || died) && end.utc_ns > 0)
      first_utc_ns = std::min(first_utc_ns, end.utc_ns);
  }
  const auto is_later = [&first_utc_ns](const RankEnd& end, std::int64_t by_ns) {
    return first_utc_ns != INT64_MAX && end.utc_ns > first_utc_ns + by_ns;
  };
  for (RankEnd& end : ends) {
    if (is_sent(end, SIGKILL) && is_later(end, kBeforeKillNs))
      end.on_request = true;
    somebody_died = somebody_died || is_sent(end, SIGKILL);
  }
  for (RankEnd& end : ends) {
    if (is_sent(end, SIGTERM) && (somebody_died || is_later(end, kBeforeTermNs)))
      end.on_request = true;
  }
}

std::vector<std::uint32_t> deaths(const LaunchView& view, const LaunchFacts& facts) {
  std::vector<std::uint32_t> ranks;
  const auto count = std::min<std::size_t>(facts.ranks.size(), view.rank_count());
  for (std::uint32_t rank = 0; rank < count; ++rank) {
    if (is_death(facts.ranks[rank]))
      ranks.push_back(rank);
  }
  const auto when = [&facts](std::uint32_t rank) {
    const std::int64_t utc = facts.ranks[rank].utc_ns;
    return utc == 0 ? INT64_MAX : utc;
  };
  std::stable_sort(ranks.begin(), ranks.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return when(a) < when(b); });
  return ranks;
}

void name_death(IncidentRow& row, const RankEnd& end, const std::string& who, bool several, bool stepped) {
  const char* was = several ? "were" : "was";
  if (end.kind == RankEndKind::exited && end.code == static_cast<int>(RankExit::device)) {
    row.kind = "device_error";
    row.cause = fmt::format("{} could not compute: its GPU, or what stands for one, failed", who);
    return;
  }
  if (end.kind == RankEndKind::exited) {
    row.kind = stepped ? "rank_aborted" : "launch_failed";
    row.cause = fmt::format("{} ended itself with exit code {}{}", who, end.code,
                            stepped ? "" : " before the first step");
    return;
  }
  const std::string signal = fmt::format("signal {} ({})", end.code, signal_name(end.code));
  if (end.out_of_memory && end.code == SIGKILL) {
    row.kind = "out_of_memory";
    row.cause = fmt::format("{} {} killed by the kernel for want of memory", who, was);
  } else if (end.code == SIGABRT) {
    row.kind = "rank_aborted";
    row.cause = fmt::format("{} aborted ({})", who, signal);
  } else if (end.code == SIGSEGV || end.code == SIGBUS || end.code == SIGFPE || end.code == SIGILL) {
    row.kind = "rank_crashed";
    row.cause = fmt::format("{} crashed ({})", who, signal);
  } else {
    row.kind = "rank_killed";
    row.cause = fmt::format("{} {} killed by {}, which this run did not send", who, was, signal);
  }
}

bool lost_at_once(const LaunchView& view, const std::set<std::string>& hosts) {
  const auto last = last_signs(view);
  std::int64_t first_ns = INT64_MAX;
  std::int64_t last_ns = INT64_MIN;
  for (const std::string& host : hosts) {
    const auto found = last.find(host);
    if (found == last.end())
      continue;
    first_ns = std::min(first_ns, found->second);
    last_ns = std::max(last_ns, found->second);
  }
  return first_ns > last_ns || last_ns - first_ns <= kHostsTogetherNs;
}

}  // namespace lockstep::watch
