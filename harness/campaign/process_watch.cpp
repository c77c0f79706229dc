#include "harness/campaign/process_watch.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "harness/core/posix.hpp"

namespace lockstep::campaign {
namespace {

/// From a launcher's SIGCONT to its SIGKILL lie two seconds; more is another stop.
constexpr std::int64_t kEndsAfterGoingOnNs = 4'000'000'000;
/// A supervisor that was seen to beat so often can be missed.
constexpr std::uint32_t kRegularBeats = 2;
/// A launcher wakes the others only once one has ended; clocks of hosts may differ by this.
constexpr std::int64_t kClocksDifferNs = 500'000'000;

watch::RankEnd end_of(const record::ProcessState& state, std::int64_t ended_by_us_utc_ns) {
  watch::RankEnd end;
  end.utc_ns = state.changed_utc_ns;
  end.out_of_memory = state.out_of_memory;
  end.disk_full = state.disk_full;
  switch (state.condition) {
    case record::ProcessCondition::running:
      end.kind = watch::RankEndKind::running;
      break;
    case record::ProcessCondition::stopped:
      end.kind = watch::RankEndKind::stopped;
      end.code = state.signal;
      break;
    case record::ProcessCondition::exited:
      end.kind = watch::RankEndKind::exited;
      end.code = state.exit_code;
      break;
    case record::ProcessCondition::killed:
      end.kind = watch::RankEndKind::killed;
      end.code = state.signal;
      end.on_request = ended_by_us_utc_ns > 0 && state.changed_utc_ns >= ended_by_us_utc_ns;
      break;
  }
  return end;
}

bool has_ended(const record::ProcessState& state) {
  return state.condition == record::ProcessCondition::exited ||
         state.condition == record::ProcessCondition::killed;
}

/// What follows `prefix`, up to a space or the end.
std::string word_after(std::string_view text, std::string_view prefix) {
  const std::size_t at = text.find(prefix);
  if (at == std::string_view::npos)
    return {};
  const std::string_view rest = text.substr(at + prefix.size());
  return std::string(rest.substr(0, rest.find(' ')));
}

}  // namespace

void ProcessWatch::look(std::int64_t now_utc_ns) {
  for (record::ProcessState& state : record::read_process_states(folder_)) {
    Seen& seen = seen_[{state.host, state.pid}];
    const bool died = state.condition == record::ProcessCondition::killed ||
                      (state.condition == record::ProcessCondition::exited && state.exit_code != 0);
    const bool is_new = state.condition != seen.state.condition;
    if (is_new && (state.condition == record::ProcessCondition::stopped || (died && !somebody_died_))) {
      news_.push_back(fmt::format("process {} on {}: {}", state.pid, state.host, record::describe(state)));
      if (first_trouble_utc_ns_ == 0)
        first_trouble_utc_ns_ = now_utc_ns;
    }
    somebody_died_ = somebody_died_ || died;
    if (state.beats != seen.state.beats) {
      ++seen.beats_seen;
      seen.is_heard = seen.is_heard || listens_;
    }
    seen.is_heard = seen.is_heard || has_ended(state);
    if (state.condition == record::ProcessCondition::stopped) {
      seen.stopped_utc_ns = state.changed_utc_ns;
      seen.went_on_utc_ns = 0;
    } else if (seen.stopped_utc_ns > 0 && seen.went_on_utc_ns == 0) {
      seen.went_on_utc_ns = state.changed_utc_ns;
    }
    seen.state = std::move(state);
  }
  // A stop that is over by itself was no beginning of an end. (A launcher wakes the stopped only when one has
  // died.)
  const bool somebody_is_stopped = std::any_of(seen_.begin(), seen_.end(), [](const auto& entry) {
    return entry.second.state.condition == record::ProcessCondition::stopped;
  });
  if (!somebody_died_ && !somebody_is_stopped)
    first_trouble_utc_ns_ = 0;
}

std::vector<std::string> ProcessWatch::take_news() {
  return std::exchange(news_, {});
}

const ProcessWatch::Seen* ProcessWatch::find(const record::RankRow& rank) const {
  const auto found = seen_.find({rank.host.substr(0, rank.host.find('.')), rank.pid});
  if (found != seen_.end())
    return &found->second;
  const auto by_full_name = seen_.find({rank.host, rank.pid});
  return by_full_name == seen_.end() ? nullptr : &by_full_name->second;
}

std::vector<watch::RankEnd> ProcessWatch::ends(std::span<const record::RankRow> ranks,
                                               std::int64_t ended_by_us_utc_ns) const {
  std::vector<watch::RankEnd> ends;
  const std::int64_t ending_utc_ns = first_end_utc_ns(ended_by_us_utc_ns);
  for (const record::RankRow& rank : ranks) {
    if (ends.size() <= rank.rank)
      ends.resize(rank.rank + 1);
    const Seen* seen = find(rank);
    if (seen == nullptr)
      continue;
    watch::RankEnd& end = ends[rank.rank];
    end = end_of(seen->state, ended_by_us_utc_ns);
    const bool was_stopped_to_its_end =
        seen->stopped_utc_ns > 0 && has_ended(seen->state) &&
        seen->went_on_utc_ns + kClocksDifferNs >= ending_utc_ns &&
        seen->state.changed_utc_ns - seen->went_on_utc_ns <= kEndsAfterGoingOnNs;
    if (was_stopped_to_its_end) {
      end.kind = watch::RankEndKind::stopped;
      end.utc_ns = seen->stopped_utc_ns;
    }
  }
  return ends;
}

std::int64_t ProcessWatch::first_end_utc_ns(std::int64_t ended_by_us_utc_ns) const {
  std::int64_t first_ns = ended_by_us_utc_ns > 0 ? ended_by_us_utc_ns : INT64_MAX;
  for (const auto& [key, seen] : seen_) {
    if (has_ended(seen.state) && seen.stopped_utc_ns == 0)
      first_ns = std::min(first_ns, seen.state.changed_utc_ns);
  }
  return first_ns == INT64_MAX ? 0 : first_ns;
}

void ProcessWatch::listen() {
  listens_ = true;
}

std::set<std::string> ProcessWatch::unheard() const {
  std::set<std::string> unheard;
  std::set<std::string> heard;
  for (const auto& [key, seen] : seen_) {
    if (seen.is_heard)
      heard.insert(key.first);
    else if (seen.beats_seen >= kRegularBeats)
      unheard.insert(key.first);
  }
  std::erase_if(unheard, [&heard](const std::string& host) { return heard.contains(host); });
  return unheard;
}

bool ProcessWatch::everybody_is_heard() const {
  return unheard().empty();
}

std::set<std::string> ProcessWatch::silent_hosts(std::span<const record::RankRow> ranks) const {
  const std::string here = short_host_name();
  std::set<std::string> silent;
  for (const std::string& host : unheard()) {
    for (const record::RankRow& rank : ranks) {
      const bool is_it = rank.host == host || rank.host.substr(0, rank.host.find('.')) == host;
      if (is_it && host != here)
        silent.insert(rank.host);
    }
  }
  return silent;
}

std::set<std::string> hosts_to_blame(const record::IncidentRow& incident,
                                     std::span<const record::RankRow> ranks) {
  const std::string_view culprit = incident.culprit;
  std::set<std::string> hosts;
  const auto add_where = [&](auto&& holds) {
    for (const record::RankRow& rank : ranks) {
      if (!rank.host.empty() && holds(rank))
        hosts.insert(rank.host);
    }
  };
  if (culprit.starts_with("rank ")) {
    const std::string number = word_after(culprit, "rank ");
    add_where([&](const record::RankRow& rank) { return std::to_string(rank.rank) == number; });
  } else if (culprit.starts_with("host ")) {
    const std::string name = word_after(culprit, "host ");
    add_where([&](const record::RankRow& rank) { return rank.host == name; });
  } else if (culprit.starts_with("site ")) {
    const std::string name = word_after(culprit, "site ");
    add_where([&](const record::RankRow& rank) { return rank.site == name; });
  }
  return hosts;
}

}  // namespace lockstep::campaign
