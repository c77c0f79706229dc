#include "tests/watch/synthetic_launch.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "harness/stats/random.hpp"
#include "harness/step/stamps.hpp"
#include "harness/watch/launch_view.hpp"
#include "tests/stats/synthetic.hpp"

namespace lockstep::tests {
namespace {

using namespace record;

struct Shape {
  const char* name;
  const char* kind;
  const char* phase;
  const char* group;
  std::vector<std::uint32_t> after;
};

const std::array<Shape, kSyntheticOps>& shapes() {
  static const std::array<Shape, kSyntheticOps> all{
      {{"layer0.forward", "gemm", "forward", "", {}},
       {"layer0.activations", "all_reduce", "forward", "tensor_parallel", {kForward}},
       {"layer0.backward", "gemm", "backward", "", {kActivations}},
       {"bucket0.all_reduce", "all_reduce", "backward", "data_parallel", {kBackward}},
       {"layer1.backward", "gemm", "backward", "", {kBackward}},
       {"bucket1.all_reduce", "all_reduce", "backward", "data_parallel", {kBackward2}},
       {"adam", "update", "optimizer", "", {kBucket0, kBucket1}}}};
  return all;
}

bool is_comm(std::uint32_t op) {
  return shapes()[op].group[0] != '\0';
}

std::int64_t ns(double seconds) {
  return std::llround(seconds * 1e9);
}

class Simulation {
 public:
  explicit Simulation(const SyntheticLaunch& launch) : launch_(launch) {
    for (const SyntheticHost& host : launch.hosts)
      for (std::uint32_t i = 0; i < host.ranks; ++i)
        hosts_.push_back(&host);
    ranks_ = static_cast<std::uint32_t>(hosts_.size());
    now_s_.assign(ranks_, 1.0);
  }

  Evidence run(double hung_s) {
    describe();
    const std::uint32_t count = launch_.warmup_steps + launch_.steps;
    for (std::uint32_t step = 0; step < count && !hung_; ++step)
      run_step(step, step + launch_.stamped_steps >= count);
    double end_s = last_s_;
    if (hung_)
      end_s += hung_s;
    if (launch_.clocks)
      for (std::uint32_t rank = 0; rank < ranks_; ++rank)
        for (const double at_s : {0.5, end_s + 0.1})
          add_clock(rank, at_s);
    for (RankRow& row : evidence_.ranks)
      row.state = hung_ ? "partial" : "complete";
    if (launch_.probes_per_s > 0.0)
      add_probes(end_s);
    evidence_.leg_ends.push_back({.leg = 0,
                                  .outcome = hung_ ? "failed" : "completed",
                                  .journals = ranks_,
                                  .complete_journals = hung_ ? 0 : ranks_,
                                  .ended_utc_ns = kSyntheticUtcNs + ns(end_s),
                                  .message = {}});
    return std::move(evidence_);
  }

 private:
  void describe() {
    LegRow leg;
    leg.name = "joint";
    leg.kind = "joint";
    leg.ranks = ranks_;
    leg.warmup_steps = launch_.warmup_steps;
    leg.steps = launch_.steps;
    leg.launched_utc_ns = kSyntheticUtcNs;
    evidence_.legs.push_back(leg);
    for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
      RankRow row;
      row.rank = rank;
      row.site = hosts_[rank]->site;
      row.host = hosts_[rank]->name;
      evidence_.ranks.push_back(row);
      if (launch_.utc && (rank == 0 || hosts_[rank] != hosts_[rank - 1]))
        evidence_.provenance.push_back({0, static_cast<std::int32_t>(rank), watch::kUtcOffsetKey,
                                        fmt::format("{}", kSyntheticUtcNs + clock_offset_ns(rank))});
    }
    const bool two_sites = hosts_.front()->site != hosts_.back()->site;
    for (std::uint32_t op = 0; op < kSyntheticOps; ++op) {
      const Shape& shape = shapes()[op];
      GraphRow row;
      row.op = op;
      row.name = shape.name;
      row.kind = shape.kind;
      row.phase = shape.phase;
      row.stream = is_comm(op) ? "communication" : "compute";
      row.group = shape.group;
      if (is_comm(op))
        row.group_ranks = op == kActivations ? launch_.tensor_parallel : ranks_ / launch_.tensor_parallel;
      row.spans_sites = is_comm(op) && op != kActivations && two_sites ? 1 : 0;
      for (const std::uint32_t other : shape.after)
        row.after += (row.after.empty() ? "" : ",") + std::to_string(other);
      evidence_.graph.push_back(row);
    }
  }

  /// Clocks of one host are one clock; no two hosts' agree. Common time is rank 0's.
  [[nodiscard]] std::int64_t clock_offset_ns(std::uint32_t rank) const {
    std::int64_t host = 0;
    for (std::uint32_t i = 1; i <= rank; ++i)
      host += hosts_[i] == hosts_[i - 1] ? 0 : 1;
    return -7'000'000'000'123 * host;
  }
  [[nodiscard]] std::int64_t local_ns(std::uint32_t rank, double at_s) const {
    return ns(at_s) - clock_offset_ns(rank);
  }

  void add_clock(std::uint32_t rank, double at_s) {
    evidence_.clock.push_back({.leg = 0,
                               .rank = rank,
                               .local_ns = local_ns(rank, at_s),
                               .offset_ns = clock_offset_ns(rank),
                               .bound_ns = ns(launch_.clock_bound_s)});
  }

  void add_probes(double end_s) {
    std::vector<std::uint32_t> firsts;
    for (std::uint32_t rank = 0; rank < ranks_; ++rank)
      if (rank == 0 || hosts_[rank]->site != hosts_[rank - 1]->site)
        firsts.push_back(rank);
    const auto sent = static_cast<std::uint32_t>(std::max(1.0, launch_.probes_per_s));
    for (double at_s = 0.6; at_s < end_s; at_s += 1.0)
      for (std::size_t i = 0; i < firsts.size(); ++i)
        for (std::size_t j = i + 1; j < firsts.size(); ++j) {
          const std::int64_t clocks_differ_ns = clock_offset_ns(firsts[i]) - clock_offset_ns(firsts[j]);
          evidence_.probes.push_back({.leg = 0,
                                      .rank = firsts[i],
                                      .peer = firsts[j],
                                      .begin_ns = local_ns(firsts[i], at_s),
                                      .end_ns = local_ns(firsts[i], at_s + 1.0),
                                      .sent = sent,
                                      .lost = 0,
                                      .rtt_min_ns = 9'800'000,
                                      .rtt_mean_ns = 10'000'000,
                                      .rtt_max_ns = 10'400'000,
                                      .received = sent,
                                      .out_min_ns = 4'900'000 + clocks_differ_ns,
                                      .out_max_ns = 5'200'000 + clocks_differ_ns,
                                      .back_min_ns = 4'900'000 - clocks_differ_ns,
                                      .back_max_ns = 5'200'000 - clocks_differ_ns});
        }
  }

  [[nodiscard]] double noisy(double seconds) {
    return seconds * std::max(0.2, 1.0 + launch_.noise * draw_normal(random_));
  }

  [[nodiscard]] double planted_s(Planted::What what, std::uint32_t step, std::uint32_t op,
                                 std::uint32_t rank) const {
    double extra_s = 0.0;
    for (const Planted& one : launch_.planted) {
      const bool for_op = what == Planted::What::pause || one.op == op;
      const bool for_rank =
          one.ranks.empty() || std::find(one.ranks.begin(), one.ranks.end(), rank) != one.ranks.end();
      if (one.what == what && one.step == step && for_op && for_rank)
        extra_s += one.extra_s;
    }
    return extra_s;
  }

  [[nodiscard]] std::uint32_t part_of(std::uint32_t op, std::uint32_t rank) const {
    return op == kActivations ? rank / launch_.tensor_parallel : rank % launch_.tensor_parallel;
  }

  [[nodiscard]] double duration_s(std::uint32_t op) const {
    switch (op) {
      case kActivations:
        return launch_.lan_s;
      case kBucket0:
      case kBucket1:
        return launch_.wan_s;
      case kUpdate:
        return launch_.compute_s / 4.0;
      default:
        return launch_.compute_s;
    }
  }

  void run_step(std::uint32_t step, bool stamped) {
    struct Times {
      double begin_s = kForever;
      double end_s = kForever;
    };
    std::vector<std::array<Times, kSyntheticOps>> ranks(ranks_);
    std::vector<double> begin_s(ranks_);
    std::vector<double> computed_until_s(ranks_);
    std::vector<double> busy_s(ranks_, 0.0);
    for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
      begin_s[rank] = now_s_[rank] + noisy(1e-4) + planted_s(Planted::What::pause, step, 0, rank);
      computed_until_s[rank] = begin_s[rank];
    }
    for (std::uint32_t op = 0; op < kSyntheticOps; ++op) {
      for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
        double ready_s = is_comm(op) ? begin_s[rank] : computed_until_s[rank];
        for (const std::uint32_t other : shapes()[op].after)
          ready_s = std::max(ready_s, ranks[rank][other].end_s);
        Times& times = ranks[rank][op];
        if (is_comm(op)) {
          times.begin_s = ready_s + noisy(2e-5) + planted_s(Planted::What::launch, step, op, rank);
          continue;
        }
        const double work_s = noisy(duration_s(op)) + planted_s(Planted::What::work, step, op, rank);
        times = {ready_s, ready_s + work_s};
        computed_until_s[rank] = times.end_s;
        busy_s[rank] += work_s;
      }
      if (!is_comm(op))
        continue;
      for (std::uint32_t part = 0; part < ranks_; ++part) {
        double joined_s = 0.0;
        double extra_s = 0.0;
        for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
          if (part_of(op, rank) != part)
            continue;
          joined_s = std::max(joined_s, ranks[rank][op].begin_s);
          extra_s = std::max(extra_s, planted_s(Planted::What::moving, step, op, rank));
        }
        const double end_s = joined_s + noisy(duration_s(op)) + extra_s;
        for (std::uint32_t rank = 0; rank < ranks_; ++rank)
          if (part_of(op, rank) == part)
            ranks[rank][op].end_s = end_s + noisy(1e-5);
      }
    }
    for (std::uint32_t rank = 0; rank < ranks_; ++rank) {
      double exposed_s = 0.0;
      double end_s = begin_s[rank];
      double computed_s = begin_s[rank];
      for (std::uint32_t op = 0; op < kSyntheticOps; ++op) {
        const Times& times = ranks[rank][op];
        end_s = std::max(end_s, times.end_s);
        if (times.begin_s == kForever)
          continue;
        last_s_ = std::max(last_s_, times.end_s == kForever ? times.begin_s : times.end_s);
        const bool ended = times.end_s != kForever;
        const std::int64_t begin_ns = local_ns(rank, times.begin_s);
        const std::int64_t end_ns = ended ? local_ns(rank, times.end_s) : 0;
        if (stamped || end_ns == 0 || hangs(step))
          evidence_.ops.push_back({0, rank, step, op, begin_ns, end_ns});
        if (is_comm(op)) {
          std::int64_t shortest_ns = INT64_MAX;
          for (std::uint32_t other = 0; other < ranks_; ++other)
            if (part_of(op, other) == part_of(op, rank) && ranks[other][op].end_s != kForever)
              shortest_ns = std::min(shortest_ns, local_ns(other, ranks[other][op].end_s) -
                                                      local_ns(other, ranks[other][op].begin_s));
          evidence_.comms.push_back({.leg = 0,
                                     .rank = rank,
                                     .step = step,
                                     .op = op,
                                     .begin_ns = begin_ns,
                                     .end_ns = end_ns,
                                     .exposed_ns = 0,
                                     .wait_ns = ended ? end_ns - begin_ns - shortest_ns : 0});
        } else {
          exposed_s += times.begin_s - computed_s;
          computed_s = times.end_s;
        }
      }
      now_s_[rank] = end_s;
      if (end_s == kForever) {
        hung_ = true;
        continue;
      }
      StepRow row;
      row.rank = rank;
      row.step = step;
      row.flags = step < launch_.warmup_steps ? static_cast<std::uint32_t>(step::kStepWarmup) : 0U;
      row.begin_ns = local_ns(rank, begin_s[rank]);
      row.end_ns = local_ns(rank, end_s);
      row.compute_ns = ns(busy_s[rank]);
      row.exposed_ns = ns(exposed_s);
      evidence_.steps.push_back(row);
    }
  }

  [[nodiscard]] bool hangs(std::uint32_t step) const {
    return std::any_of(launch_.planted.begin(), launch_.planted.end(),
                       [step](const Planted& one) { return one.extra_s == kForever && one.step == step; });
  }

  const SyntheticLaunch& launch_;
  std::vector<const SyntheticHost*> hosts_;  // by rank
  std::uint32_t ranks_ = 0;
  Evidence evidence_;
  std::vector<double> now_s_;  // by rank, real time
  double last_s_ = 0.0;
  bool hung_ = false;
  stats::Random random_{4711};
};

}  // namespace

record::Evidence make_launch(const SyntheticLaunch& launch, double hung_s) {
  return Simulation(launch).run(hung_s);
}

}  // namespace lockstep::tests
