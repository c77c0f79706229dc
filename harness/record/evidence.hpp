#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// Evidence as rows: what run.h5 holds, and what every later judgement is computed from. Each struct is one
/// row of the table of the same name in results/README.md. Times of ranks are ns on the CLOCK_MONOTONIC of
/// their own host; `ClockRow` ties them together.
namespace lockstep::record {

/// A planned launch of the harness, written when it starts.
struct LegRow {
  std::uint32_t leg = 0;  ///< index of the launch in the run
  std::string name;       ///< of the leg in the plan: a site's name, or "joint"
  std::string kind;       ///< baseline, joint
  std::string sites;      ///< names, comma-separated, in rank order
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;
  std::uint32_t ranks = 0;  ///< that should leave a journal
  std::uint32_t warmup_steps = 0;
  std::uint32_t steps = 0;  ///< steady steps planned
  std::int64_t launched_utc_ns = 0;
  bool operator==(const LegRow&) const = default;
};

/// How that launch ended, written when its evidence has been collected. A leg without one was cut short.
struct LegEndRow {
  std::uint32_t leg = 0;
  std::string outcome;           ///< completed, failed, interrupted
  std::int32_t exit_status = 0;  ///< of mpirun; told, never judged by
  std::uint32_t journals = 0;    ///< found
  std::uint32_t complete_journals = 0;
  std::int64_t ended_utc_ns = 0;
  std::string message;  ///< one line; why it did not complete
  bool operator==(const LegEndRow&) const = default;
};

struct RankRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;        ///< site by site
  std::uint32_t world_rank = 0;  ///< as mpirun numbered it
  std::string site;
  std::string host;
  std::uint32_t local_rank = 0;
  std::int64_t pid = 0;
  std::string cores;  ///< CPUs it may run on, e.g. "0-3"
  std::string gpu;    ///< empty on CPUs
  std::string binary_hash;
  std::string plan_hash;
  std::string compute;           ///< backend and kernel that ran, e.g. "cpu openblas:SkylakeX"
  std::string fabric;            ///< e.g. "mpi"
  std::string progress;          ///< spin, backoff; with the reason
  double peak_gflops = 0.0;      ///< measured GEMM peak of this rank before the run, GFLOP/s; 0 when paced
  double tokens_per_step = 0.0;  ///< trained by this rank in a step
  std::string state;             ///< complete, partial, missing
  bool operator==(const RankRow&) const = default;
};

struct GraphRow {
  std::uint32_t leg = 0;
  std::uint32_t op = 0;
  std::string name;
  std::string kind;  ///< gemm, update, all_reduce, ...
  std::string stream;
  std::string phase;
  std::string group;              ///< of a communication, else empty
  std::uint32_t group_ranks = 0;  ///< largest part of that group
  std::uint32_t spans_sites = 0;  ///< 1 when some part of the group has ranks of two sites
  std::string dtype;
  std::uint64_t m = 0;
  std::uint64_t n = 0;
  std::uint64_t k = 0;
  std::uint64_t batch = 0;
  double flops = 0.0;
  std::uint64_t bytes = 0;  ///< S of a communication; memory traffic of an update
  std::string after;        ///< op indices it waits for, comma-separated
  bool operator==(const GraphRow&) const = default;
};

/// One step that this rank completed. What a rank began and did not complete is seen in CommRow and OpRow.
struct StepRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;
  std::uint32_t step = 0;
  std::uint32_t flags = 0;  ///< step::StepFlag
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  std::int64_t compute_ns = 0;
  std::int64_t exposed_ns = 0;      ///< compute stream stood still for communication
  std::int64_t exposed_wan_ns = 0;  ///< the part of it spent on ops that span sites
  std::int64_t wait_ns = 0;  ///< in communication, waiting for the last rank to arrive: sum over the step's
                             ///< ops of (own time - shortest time of any rank in the op's group)
  std::uint64_t checksum = 0;
  bool operator==(const StepRow&) const = default;
};

/// end_ns 0: begun and never completed on this rank (exposed_ns and wait_ns are 0 then).
struct CommRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;
  std::uint32_t step = 0;
  std::uint32_t op = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  std::int64_t exposed_ns = 0;
  std::int64_t wait_ns = 0;  ///< own time - shortest time of any rank in the op's group
  bool operator==(const CommRow&) const = default;
};

/// Every op of the last steps. end_ns 0: begun and never completed on this rank.
struct OpRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;
  std::uint32_t step = 0;
  std::uint32_t op = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  bool operator==(const OpRow&) const = default;
};

/// common time = local time + offset, within +- bound. Two rows a rank and leg at least: start and end.
struct ClockRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;
  std::int64_t local_ns = 0;
  std::int64_t offset_ns = 0;
  std::int64_t bound_ns = 0;
  bool operator==(const ClockRow&) const = default;
};

struct StallRow {
  std::uint32_t leg = 0;
  std::uint32_t step = 0;
  std::uint32_t rank = 0;      ///< the rank whose own time was longest
  std::int64_t begin_ns = 0;   ///< on that rank's clock
  std::int64_t length_ns = 0;  ///< step time of the last rank to finish
  std::int64_t median_ns = 0;  ///< steady state it is compared with
  std::int64_t threshold_ns = 0;
  bool operator==(const StallRow&) const = default;
};

struct FailureRow {
  std::uint32_t leg = 0;
  std::int32_t rank = -1;  ///< -1: the launch as a whole
  std::int32_t step = -1;
  std::int32_t op = -1;
  std::string
      kind;  ///< wrong_value, checksum_mismatch, deadline, transport, killed, launch, missing_evidence, ...
  std::uint64_t offset = 0;  ///< element in the op's result, for wrong_value
  double expected = 0.0;
  double observed = 0.0;
  std::int64_t utc_ns = 0;
  std::string message;
  bool operator==(const FailureRow&) const = default;
};

/// A fact about where and how it ran. rank -1: the controller's machine; leg -1: the whole run.
struct ProvenanceRow {
  std::int32_t leg = -1;
  std::int32_t rank = -1;
  std::string key;
  std::string value;
  bool operator==(const ProvenanceRow&) const = default;
};

struct Evidence {
  std::string schema_version;
  std::string lockstep_version;
  std::string created_utc;
  std::string plan_text;
  std::vector<LegRow> legs;
  std::vector<LegEndRow> leg_ends;
  std::vector<RankRow> ranks;
  std::vector<GraphRow> graph;
  std::vector<StepRow> steps;
  std::vector<CommRow> comms;
  std::vector<OpRow> ops;
  std::vector<ClockRow> clock;
  std::vector<StallRow> stalls;
  std::vector<FailureRow> failures;
  std::vector<ProvenanceRow> provenance;
  bool operator==(const Evidence&) const = default;
};

}  // namespace lockstep::record
