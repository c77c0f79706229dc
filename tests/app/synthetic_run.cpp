#include "tests/app/synthetic_run.hpp"

#include "harness/campaign/schedule.hpp"
#include "harness/core/hash.hpp"
#include "harness/plan/load.hpp"
#include "harness/step/stamps.hpp"

namespace lockstep::app {
namespace {

constexpr std::int64_t kNsPerUs = 1000;
constexpr std::int64_t kBeginUtcNs = 1'767'225'600'000'000'000;  // 2026-01-01T00:00:00Z
constexpr std::int64_t kLaunchNs = 20'000'000'000;
constexpr std::int64_t kSetUpNs = 100'000'000;
constexpr std::int64_t kAloneUs = 10'000;
constexpr std::int64_t kCommUs = 1'000;

record::GraphRow gemm_row(std::uint32_t leg) {
  record::GraphRow row;
  row.leg = leg;
  row.op = 0;
  row.name = "gemm";
  row.kind = "gemm";
  row.stream = "compute";
  row.phase = "backward";
  row.dtype = "f32";
  row.m = row.n = row.k = 512;
  row.batch = 1;
  row.flops = 2.0 * 512 * 512 * 512;
  return row;
}

record::GraphRow all_reduce_row(std::uint32_t leg, std::uint32_t ranks, bool spans_sites) {
  record::GraphRow row;
  row.leg = leg;
  row.op = 1;
  row.name = "bucket0.all_reduce";
  row.kind = "all_reduce";
  row.stream = "communication";
  row.phase = "backward";
  row.group = "data_parallel";
  row.group_ranks = ranks;
  row.spans_sites = spans_sites ? 1 : 0;
  row.dtype = "f32";
  row.bytes = 1U << 20U;
  row.after = "0";
  return row;
}

class Builder {
 public:
  explicit Builder(const SyntheticRun& run)
      : run_(run), plan_(plan::parse_plan(synthetic_plan_text(), "plan.toml")) {
    evidence_.schema_version = "1";
    evidence_.lockstep_version = "0.1.0";
    evidence_.created_utc = "2026-01-01T00:00:00Z";
    evidence_.plan_text = plan_.text;
    for (const campaign::Launch& launch : campaign::schedule(plan_))
      add_launch(launch);
    evidence_.provenance.push_back({-1, -1, "kernel", "Linux 6.1.0 x86_64"});
    evidence_.provenance.push_back({-1, -1, "mpi_library", "Open MPI 4.1.4"});
  }
  [[nodiscard]] record::Evidence take() { return std::move(evidence_); }

 private:
  void add_launch(campaign::Launch launch) {
    const plan::Leg& leg = plan_.legs[launch.leg];
    const bool joint = leg.kind == plan::LegKind::joint;
    const std::uint32_t ranks = joint ? 4 : 2;
    const std::int64_t begin_utc_ns = kBeginUtcNs + launch.index * kLaunchNs;
    launch.launched_utc_ns = begin_utc_ns;
    evidence_.legs.push_back(campaign::leg_row(plan_, launch, ranks));
    evidence_.graph.push_back(gemm_row(launch.index));
    evidence_.graph.push_back(all_reduce_row(launch.index, ranks, joint));
    const std::int64_t step_us = joint ? run_.joint_step_us : kAloneUs;
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      add_rank(launch, leg, rank, step_us);
    const std::uint32_t steps = plan_.run.steps + plan_.run.warmup_steps;
    record::LegEndRow end;
    end.leg = launch.index;
    end.outcome = "completed";
    end.journals = ranks;
    end.complete_journals = ranks;
    end.ended_utc_ns = begin_utc_ns + kSetUpNs + steps * step_us * kNsPerUs;
    evidence_.leg_ends.push_back(end);
    if (run_.with_stall_and_failure && joint && launch.round == 1)
      add_trouble(launch.index, step_us);
  }

  void add_rank(const campaign::Launch& launch, const plan::Leg& leg, std::uint32_t rank,
                std::int64_t step_us) {
    record::RankRow row;
    row.leg = launch.index;
    row.rank = rank;
    row.world_rank = rank;
    row.site = plan_.sites[leg.sites[rank / 2].value()].name;
    row.host = "node01";
    row.local_rank = rank;
    row.pid = 1000 + rank;
    row.cores = "0-1";
    row.binary_hash = std::string(64, 'a');
    row.plan_hash = sha256(plan_.text);
    row.compute = "paced";
    row.fabric = "mpi";
    row.progress = "backoff: 4 ranks on 2 cores";
    row.tokens_per_step = 256.0;
    row.state = "complete";
    evidence_.ranks.push_back(row);
    const std::int64_t begin_ns = kSetUpNs + launch.index * kLaunchNs;
    const std::uint32_t steps = plan_.run.steps + plan_.run.warmup_steps;
    for (std::uint32_t step = 0; step < steps; ++step)
      add_step(launch.index, rank, step, begin_ns + step * step_us * kNsPerUs, step_us);
    for (const std::int64_t at_ns : {begin_ns, begin_ns + steps * step_us * kNsPerUs})
      evidence_.clock.push_back({launch.index, rank, at_ns, 0, 2000});
  }

  void add_step(std::uint32_t leg, std::uint32_t rank, std::uint32_t step, std::int64_t begin_ns,
                std::int64_t step_us) {
    const std::int64_t end_ns = begin_ns + step_us * kNsPerUs;
    // Ranks arrive one after the other, 10 us apart: the last one waits for nobody.
    const std::int64_t comm_begin_ns = end_ns - (kCommUs + (leg_ranks(leg) - 1 - rank) * 10) * kNsPerUs;
    const std::int64_t wait_ns = end_ns - comm_begin_ns - kCommUs * kNsPerUs;
    record::StepRow row;
    row.leg = leg;
    row.rank = rank;
    row.step = step;
    row.flags = (step < plan_.run.warmup_steps ? step::kStepWarmup : 0U) | step::kStepValidated;
    row.begin_ns = begin_ns;
    row.end_ns = end_ns;
    row.compute_ns = comm_begin_ns - begin_ns;
    row.exposed_ns = 100 * kNsPerUs;
    row.exposed_wan_ns = leg_ranks(leg) > 2 ? row.exposed_ns : 0;
    row.wait_ns = wait_ns;
    row.checksum = 42;
    evidence_.steps.push_back(row);
    evidence_.comms.push_back({leg, rank, step, 1, comm_begin_ns, end_ns, row.exposed_ns, wait_ns});
  }

  [[nodiscard]] std::uint32_t leg_ranks(std::uint32_t leg) const { return evidence_.legs[leg].ranks; }

  void add_trouble(std::uint32_t leg, std::int64_t step_us) {
    evidence_.stalls.push_back({leg, 60, 2, 0, 55'000'000, step_us * kNsPerUs, 12'000'000});
    record::FailureRow failure;
    failure.leg = leg;
    failure.rank = 3;
    failure.step = 61;
    failure.op = 1;
    failure.kind = "wrong_value";
    failure.offset = 77;
    failure.expected = 4.0;
    failure.observed = 3.5;
    failure.message = "element 77 is 3.5 and should be 4";
    evidence_.failures.push_back(failure);
  }

  SyntheticRun run_;
  plan::Plan plan_;
  record::Evidence evidence_;
};

}  // namespace

std::string synthetic_plan_text() {
  return R"(name = "synthetic"
placement = "colocated"

[[site]]
name = "A"
slots = 2

[[site]]
name = "B"
slots = 2

[workload]
model = "nano"
sequence_length = 64
sequences = 4

[compute]
backend = "paced"
paced_gflops = 30.0
paced_memory_gbps = 10.0

[run]
steps = 110
warmup_steps = 5
rounds = 2
)";
}

record::Evidence synthetic_evidence(const SyntheticRun& run) {
  return Builder(run).take();
}

}  // namespace lockstep::app
