#include "harness/watch/post_mortem.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "harness/core/units.hpp"
#include "harness/watch/last_words.hpp"
#include "harness/watch/names.hpp"

namespace lockstep::watch {
namespace {

/// One communication of one step in one part of its group.
struct Meeting {
  std::uint32_t step = 0;
  std::uint32_t op = 0;
  std::vector<std::uint32_t> group;
  std::vector<const record::CommRow*> waiting;
  std::vector<std::uint32_t> missing;
};

class Examiner {
 public:
  Examiner(const LaunchView& view, const LaunchFacts& facts) : view_(view), facts_(facts) {}

  std::optional<PostMortem> run() {
    if (view_.leg == nullptr || (view_.end != nullptr && view_.end->outcome == "completed"))
      return std::nullopt;
    std::uint32_t first = UINT32_MAX;
    completed_ = completed_by_rank(view_);
    for (std::uint32_t rank = 0; rank < view_.rank_count(); ++rank) {
      if (left_a_journal(view_, rank))
        first = std::min(first, completed_[rank]);
    }
    if (first == UINT32_MAX || (view_.steps.empty() && view_.comms.empty() && view_.ops.empty()))
      return std::nullopt;
    const std::optional<Meeting> meeting = first_unfinished(first);
    if (!meeting)
      return nobody_began(first);
    return describe(*meeting);
  }

 private:
  /// The meeting that a row belongs to.
  [[nodiscard]] Meeting meeting_of(const record::CommRow& row) const {
    Meeting meeting{.step = row.step, .op = row.op, .group = {}, .waiting = {}, .missing = {}};
    const auto part = view_.part_of(row.op, row.rank);
    meeting.group.assign(part.begin(), part.end());
    std::set<std::uint32_t> entered;
    for (const record::CommRow* other : view_.comms_of(row.step)) {
      if (other->op != row.op || !std::binary_search(part.begin(), part.end(), other->rank))
        continue;
      entered.insert(other->rank);
      if (other->end_ns == 0)
        meeting.waiting.push_back(other);
    }
    for (const std::uint32_t rank : part) {
      if (!entered.contains(rank))
        meeting.missing.push_back(rank);
    }
    return meeting;
  }

  /// Ranks enter their communications in the graph's order, so whoever never entered the first of those that
  /// are open waits in no other: it is the root.
  [[nodiscard]] std::optional<Meeting> first_unfinished(std::uint32_t first) const {
    for (const record::CommRow* row : view_.comms) {  // by step, then op
      if (row->step >= first && row->end_ns == 0 && view_.is_communication(row->op))
        return meeting_of(*row);
    }
    return std::nullopt;
  }

  [[nodiscard]] const RankEnd* fact(std::uint32_t rank) const {
    return rank < facts_.ranks.size() ? &facts_.ranks[rank] : nullptr;
  }

  /// What became of the process; empty when nobody saw it.
  [[nodiscard]] std::string process_text(std::uint32_t rank) const {
    if (facts_.lost_hosts.contains(view_.host_of(rank)))
      return "its host does not answer";
    const RankEnd* end = fact(rank);
    if (end == nullptr)
      return {};
    switch (end->kind) {
      case RankEndKind::unknown:
        return {};
      case RankEndKind::running:
        return "its process was alive";
      case RankEndKind::stopped:
        return "its process is stopped (state T)";
      case RankEndKind::exited:
        return fmt::format("its process had exited with code {}", end->code);
      case RankEndKind::killed:
        return end->on_request ? std::string("its process was alive until this run ended it")
                               : fmt::format("its process was killed by signal {}", end->code);
    }
    return {};
  }

  /// The last op that the rank is known to have begun.
  [[nodiscard]] std::string seen_text(std::uint32_t rank) const {
    if (!left_a_journal(view_, rank))
      return "which left no journal";
    const record::OpRow* last = nullptr;
    for (const record::OpRow* row : view_.ops) {
      if (row->rank == rank && (last == nullptr || row->begin_ns >= last->begin_ns))
        last = row;
    }
    const std::uint32_t completed = completed_[rank];
    if (last != nullptr && last->step >= completed) {
      const std::string name = view_.op_name(last->op);
      if (last->end_ns == 0)
        return fmt::format("which was last seen {} {} of step {}",
                           view_.is_communication(last->op) ? "in" : "computing", name, last->step);
      return fmt::format("which was last seen after {} of step {}", name, last->step);
    }
    if (completed == 0)
      return "which had not begun its first step";
    return fmt::format("which had completed step {} and not begun the next", completed - 1);
  }

  [[nodiscard]] std::string missing_text(const std::vector<std::uint32_t>& missing) const {
    std::string text;
    const std::size_t described = missing.size() > 2 ? 1 : missing.size();
    if (missing.size() > 2) {
      const Place place = place_of(view_, missing, true);
      text = place.name.empty() ? rank_list(missing) : fmt::format("{} ({})", rank_list(missing), place.name);
      text += ", of which ";
    }
    for (std::size_t i = 0; i < described; ++i) {
      const std::uint32_t rank = missing[i];
      if (i > 0)
        text += " and for ";
      text += rank_and_place(view_, rank) + ", " + seen_text(rank);
      if (const std::string process = process_text(rank); !process.empty())
        text += "; " + process;
    }
    return text;
  }

  [[nodiscard]] std::int64_t known_utc_ns() const {
    std::int64_t earliest = 0;
    for (const record::FailureRow* row : view_.failures) {
      const bool gave_up = row->kind == "deadline" || row->kind == "transport" || row->kind == "device";
      if (row->rank >= 0 && row->utc_ns > 0 && gave_up)
        earliest = earliest == 0 ? row->utc_ns : std::min(earliest, row->utc_ns);
    }
    if (earliest == 0)
      earliest = facts_.detected_utc_ns;
    return earliest == 0 && view_.end != nullptr ? view_.end->ended_utc_ns : earliest;
  }

  void add_times(PostMortem& found, const Meeting& meeting) const {
    for (const record::CommRow* row : meeting.waiting) {
      const auto utc = view_.to_utc_ns(row->rank, row->begin_ns);
      if (utc && (found.began_utc_ns == 0 || *utc < found.began_utc_ns))
        found.began_utc_ns = *utc;
    }
    const std::int64_t known = known_utc_ns();
    if (found.began_utc_ns != 0 && known > found.began_utc_ns)
      found.waited_s = seconds_from_ns(known - found.began_utc_ns);
  }

  [[nodiscard]] std::string where(const PostMortem& found) const {
    const record::GraphRow& op = *view_.graph[static_cast<std::size_t>(found.op)];
    return fmt::format("step {}, {} ({} over {}{})", found.step, view_.op_name(op.op), op.kind, op.group,
                       op.spans_sites != 0 ? ", between sites" : "");
  }

  [[nodiscard]] PostMortem describe(const Meeting& meeting) const {
    PostMortem found;
    found.step = meeting.step;
    found.op = static_cast<std::int32_t>(meeting.op);
    found.group = meeting.group;
    found.missing = meeting.missing;
    for (const record::CommRow* row : meeting.waiting)
      found.waiting.push_back(row->rank);
    add_times(found, meeting);
    const std::string waited = found.waited_s ? fmt::format(" {}", format_seconds(*found.waited_s)) : "";
    if (!found.missing.empty()) {
      found.verdict = PostMortem::Verdict::somebody_missing;
      const Place place = place_of(view_, found.missing);
      found.culprit = place.name;
      found.confidence = place.scope == Scope::several || place.scope == Scope::all ? 0.5 : 0.85;
      const bool stopped =
          std::all_of(found.missing.begin(), found.missing.end(), [this](std::uint32_t rank) {
            const RankEnd* end = fact(rank);
            return end != nullptr && end->kind == RankEndKind::stopped;
          });
      if (stopped)
        found.confidence = 0.97;
      found.symptom = fmt::format("{}: {} never entered it", where(found), named(found.missing));
      found.paragraph = fmt::format("{}: {} of {} ranks waited{} for {}.", where(found), found.waiting.size(),
                                    found.group.size(), waited, missing_text(found.missing));
      return found;
    }
    found.verdict = PostMortem::Verdict::transport;
    found.symptom = fmt::format("{}: all {} ranks entered it, {} did not complete it", where(found),
                                found.group.size(), found.waiting.size());
    found.paragraph =
        fmt::format("{}: all {} ranks entered it, and it did not complete on {}{}.", where(found),
                    found.group.size(), rank_list(found.waiting), waited.empty() ? "" : " for" + waited);
    blame_transport(found, meeting);
    return found;
  }

  [[nodiscard]] std::string named(const std::vector<std::uint32_t>& ranks) const {
    const Place place = place_of(view_, ranks);
    return place.name.empty() ? rank_list(ranks) : place.name;
  }

  /// Ranks of the group that told nothing of it. Where most told of this very communication, so should have
  /// the others: a process that goes on when all is over tells of something else at best.
  [[nodiscard]] std::vector<std::uint32_t> untold(const PostMortem& found) const {
    std::vector<std::uint32_t> without;
    for (const std::uint32_t rank : found.group) {
      const bool told = std::any_of(view_.failures.begin(), view_.failures.end(), [&](const auto* failure) {
        return failure->rank == static_cast<std::int32_t>(rank) && failure->op >= 0 &&
               failure->step == static_cast<std::int32_t>(found.step);
      });
      if (!told)
        without.push_back(rank);
    }
    if (2 * without.size() < found.group.size())
      return without;
    const std::vector<std::uint32_t> silent = silent_ranks(view_);
    without.clear();
    std::set_intersection(found.group.begin(), found.group.end(), silent.begin(), silent.end(),
                          std::back_inserter(without));
    return without;
  }

  /// A process that stands still within a transfer holds up the transfer: no transport is at fault.
  bool blame_held_up(PostMortem& found) const {
    for (const std::uint32_t rank : found.group) {
      const RankEnd* end = fact(rank);
      if (end != nullptr && end->kind == RankEndKind::stopped)
        found.held_up.push_back(rank);
    }
    if (!found.held_up.empty()) {
      found.culprit = place_of(view_, found.held_up).name;
      found.confidence = 0.9;
      found.paragraph += fmt::format(" The process of {} is stopped (state T).", rank_list(found.held_up));
      return true;
    }
    found.held_up = untold(found);
    const Place place = place_of(view_, found.held_up);
    if (found.held_up.empty() || place.scope == Scope::all || 2 * found.held_up.size() > found.group.size()) {
      found.held_up.clear();
      return false;
    }
    found.culprit = place.name;
    found.confidence = place.scope == Scope::several ? 0.4 : 0.75;
    found.paragraph += fmt::format(
        " The others told that their deadline had passed; {} did not: it stood still within the transfer.",
        rank_list(found.held_up));
    return true;
  }

  void blame_transport(PostMortem& found, const Meeting& meeting) const {
    std::vector<std::string> sites;
    for (const std::uint32_t rank : found.group) {
      const std::string& site = view_.site_of(rank);
      if (!site.empty() && std::find(sites.begin(), sites.end(), site) == sites.end())
        sites.push_back(site);
    }
    if (blame_held_up(found))
      return;
    if (sites.size() < 2) {
      found.culprit = sites.empty() ? "" : "site " + sites.front();
      found.confidence = 0.5;
      found.paragraph += " Nobody was missing: the transport inside the site is at fault.";
      return;
    }
    std::int64_t since_ns = INT64_MIN;
    for (const record::CommRow* row : meeting.waiting)
      since_ns = std::max(since_ns, view_.clocks[row->rank].to_common_ns(row->begin_ns));
    const std::vector<std::string> dead = dead_links(view_, since_ns);
    found.culprit = between(sites);
    found.confidence = sites.size() == 2 ? 0.6 : 0.4;
    found.paragraph += " Nobody was missing: the transport between the sites is at fault.";
    if (dead.empty())
      return;
    found.link_dead = true;
    found.confidence = dead.size() == 1 ? 0.95 : 0.7;
    if (dead.size() == 1)
      found.culprit = dead.front();
    found.paragraph += fmt::format(" No probe was answered any more between {}.", fmt::join(dead, "; "));
  }

  [[nodiscard]] PostMortem nobody_began(std::uint32_t first) const {
    PostMortem found;
    found.verdict = PostMortem::Verdict::nobody_began;
    found.step = first;
    for (std::uint32_t rank = 0; rank < view_.rank_count(); ++rank) {
      if (!left_a_journal(view_, rank) || completed_[rank] == first)
        found.missing.push_back(rank);
    }
    const Place place = place_of(view_, found.missing);
    found.culprit = place.name;
    found.confidence = place.scope == Scope::rank || place.scope == Scope::host ? 0.5 : 0.2;
    found.symptom = fmt::format("step {}: {} did not complete it, and no rank waits in a communication",
                                first, rank_list(found.missing));
    found.paragraph =
        fmt::format("step {}: no rank is known to wait in a communication; not through with it: {}.", first,
                    missing_text(found.missing));
    return found;
  }

  const LaunchView& view_;
  const LaunchFacts& facts_;
  std::vector<std::uint32_t> completed_;
};

}  // namespace

std::optional<PostMortem> post_mortem(const LaunchView& view, const LaunchFacts& facts) {
  return Examiner(view, facts).run();
}

}  // namespace lockstep::watch
