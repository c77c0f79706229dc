#include "tests/certify/synthetic_evidence.hpp"

#include <cmath>

#include "harness/core/hash.hpp"
#include "harness/step/stamps.hpp"
#include "tests/stats/synthetic.hpp"

namespace lockstep::tests {
namespace {

using namespace record;

constexpr std::uint32_t kGradients = 1;  // op indices of the graph
constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t ns(double seconds) {
  return std::llround(seconds * 1e9);
}

/// Offsets that no floating-point number of nanoseconds would survive, and that drift.
std::int64_t offset_at(std::uint32_t rank, std::int64_t common_ns) {
  return rank == 0 ? 0 : 1'300'000'000'000'000'123 * rank + common_ns / 50'000 * rank;
}

class Builder {
 public:
  Builder(const Scenario& scenario, const plan::Plan& plan, Evidence& evidence)
      : scenario_(scenario), plan_(plan), evidence_(evidence) {}

  void add_launch(const plan::Leg& leg, std::uint32_t round) {
    LegRow row;
    row.leg = static_cast<std::uint32_t>(evidence_.legs.size());
    row.name = leg.name;
    row.kind = plan::to_string(leg.kind);
    for (const SiteId site : leg.sites)
      row.sites += (row.sites.empty() ? "" : ",") + plan_.sites[site.value()].name;
    row.round = round;
    row.ranks = scenario_.ranks_per_site * static_cast<std::uint32_t>(leg.sites.size());
    row.warmup_steps = scenario_.warmup_steps;
    row.steps = scenario_.steps;
    row.launched_utc_ns = utc_ns_;
    evidence_.legs.push_back(row);
    add_ranks(leg, row);
    add_graph(leg, row);
    const std::int64_t lasted_ns = add_steps(leg, row);
    utc_ns_ += lasted_ns + 2 * kSecond;
    evidence_.leg_ends.push_back({.leg = row.leg,
                                  .outcome = "completed",
                                  .journals = row.ranks,
                                  .complete_journals = row.ranks,
                                  .ended_utc_ns = utc_ns_,
                                  .message = {}});
  }

 private:
  void add_ranks(const plan::Leg& leg, const LegRow& row) {
    for (std::uint32_t rank = 0; rank < row.ranks; ++rank) {
      RankRow entry;
      entry.leg = row.leg;
      entry.rank = rank;
      entry.world_rank = rank;
      entry.site = plan_.sites[leg.sites[rank / scenario_.ranks_per_site].value()].name;
      entry.host = "host-" + entry.site;
      entry.local_rank = rank % scenario_.ranks_per_site;
      entry.binary_hash = sha256("binary");
      entry.plan_hash = sha256(evidence_.plan_text);
      entry.compute = "cpu openblas:SkylakeX";
      entry.fabric = "mpi";
      entry.progress = "spin: a core for every rank";
      entry.tokens_per_step = 4096.0;
      entry.state = "complete";
      evidence_.ranks.push_back(entry);
    }
  }

  void add_graph(const plan::Leg& leg, const LegRow& row) {
    GraphRow gemm;
    gemm.leg = row.leg;
    gemm.name = "layer0.down";
    gemm.kind = "gemm";
    gemm.stream = "compute";
    evidence_.graph.push_back(gemm);
    GraphRow comm;
    comm.leg = row.leg;
    comm.op = kGradients;
    comm.name = "bucket0.all_reduce";
    comm.kind = "all_reduce";
    comm.stream = "communication";
    comm.group = "data_parallel";
    comm.group_ranks = row.ranks;
    comm.spans_sites = leg.sites.size() > 1 ? 1 : 0;
    comm.bytes = scenario_.wan_bytes;
    evidence_.graph.push_back(comm);
  }

  double mean_of(const plan::Leg& leg) const {
    if (leg.kind == plan::LegKind::joint)
      return scenario_.joint_s;
    return leg.sites.front() == SiteId(0) ? scenario_.alone_a_s : scenario_.alone_b_s;
  }

  std::int64_t add_steps(const plan::Leg& leg, const LegRow& row) {
    const std::uint32_t count = row.warmup_steps + row.steps;
    const std::vector<double> times_s =
        draw_launch(random_, count, mean_of(leg),
                    {.step = scenario_.noise, .launch = scenario_.launch_noise, .outlier_share = 0.0});
    const std::int64_t start_ns = 1'000 * kSecond;
    std::int64_t end_ns = start_ns;
    for (std::uint32_t step = 0; step < count; ++step) {
      double time_s = times_s[step];
      for (const SlowStep& slow : scenario_.slow)
        if (slow.leg == leg.name && slow.round == row.round && slow.step == step)
          time_s += slow.extra_s;
      const std::int64_t begin_ns = end_ns;
      end_ns += ns(time_s);
      for (std::uint32_t rank = 0; rank < row.ranks; ++rank)
        add_step(leg, row, step, rank, begin_ns, end_ns);
    }
    for (std::uint32_t rank = 0; rank < row.ranks; ++rank)
      for (const std::int64_t common_ns : {start_ns - kSecond, end_ns + kSecond})
        evidence_.clock.push_back({.leg = row.leg,
                                   .rank = rank,
                                   .local_ns = common_ns - offset_at(rank, common_ns),
                                   .offset_ns = offset_at(rank, common_ns),
                                   .bound_ns = scenario_.clock_bound_ns});
    return end_ns - start_ns;
  }

  /// The last rank ends the step; the others are a little earlier, by their number.
  void add_step(const plan::Leg& leg, const LegRow& row, std::uint32_t step, std::uint32_t rank,
                std::int64_t begin_ns, std::int64_t end_ns) {
    const auto local = [&](std::int64_t common_ns) { return common_ns - offset_at(rank, common_ns); };
    const bool joint = leg.kind == plan::LegKind::joint;
    const std::int64_t wait_ns = joint && rank == 0 ? ns(scenario_.wan_wait_s) : 0;
    const std::int64_t done_ns = end_ns - 100'000 * (row.ranks - 1 - rank);
    StepRow entry;
    entry.leg = row.leg;
    entry.rank = rank;
    entry.step = step;
    entry.flags = step < row.warmup_steps ? static_cast<std::uint32_t>(step::kStepWarmup) : 0U;
    entry.begin_ns = local(begin_ns + 50'000);
    entry.end_ns = local(done_ns);
    entry.compute_ns = ns(scenario_.compute_share * mean_of(leg));
    entry.exposed_ns = ns(scenario_.wan_exposed_s) + wait_ns;
    entry.exposed_wan_ns = joint ? entry.exposed_ns : 0;
    entry.wait_ns = wait_ns;
    if (step % scenario_.validate_every == 0) {
      entry.flags |= step::kStepValidated;
      entry.checksum = mix64(step);
    }
    evidence_.steps.push_back(entry);
    // The operation waits first, then moves bytes; its exposed part is its end. So the wait is hidden here
    // unless the whole transfer is exposed.
    const bool all_exposed = scenario_.wan_exposed_s >= scenario_.wan_transfer_s;
    evidence_.comms.push_back({.leg = row.leg,
                               .rank = rank,
                               .step = step,
                               .op = kGradients,
                               .begin_ns = local(done_ns) - ns(scenario_.wan_transfer_s) - wait_ns,
                               .end_ns = local(done_ns),
                               .exposed_ns = ns(scenario_.wan_exposed_s) + (all_exposed ? wait_ns : 0),
                               .wait_ns = wait_ns});
  }

  const Scenario& scenario_;
  const plan::Plan& plan_;
  Evidence& evidence_;
  stats::Random random_{2026};
  std::int64_t utc_ns_ = 1'790'000'000 * kSecond;
};

}  // namespace

plan::Plan make_plan(const Scenario& scenario, const std::string& text) {
  plan::Plan plan;
  plan.name = "synthetic";
  plan.text = text;
  plan.sites = {{.name = "A", .hosts = {"host-A"}, .slots = scenario.ranks_per_site},
                {.name = "B", .hosts = {"host-B"}, .slots = scenario.ranks_per_site}};
  plan.legs = {{"A", plan::LegKind::baseline, {SiteId(0)}},
               {"B", plan::LegKind::baseline, {SiteId(1)}},
               {"joint", plan::LegKind::joint, {SiteId(0), SiteId(1)}}};
  plan.run.rounds = scenario.rounds;
  plan.run.steps = scenario.steps;
  plan.run.warmup_steps = scenario.warmup_steps;
  return plan;
}

record::Evidence make_evidence(const Scenario& scenario, const plan::Plan& plan) {
  Evidence evidence;
  evidence.schema_version = "1";
  evidence.lockstep_version = "0.1.0";
  evidence.created_utc = "2026-09-21T12:00:00Z";
  evidence.plan_text = plan.text;
  Builder builder(scenario, plan, evidence);
  for (std::uint32_t round = 0; round < scenario.rounds; ++round)
    for (const plan::Leg& leg : plan.legs)
      builder.add_launch(leg, round);
  return evidence;
}

std::uint32_t launch_of(const record::Evidence& evidence, const std::string& name, std::uint32_t round) {
  for (const LegRow& row : evidence.legs)
    if (row.name == name && row.round == round)
      return row.leg;
  return UINT32_MAX;
}

void drop_launch_rows(record::Evidence& evidence, std::uint32_t leg) {
  const auto of_leg = [&](const auto& row) { return row.leg == leg; };
  std::erase_if(evidence.leg_ends, of_leg);
  std::erase_if(evidence.ranks, of_leg);
  std::erase_if(evidence.steps, of_leg);
  std::erase_if(evidence.comms, of_leg);
  std::erase_if(evidence.clock, of_leg);
}

}  // namespace lockstep::tests
