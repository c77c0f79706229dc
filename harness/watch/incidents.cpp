#include "harness/watch/incidents.hpp"

#include <algorithm>
#include <csignal>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "harness/core/units.hpp"
#include "harness/watch/device_signs.hpp"
#include "harness/watch/incident_signs.hpp"
#include "harness/watch/incident_story.hpp"
#include "harness/watch/last_words.hpp"
#include "harness/watch/names.hpp"
#include "harness/watch/post_mortem.hpp"

namespace lockstep::watch {
namespace {

using record::IncidentRow;

/// Ranks of one host that die within this of each other died of one thing.
constexpr std::int64_t kTogetherNs = 200'000'000;

bool names_full_disk(const std::string& message) {
  return message.find("No space left on device") != std::string::npos ||
         message.find("ENOSPC") != std::string::npos;
}

class Finder {
 public:
  Finder(const LaunchView& view, LaunchFacts facts) : view_(view), facts_(std::move(facts)) {
    mark_signals_of_launcher(facts_.ranks);
  }

  std::vector<IncidentRow> run() {
    if (view_.leg == nullptr)
      return {};
    found_ = find_wrong_data(view_, facts_);
    for (IncidentRow& row : find_silent_corruption(view_, facts_))
      found_.push_back(std::move(row));
    for (IncidentRow& row : find_device_errors(view_, facts_))
      found_.push_back(std::move(row));
    const bool completed = view_.end != nullptr && view_.end->outcome == "completed";
    const bool interrupted =
        facts_.interrupted || (view_.end != nullptr && view_.end->outcome == "interrupted");
    const bool running = view_.end == nullptr && facts_.ranks.empty() && !facts_.exit_status &&
                         facts_.lost_hosts.empty() && facts_.overdue_phase.empty() && view_.failures.empty();
    if (!completed && !interrupted && !running)
      find_end();
    for (std::size_t i = 0; i < found_.size(); ++i)
      found_[i].incident = static_cast<std::uint32_t>(i);
    return std::move(found_);
  }

 private:
  [[nodiscard]] IncidentRow begin(const char* kind) const {
    IncidentRow row;
    row.leg = view_.leg->leg;
    row.kind = kind;
    row.detected_utc_ns = facts_.detected_utc_ns;
    return row;
  }

  void find_end() {
    post_mortem_ = post_mortem(view_, facts_);
    IncidentRow row = begin("unknown");
    const bool told = blame_full_disk(row) || blame_lost_hosts(row) || blame_death(row) ||
                      blame_missing(row) || blame_transport(row) || blame_silent(row) || blame_launch(row);
    if (!told) {
      row.cause = view_.end != nullptr && !view_.end->message.empty()
                      ? view_.end->message
                      : "the launch did not complete, and the evidence does not tell why";
      row.confidence = 0.0;
    }
    blame_device(row);
    fill(row);
    found_.insert(found_.begin(), std::move(row));
  }

  /// A device that failed under the rank that ended the launch is the cause of it: one row, not two.
  void blame_device(IncidentRow& row) {
    const auto device = std::find_if(found_.begin(), found_.end(), [&row](const IncidentRow& other) {
      return other.kind == "device_error" && other.confidence >= kDeviceIsToBlame && !row.culprit.empty() &&
             other.culprit == row.culprit;
    });
    if (device == found_.end())
      return;
    row.cause = fmt::format("{}; then {}", device->cause, row.cause);
    row.kind = device->kind;
    row.confidence = std::max(row.confidence, device->confidence);
    row.step = device->step;
    row.first_symptom = device->first_symptom;
    if (device->began_utc_ns != 0 && (row.began_utc_ns == 0 || device->began_utc_ns < row.began_utc_ns))
      row.began_utc_ns = device->began_utc_ns;
    found_.erase(device);
  }

  void fill(IncidentRow& row) const {
    if (post_mortem_) {
      if (row.step < 0)
        row.step = static_cast<std::int32_t>(post_mortem_->step);
      if (row.op < 0)
        row.op = post_mortem_->op;
      if (row.began_utc_ns == 0)
        row.began_utc_ns = post_mortem_->began_utc_ns;
      if (row.first_symptom.empty())
        row.first_symptom = post_mortem_->symptom;
    }
    const record::FailureRow* first = nullptr;
    for (const record::FailureRow* failure : view_.failures) {
      const bool own_word = failure->rank >= 0 && failure->utc_ns > 0 && !tells_of_data(*failure);
      if (own_word && (first == nullptr || failure->utc_ns < first->utc_ns))
        first = failure;
    }
    if (first != nullptr && (row.detected_utc_ns == 0 || first->utc_ns < row.detected_utc_ns))
      row.detected_utc_ns = first->utc_ns;
    if (row.detected_utc_ns == 0 && view_.end != nullptr)
      row.detected_utc_ns = view_.end->ended_utc_ns;
    if (row.began_utc_ns != 0 && row.detected_utc_ns < row.began_utc_ns)
      row.detected_utc_ns = row.began_utc_ns;
    if (row.first_symptom.empty() && first != nullptr)
      row.first_symptom = first->message;
    else if (row.first_symptom.empty())
      row.first_symptom = row.cause;
    tell_story(row, view_, post_mortem_);
  }

  bool blame_full_disk(IncidentRow& row) const {
    const std::vector<std::uint32_t> dead = deaths(view_, facts_);
    std::optional<std::uint32_t> rank;
    if (!dead.empty() && facts_.ranks[dead.front()].disk_full)
      rank = dead.front();
    for (const record::FailureRow* failure : view_.failures) {
      if (!rank && failure->rank >= 0 && (failure->kind == "disk_full" || names_full_disk(failure->message)))
        rank = static_cast<std::uint32_t>(failure->rank);
    }
    if (!rank || *rank >= view_.rank_count())
      return false;
    row.kind = "disk_full";
    row.culprit = rank_name(view_, *rank);
    row.confidence = 0.9;
    row.cause = fmt::format("no room was left on the disk that {} writes to", rank_and_place(view_, *rank));
    if (*rank < facts_.ranks.size())
      row.began_utc_ns = facts_.ranks[*rank].utc_ns;
    return true;
  }

  [[nodiscard]] std::vector<std::uint32_t> ranks_on_lost_hosts() const {
    std::vector<std::uint32_t> ranks;
    for (std::uint32_t rank = 0; rank < view_.rank_count(); ++rank) {
      if (facts_.lost_hosts.contains(view_.host_of(rank)))
        ranks.push_back(rank);
    }
    return ranks;
  }

  bool blame_lost_hosts(IncidentRow& row) {
    const std::vector<std::uint32_t> ranks = ranks_on_lost_hosts();
    if (ranks.empty() && facts_.lost_hosts.empty())
      return false;
    if (ranks.empty()) {  // lost before it told that it takes part
      row.kind = "host_lost";
      row.culprit = "host " + *facts_.lost_hosts.begin();
      row.confidence = 0.8;
      row.cause = fmt::format("{} does not answer", row.culprit);
      return true;
    }
    const Place place = place_of(view_, ranks, true);
    std::set<std::string> hosts;
    for (const std::uint32_t rank : ranks)
      hosts.insert(view_.host_of(rank));
    if (place.scope == Scope::site && lost_at_once(view_, hosts)) {
      row.kind = "site_cut";
      row.culprit = place.name;
      row.confidence = 0.85;
      row.cause = fmt::format("all {} hosts of {} ceased to answer at once: its link or its power",
                              hosts.size(), place.name);
      return true;
    }
    row.kind = "host_lost";
    row.confidence = 0.95;
    row.culprit = "host " + *hosts.begin();
    row.cause = fmt::format("{} does not answer any more", row.culprit);
    // Each further host is a cause of its own.
    for (auto host = std::next(hosts.begin()); host != hosts.end(); ++host) {
      IncidentRow other = row;
      other.culprit = "host " + *host;
      other.cause = fmt::format("{} does not answer any more", other.culprit);
      other.first_symptom = other.cause;
      fill(other);
      found_.push_back(std::move(other));
    }
    return true;
  }

  bool blame_death(IncidentRow& row) const {
    const std::vector<std::uint32_t> dead = deaths(view_, facts_);
    if (dead.empty())
      return false;
    const std::uint32_t first = dead.front();
    const RankEnd& end = facts_.ranks[first];
    std::vector<std::uint32_t> together;
    for (const std::uint32_t rank : dead) {
      const RankEnd& other = facts_.ranks[rank];
      const bool same_time = end.utc_ns != 0 && other.utc_ns != 0 && other.utc_ns - end.utc_ns <= kTogetherNs;
      if (rank == first || (same_time && other.kind == end.kind && other.code == end.code &&
                            view_.host_of(rank) == view_.host_of(first)))
        together.push_back(rank);
    }
    std::sort(together.begin(), together.end());
    const Place place = place_of(view_, together);
    const bool one_host = place.scope == Scope::host;
    row.culprit = one_host ? place.name : rank_name(view_, first);
    // Without a time, which of several was first is a guess; and who sends SIGTERM to one, most often sends
    // it to all.
    const bool is_guess = dead.size() > together.size() &&
                          (end.utc_ns == 0 || (end.kind == RankEndKind::killed && end.code == SIGTERM));
    row.confidence = is_guess ? 0.5 : 0.95;
    row.began_utc_ns = end.utc_ns;
    const std::string who = one_host ? fmt::format("all {} ranks of {}", together.size(), place.name)
                                     : rank_and_place(view_, first);
    name_death(row, end, who, one_host, !view_.steps.empty());
    row.first_symptom = row.cause;
    if (dead.size() > together.size())
      row.cause += fmt::format("; {} more died after {}", dead.size() - together.size(),
                               together.size() > 1 ? "them" : "it");
    return true;
  }

  /// All processes live, and some are waited for.
  bool blame_missing(IncidentRow& row) const {
    if (!post_mortem_ || post_mortem_->verdict != PostMortem::Verdict::somebody_missing || somebody_silent())
      return false;
    row.kind = "hang";
    row.culprit = post_mortem_->culprit;
    row.confidence = post_mortem_->confidence;
    const bool stopped =
        std::any_of(post_mortem_->missing.begin(), post_mortem_->missing.end(), [this](std::uint32_t rank) {
          return rank < facts_.ranks.size() && facts_.ranks[rank].kind == RankEndKind::stopped;
        });
    const std::string who = row.culprit.empty() ? rank_list(post_mortem_->missing) : row.culprit;
    row.cause = stopped ? fmt::format("{} was stopped by a signal", who)
                        : fmt::format("{} did not go on, and all others waited", who);
    return true;
  }

  bool blame_transport(IncidentRow& row) const {
    if (!post_mortem_ || post_mortem_->verdict != PostMortem::Verdict::transport)
      return false;
    const bool between_sites =
        post_mortem_->op >= 0 && view_.spans_sites(static_cast<std::uint32_t>(post_mortem_->op));
    row.culprit = post_mortem_->culprit;
    row.confidence = post_mortem_->confidence;
    if (!post_mortem_->held_up.empty()) {
      row.kind = "hang";
      row.cause = fmt::format("{} was held up within a communication that every rank had entered",
                              row.culprit.empty() ? rank_list(post_mortem_->held_up) : row.culprit);
      return true;
    }
    if (between_sites && post_mortem_->link_dead) {
      row.kind = "site_cut";
      row.cause = fmt::format("the link {} carries nothing any more", row.culprit);
      return true;
    }
    const bool reported =
        std::any_of(view_.failures.begin(), view_.failures.end(),
                    [](const record::FailureRow* failure) { return failure->kind == "transport"; });
    row.kind = reported ? "transport_error" : "hang";
    row.cause = fmt::format("a communication {} that every rank had entered {}",
                            between_sites ? "between sites" : "inside a site",
                            reported ? "failed in the transport" : "did not complete");
    return true;
  }

  /// The launcher or the transport told of a death, and nobody saw the ends of those that others missed.
  [[nodiscard]] bool somebody_silent() const {
    const auto unseen = [this](std::uint32_t rank) {
      return rank >= facts_.ranks.size() || facts_.ranks[rank].kind == RankEndKind::unknown;
    };
    const std::vector<std::uint32_t> silent = silent_ranks(view_);
    return std::all_of(silent.begin(), silent.end(), unseen) &&
           (has_failure("killed") || has_failure("host_lost") || has_failure("transport"));
  }
  [[nodiscard]] bool has_failure(const char* kind) const {
    return std::any_of(view_.failures.begin(), view_.failures.end(),
                       [kind](const record::FailureRow* failure) { return failure->kind == kind; });
  }

  /// From the evidence alone: the launcher or the others' transport told of a death.
  bool blame_silent(IncidentRow& row) const {
    if (!somebody_silent())
      return false;
    std::vector<std::uint32_t> suspects = silent_ranks(view_);
    if (post_mortem_ && post_mortem_->verdict == PostMortem::Verdict::somebody_missing)
      std::erase_if(suspects, [this](std::uint32_t rank) {
        return !std::binary_search(post_mortem_->missing.begin(), post_mortem_->missing.end(), rank);
      });
    const Place place = place_of(view_, suspects);
    const bool clear = place.scope == Scope::rank || place.scope == Scope::host || place.scope == Scope::site;
    row.culprit = clear ? place.name : std::string{};
    row.confidence = clear ? 0.6 : 0.3;
    const char* sign = has_failure("host_lost") ? "host_lost"
                       : has_failure("killed")  ? "killed"
                                                : "transport";
    row.kind = sign == std::string_view("killed")      ? "rank_killed"
               : sign == std::string_view("transport") ? "transport_error"
                                                       : sign;
    const auto told_by = std::find_if(view_.failures.begin(), view_.failures.end(),
                                      [sign](const auto* failure) { return failure->kind == sign; });
    const std::string& told = (*told_by)->message;
    row.cause = clear ? fmt::format("{} fell silent: {}", place.name, told) : told;
    return true;
  }

  bool blame_launch(IncidentRow& row) const {
    if (!view_.steps.empty()) {
      if (!post_mortem_)
        return false;
      row.kind = "hang";
      row.culprit = post_mortem_->culprit;
      row.confidence = post_mortem_->confidence;
      row.cause = row.culprit.empty() ? "no rank went on" : row.culprit + " did not go on";
      return true;
    }
    row.kind = facts_.overdue_phase.empty() ? "launch_failed" : "hang";
    std::vector<std::uint32_t> missing;
    for (std::uint32_t rank = 0; rank < view_.rank_count(); ++rank) {
      if (view_.ranks[rank] == nullptr || view_.ranks[rank]->state == "missing")
        missing.push_back(rank);
    }
    const Place place = place_of(view_, missing);
    row.culprit = place.name;
    row.confidence =
        place.scope == Scope::rank || place.scope == Scope::host || place.scope == Scope::site ? 0.6 : 0.3;
    std::string why = view_.end != nullptr ? view_.end->message : std::string{};
    if (!facts_.overdue_phase.empty())
      why = fmt::format("it was still in {} when its time was up", facts_.overdue_phase);
    else if (why.empty() && facts_.exit_status)
      why = fmt::format("the launcher ended with {}", *facts_.exit_status);
    row.cause = fmt::format("no rank began a step{}{}", why.empty() ? "" : ": ", why);
    if (!missing.empty() && missing.size() < view_.rank_count())
      row.cause += fmt::format("; nothing was heard of {}", rank_list(missing));
    return true;
  }

  const LaunchView& view_;
  LaunchFacts facts_;
  std::optional<PostMortem> post_mortem_;
  std::vector<IncidentRow> found_;
};

}  // namespace

bool spoils_only(const std::string& kind) {
  return kind == "wrong_data" || kind == "silent_data_corruption" || kind == "device_error";
}

std::vector<IncidentRow> find_incidents(const LaunchView& view, const LaunchFacts& facts) {
  return Finder(view, facts).run();
}

}  // namespace lockstep::watch
