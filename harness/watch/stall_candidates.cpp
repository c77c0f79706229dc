#include "harness/watch/stall_candidates.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "harness/core/units.hpp"
#include "harness/watch/names.hpp"
#include "harness/watch/stall_links.hpp"

namespace lockstep::watch {
namespace {

/// Ranks share the blame when they have at least this share of what the worst has.
constexpr double kSharesBlame = 0.5;
/// A figure that explains less of the extra time than this is not worth a word.
constexpr double kWorthTelling = 0.1;
constexpr double kAboutAsLong = 0.8;
/// Two parts of a step that each explain this share of the extra time took place at the same time: one after
/// the other they would have made it longer.
constexpr double kAtTheSameTime = 0.75;

std::string time_text(double ns) {
  return format_seconds(ns / kNsPerS);
}

class Explainer {
 public:
  Explainer(const LaunchView& view, const StepParts& step, const UsualStep& usual, ArrivalRule rule,
            double extra_ns, StepSpan span)
      : view_(view), step_(step), usual_(usual), rule_(rule), extra_ns_(extra_ns), span_(span) {
    const std::size_t ranks = step.ranks.size();
    std::vector<double> waited(ranks);
    double most = 0.0;
    double spread = 0.0;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const Usual& figure = usual.ranks[rank].waited;
      waited[rank] = static_cast<double>(step.ranks[rank].waited_ns) - figure.median;
      if (rank == 0 || waited[rank] > most) {
        most = waited[rank];
        spread = figure.spread;
      }
    }
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      own_.push_back(usual.ranks[rank].own.beyond(step.ranks[rank].own_ns()));
      late_.push_back(std::max(0.0, most - waited[rank] - 3.0 * spread));
    }
  }

  std::vector<Candidate> run() {
    blame_ranks();
    blame_everybody();
    blame_pause();
    blame_late_launch();
    blame_network("slow_lan", step_.lan_ns, usual_.lan, false);
    blame_network("slow_wan", step_.wan_ns, usual_.wan, true);
    blame_held_up_rank();
    // Whoever explains all of it explains it: what lies hidden behind computing may be longer still.
    std::stable_sort(found_.begin(), found_.end(), [this](const Candidate& a, const Candidate& b) {
      return std::min(a.explained_ns, extra_ns_) > std::min(b.explained_ns, extra_ns_);
    });
    return std::move(found_);
  }

 private:
  using Figures = std::vector<double>;

  [[nodiscard]] std::vector<std::uint32_t> sharing(const Figures& blame) const {
    const double most = *std::max_element(blame.begin(), blame.end());
    std::vector<std::uint32_t> ranks;
    for (std::uint32_t rank = 0; rank < blame.size(); ++rank) {
      if (blame[rank] >= kSharesBlame * most)
        ranks.push_back(rank);
    }
    return ranks;
  }

  void add(Candidate candidate) {
    if (candidate.explained_ns >= kWorthTelling * extra_ns_)
      found_.push_back(std::move(candidate));
  }

  /// The first communication in which others waited for the rank about as long as in any.
  [[nodiscard]] std::int32_t awaited_op(std::uint32_t rank) const {
    const auto waited_for_it = [&](const OpParts& entry) {
      return entry.last == rank ? static_cast<double>(entry.waited_ns) - usual_.ops.at(entry.op).waited.median
                                : 0.0;
    };
    double most = 0.0;
    for (const OpParts& entry : step_.ops)
      most = std::max(most, waited_for_it(entry));
    for (const OpParts& entry : step_.ops) {
      if (most > 0.0 && waited_for_it(entry) >= kAboutAsLong * most)
        return static_cast<std::int32_t>(entry.op);
    }
    return -1;
  }

  /// What the rank's own time went into beyond the usual, in words; `computed` when it was mostly that.
  [[nodiscard]] std::string own_text(std::uint32_t rank, bool& computed) const {
    const RankParts& now = step_.ranks[rank];
    const UsualStep::Rank& usual = usual_.ranks[rank];
    const double compute = static_cast<double>(now.compute_ns) - usual.compute.median;
    const double gap = static_cast<double>(now.gap_ns) - usual.gap.median;
    const double other = static_cast<double>(now.other_ns) - usual.other.median;
    computed = compute >= gap && compute >= other;
    const auto words = [](const char* what, std::int64_t value, double median) {
      return fmt::format("{} {} (usually {})", what, time_text(static_cast<double>(value)),
                         time_text(median));
    };
    if (computed)
      return words("computed", now.compute_ns, usual.compute.median);
    if (gap >= other)
      return words("spent", now.gap_ns, usual.gap.median) + " between two steps" + checkpoint_text(rank);
    return words("spent", now.other_ns, usual.other.median) + " neither computing nor in communication";
  }

  [[nodiscard]] std::string checkpoint_text(std::uint32_t rank) const {
    for (const record::StepRow* row : view_.steps_of(step_.step)) {
      if (row->rank != rank)
        continue;
      const std::int64_t gap_begin_ns = row->begin_ns - step_.ranks[rank].gap_ns;
      for (const record::CheckpointRow* saved : view_.checkpoints) {
        if (saved->rank == rank && saved->begin_ns < row->begin_ns && saved->end_ns > gap_begin_ns)
          return fmt::format(", {} of them {} a checkpoint",
                             time_text(static_cast<double>(saved->end_ns - saved->begin_ns)),
                             saved->action == "load" ? "loading" : "saving");
      }
    }
    return {};
  }

  /// Ranks that took longer by themselves while others waited for them.
  void blame_ranks() {
    const bool alone = own_.size() == 1;
    Figures blame;
    for (std::size_t rank = 0; rank < own_.size(); ++rank)
      blame.push_back(alone ? own_[rank] : std::min(own_[rank], late_[rank]));
    const auto worst =
        static_cast<std::uint32_t>(std::max_element(blame.begin(), blame.end()) - blame.begin());
    if (blame[worst] <= 0.0)
      return;
    Candidate candidate{.cause = {}, .culprit = {}, .ranks = sharing(blame), .why = {}};
    candidate.explained_ns = blame[worst];
    candidate.op = awaited_op(worst);
    bool computed = false;
    const std::string own = own_text(worst, computed);
    const Place place = place_of(view_, candidate.ranks);
    const bool together = place.scope == Scope::host || place.scope == Scope::site;
    candidate.cause = together || !computed ? "slow_host" : "slow_compute";
    candidate.culprit = place.scope == Scope::all ? std::string{} : place.name;
    candidate.certainty = place.scope == Scope::several ? 0.6 : 0.95;
    candidate.why = fmt::format("{} {}", rank_name(view_, worst), own);
    if (together)
      candidate.why = fmt::format("all {} ranks of {} took longer: {}", candidate.ranks.size(), place.name,
                                  candidate.why);
    if (!alone)
      candidate.why += fmt::format("; others waited {} longer than usual for {}", time_text(late_[worst]),
                                   candidate.ranks.size() > 1 ? "them" : "it");
    add(std::move(candidate));
  }

  /// All ranks took longer by themselves: no rank among them is the cause.
  void blame_everybody() {
    if (own_.size() < 2)
      return;
    double least = -1.0;
    std::uint32_t least_rank = 0;
    for (std::uint32_t rank = 0; rank < own_.size(); ++rank) {
      const RankParts& now = step_.ranks[rank];
      const UsualStep::Rank& usual = usual_.ranks[rank];
      const double own = usual.compute.beyond(now.compute_ns) + usual.other.beyond(now.other_ns);
      if (least < 0.0 || own < least) {
        least = own;
        least_rank = rank;
      }
    }
    bool computed = false;
    const std::string own = own_text(least_rank, computed);
    const std::vector<std::string> sites = view_.sites();
    Candidate candidate{
        .cause = computed ? "slow_compute" : "unknown", .culprit = {}, .ranks = {}, .why = {}};
    candidate.explained_ns = least;
    candidate.certainty = 0.6;
    if (computed && sites.size() == 1)
      candidate.culprit = "site " + sites.front();
    candidate.why = fmt::format("{} ranks took longer by themselves; the least, {}, {}",
                                own_.size() == 2 ? "both" : fmt::format("all {}", own_.size()),
                                rank_name(view_, least_rank), own);
    add(std::move(candidate));
  }

  /// All ranks stood still together between two steps, where they vote whether to go on and see that all have
  /// saved a checkpoint: small communications over all sites, of which no stamp tells.
  void blame_pause() {
    if (span_ != StepSpan::end_to_end || step_.ranks.size() < 2)
      return;
    std::int64_t before_ns = 0;
    std::int64_t least_ns = INT64_MAX;
    for (std::size_t rank = 0; rank < step_.ranks.size(); ++rank) {
      const std::int64_t gap_ns = step_.ranks[rank].gap_ns;
      before_ns = std::max(before_ns, gap_ns);
      least_ns = std::min(
          least_ns, gap_ns - step_.saving_ns - static_cast<std::int64_t>(usual_.ranks[rank].gap.median));
    }
    Candidate candidate{.cause = "unknown", .culprit = {}, .ranks = {}, .why = {}};
    candidate.explained_ns = static_cast<double>(least_ns);
    candidate.certainty = 0.6;
    candidate.why = fmt::format("all {} ranks stood still together between two steps for {}",
                                step_.ranks.size(), time_text(static_cast<double>(least_ns)));
    if (view_.sites().size() > 1) {
      const LinkSuspicion suspicion = suspect_links(view_, step_.step, before_ns, extra_ns_);
      if (!suspicion.why.empty()) {
        candidate.cause = "slow_wan";
        candidate.culprit = suspicion.culprit;
        candidate.certainty = suspicion.culprit.empty() ? 0.6 : 0.9;
        candidate.why += "; " + suspicion.why;
      }
    }
    add(std::move(candidate));
  }

  /// A rank entered a communication late, though it had neither worked nor waited for longer than usual.
  void blame_late_launch() {
    if (own_.size() < 2)
      return;
    Figures blame;
    for (std::size_t rank = 0; rank < own_.size(); ++rank) {
      const RankParts& now = step_.ranks[rank];
      const UsualStep::Rank& usual = usual_.ranks[rank];
      const double own = static_cast<double>(now.own_ns()) - usual.own.median;
      const double moved = std::max(static_cast<double>(now.lan_ns) - usual.lan.median,
                                    static_cast<double>(now.wan_ns) - usual.wan.median);
      blame.push_back(std::max(0.0, late_[rank] - std::max(0.0, own) - std::max(0.0, moved)));
    }
    const auto worst =
        static_cast<std::uint32_t>(std::max_element(blame.begin(), blame.end()) - blame.begin());
    if (blame[worst] <= 0.0)
      return;
    Candidate candidate{.cause = "late_launch", .culprit = {}, .ranks = sharing(blame), .why = {}};
    const Place place = place_of(view_, candidate.ranks);
    candidate.culprit = place.name;
    candidate.explained_ns = blame[worst];
    // By the shortest time alone, a rank that merely left the communication early looks the same.
    candidate.certainty = rule_ == ArrivalRule::common_clock ? 0.85 : 0.6;
    if (place.scope == Scope::several)
      candidate.certainty *= 0.6;
    candidate.op = awaited_op(worst);
    const std::string op =
        candidate.op < 0 ? "communication" : view_.op_name(static_cast<std::uint32_t>(candidate.op));
    candidate.why = fmt::format("{} entered {} late by {} though its own work took no longer than usual",
                                rank_name(view_, worst), op, time_text(blame[worst]));
    add(std::move(candidate));
  }

  void blame_network(const char* cause, std::int64_t moved_ns, const Usual& usual, bool between_sites) {
    Candidate candidate{.cause = cause, .culprit = {}, .ranks = {}, .why = {}};
    candidate.explained_ns = usual.beyond(moved_ns);
    if (candidate.explained_ns < kWorthTelling * extra_ns_)
      return;
    const OpParts* worst = nullptr;
    double most = 0.0;
    for (const OpParts& entry : step_.ops) {
      const double extra = static_cast<double>(entry.moving_ns) - usual_.ops.at(entry.op).moving.median;
      if (view_.spans_sites(entry.op) == between_sites && (worst == nullptr || extra > most)) {
        worst = &entry;
        most = extra;
      }
    }
    if (worst == nullptr)
      return;
    candidate.op = static_cast<std::int32_t>(worst->op);
    candidate.why = fmt::format(
        "communication {} moved for {} (usually {}) after every rank had joined it, most in {}",
        between_sites ? "between sites" : "inside a site", time_text(static_cast<double>(moved_ns)),
        time_text(usual.median), view_.op_name(worst->op));
    if (between_sites)
      name_link(candidate, *worst);
    else
      name_site(candidate, *worst);
    add(std::move(candidate));
  }

  void name_site(Candidate& candidate, const OpParts& op) const {
    candidate.certainty = 0.85;
    const auto part = view_.part_of(op.op, op.slowest);
    const std::string& site = view_.site_of(op.slowest);
    const std::string& host = view_.host_of(op.slowest);
    const bool on_one_host = std::all_of(part.begin(), part.end(),
                                         [&](std::uint32_t rank) { return view_.host_of(rank) == host; });
    bool host_is_of_site = true;
    for (std::uint32_t rank = 0; rank < view_.rank_count(); ++rank)
      host_is_of_site = host_is_of_site && (view_.host_of(rank) != host || view_.site_of(rank) == site);
    if (on_one_host && host_is_of_site && !host.empty())
      candidate.culprit = "host " + host;
    else if (!site.empty())
      candidate.culprit = "site " + site;
  }

  void name_link(Candidate& candidate, const OpParts& op) const {
    std::vector<std::string> sites;
    for (const std::uint32_t rank : view_.part_of(op.op, op.slowest)) {
      const std::string& site = view_.site_of(rank);
      if (!site.empty() && std::find(sites.begin(), sites.end(), site) == sites.end())
        sites.push_back(site);
    }
    const LinkSuspicion suspicion = suspect_links(view_, step_.step, 0, extra_ns_);
    candidate.certainty = 0.8;
    if (!suspicion.why.empty()) {
      candidate.why += "; " + suspicion.why;
      candidate.certainty = suspicion.culprit.empty() ? 0.6 : 0.95;
    } else if (suspicion.asked) {
      // A few probes a second miss most single lost packets.
      candidate.why += "; probes between the sites saw nothing unusual in that time";
      candidate.certainty = 0.65;
    }
    if (!suspicion.culprit.empty()) {
      candidate.culprit = suspicion.culprit;
      return;
    }
    candidate.culprit = between(sites);
    if (sites.size() > 2) {
      candidate.certainty = std::min(candidate.certainty, 0.6);
      candidate.why += "; which pair of sites, a communication over all of them does not tell";
    }
  }

  /// A rank that is held up in the midst of a communication holds up all that take part: their transfers
  /// look slow. What gives it away is that its computing took longer as well, which no network brings about.
  void blame_held_up_rank() {
    const double moved = std::max(usual_.lan.beyond(step_.lan_ns), usual_.wan.beyond(step_.wan_ns));
    if (own_.size() < 2 || moved < kAtTheSameTime * extra_ns_)
      return;
    Figures blame;
    for (std::size_t rank = 0; rank < own_.size(); ++rank)
      blame.push_back(usual_.ranks[rank].compute.beyond(step_.ranks[rank].compute_ns));
    const auto worst =
        static_cast<std::uint32_t>(std::max_element(blame.begin(), blame.end()) - blame.begin());
    // Transfers that are far longer than the computing were long by themselves.
    if (blame[worst] < kAtTheSameTime * extra_ns_ || moved > 1.5 * blame[worst])
      return;
    Candidate candidate{.cause = {}, .culprit = {}, .ranks = sharing(blame), .why = {}};
    const Place place = place_of(view_, candidate.ranks);
    if (place.scope == Scope::all || place.scope == Scope::several)
      return;
    bool computed = false;
    const std::string own = own_text(worst, computed);
    candidate.cause = place.scope == Scope::rank ? "slow_compute" : "slow_host";
    candidate.culprit = place.name;
    candidate.explained_ns = std::min(blame[worst], extra_ns_);
    candidate.certainty = 0.65;
    candidate.why = fmt::format(
        "{} {} while a communication that every rank had joined took {} longer: it was held up within it",
        rank_name(view_, worst), own, time_text(moved));
    std::erase_if(found_, [&candidate](const Candidate& other) {
      return other.cause == "slow_lan" || other.cause == "slow_wan" || other.culprit == candidate.culprit;
    });
    add(std::move(candidate));
  }

  const LaunchView& view_;
  const StepParts& step_;
  const UsualStep& usual_;
  ArrivalRule rule_;
  double extra_ns_;
  StepSpan span_;
  Figures own_;   // beyond the usual, by rank
  Figures late_;  // others waited for this rank longer than usual, by rank
  std::vector<Candidate> found_;
};

}  // namespace

std::vector<Candidate> explain_step(const LaunchView& view, const StepParts& step, const UsualStep& usual,
                                    ArrivalRule rule, double extra_ns, StepSpan span) {
  return Explainer(view, step, usual, rule, extra_ns, span).run();
}

}  // namespace lockstep::watch
