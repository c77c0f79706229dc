#include "harness/record/schema_columns.hpp"

/// What every table holds. A change here is a change of results/README.md and of kSchemaVersion.

namespace lockstep::record {
namespace {

constexpr const char* kOp = "index of the op in the step graph, see `graph`";
constexpr const char* kOpEnd = "on the clock of the rank's host; 0: begun and never completed";

}  // namespace

template <>
const TableSpec<LegRow>& table() {
  using Row = LegRow;
  static const TableSpec<Row> spec{
      "legs",
      "One row a launch of the harness, written when it starts.",
      16,
      {
          number("leg", &Row::leg, "", "index of the launch in the run; every other table refers to it"),
          text("name", &Row::name, 64, "of the leg in the plan: a site's name, or `joint`"),
          text("kind", &Row::kind, 16, "`baseline` (one site alone) or `joint`"),
          list("sites", &Row::sites, 1024, "names of the sites, comma-separated, in the order of the ranks"),
          number("round", &Row::round, "",
                 "how many times this leg was launched before, not counting retries"),
          number("attempt", &Row::attempt, "", "0, or the number of the retry after a failure"),
          number(
              "first_step", &Row::first_step, "1",
              "training steps that earlier attempts of this leg and round had saved: step 0 of this launch "
              "goes on from there"),
          number("ranks", &Row::ranks, "1", "ranks that should leave a journal"),
          number("warmup_steps", &Row::warmup_steps, "1",
                 "steps before the steady ones: recorded, never judged"),
          number("steps", &Row::steps, "1", "steady steps planned"),
          number("launched_utc_ns", &Row::launched_utc_ns, "ns", "UTC time of the launch, since 1970-01-01"),
      }};
  return spec;
}

template <>
const TableSpec<LegEndRow>& table() {
  using Row = LegEndRow;
  static const TableSpec<Row> spec{
      "leg_ends",
      "How a launch ended, written when its evidence was collected. A launch without such a row was cut "
      "short.",
      16,
      {
          number("leg", &Row::leg, "", kLeg),
          text("outcome", &Row::outcome, 16, "`completed`, `failed` or `interrupted`"),
          number("exit_status", &Row::exit_status, "", "of the launcher; told here, never judged by"),
          number("journals", &Row::journals, "1", "journals found and readable, one a rank"),
          number("complete_journals", &Row::complete_journals, "1",
                 "of ranks that ran and recorded all that was planned"),
          number("ended_utc_ns", &Row::ended_utc_ns, "ns", "UTC time of the end, since 1970-01-01"),
          text("message", &Row::message, 512, "why it did not complete; else empty"),
      }};
  return spec;
}

template <>
const TableSpec<RankRow>& table() {
  using Row = RankRow;
  static const TableSpec<Row> spec{
      "ranks",
      "One row a rank that a launch should have had, also when nothing was heard of it.",
      64,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", kRank),
          number("world_rank", &Row::world_rank, "", "the same rank as the launcher numbered it"),
          text("site", &Row::site, 64,
               "its site; empty when nothing was heard of it, as are all texts below but `state`"),
          text("host", &Row::host, 128, "its host"),
          number("local_rank", &Row::local_rank, "", "rank within its host"),
          number("pid", &Row::pid, "", "its process"),
          list("cores", &Row::cores, 256, "CPUs it may run on, such as `0-3`"),
          text("gpu", &Row::gpu, 64, "its GPU; empty when it has none"),
          text("binary_hash", &Row::binary_hash, 64, "SHA-256 of its executable, in hexadecimal"),
          text("plan_hash", &Row::plan_hash, 64, "SHA-256 of the plan it ran, in hexadecimal"),
          text("compute", &Row::compute, 128, "compute backend and kernel that ran"),
          text("fabric", &Row::fabric, 64, "transport that ran"),
          text("progress", &Row::progress, 128, "`spin` or `backoff`: how it waited, and why"),
          number("peak_gflops", &Row::peak_gflops, "GFLOP/s",
                 "GEMM rate measured before the run; 0 when compute is paced"),
          number("tokens_per_step", &Row::tokens_per_step, "1", "tokens that this rank trains in a step"),
          text("state", &Row::state, 16,
               "`complete`, `partial` (its journal ends early) or `missing` (no usable journal)"),
      }};
  return spec;
}

template <>
const TableSpec<GraphRow>& table() {
  using Row = GraphRow;
  static const TableSpec<Row> spec{
      "graph",
      "The step graph of a launch: one row an op, the same on all of its ranks.",
      128,
      {
          number("leg", &Row::leg, "", kLeg),
          number("op", &Row::op, "", "index of the op in the step"),
          text("name", &Row::name, 128, "of the op, unique in the graph"),
          text("kind", &Row::kind, 32, "`gemm`, `update`, `all_reduce`, `reduce_scatter`, ..."),
          text("stream", &Row::stream, 16,
               "`compute` or `communication`; ops of one stream run one after the other"),
          text("phase", &Row::phase, 16, "`forward`, `backward` or `optimizer`"),
          text("group", &Row::group, 32, "of ranks that communicate; empty for compute"),
          number("group_ranks", &Row::group_ranks, "1", "ranks in the largest part of that group"),
          number("spans_sites", &Row::spans_sites, "",
                 "1 when some part of the group has ranks of two sites, else 0"),
          text("dtype", &Row::dtype, 8,
               "of the elements: `f32`, `f64`, `bf16`, `f16`, `e4m3`, `e5m2`; of a product the precision, "
               "also `tf32`"),
          number("m", &Row::m, "1", "GEMM: rows of the result"),
          number("n", &Row::n, "1", "GEMM: columns of the result"),
          number("k", &Row::k, "1", "GEMM: length of the sums"),
          number("batch", &Row::batch, "1", "GEMM: matrix products in the op"),
          number("flops", &Row::flops, "flop", "2 m n k batch of a GEMM, else 0"),
          number("bytes", &Row::bytes, "byte",
                 "communication: size S as nccl-tests counts it; update: memory traffic; else 0"),
          list("after", &Row::after, 1024,
               "ops it waits for, comma-separated; the order within its stream is implied; a list too long "
               "for its "
               "column ends in `,...`"),
      }};
  return spec;
}

template <>
const TableSpec<StepRow>& table() {
  using Row = StepRow;
  static const TableSpec<Row> spec{
      "steps",
      "One row a step and rank, for the steps that the rank completed.",
      2048,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", kRank),
          number("step", &Row::step, "", kStep),
          number("flags", &Row::flags, "", "bits: 1 warm-up, 2 reduced data were checked, 4 and found wrong"),
          number("begin_ns", &Row::begin_ns, "ns", kBegin),
          number("end_ns", &Row::end_ns, "ns", "on the clock of the rank's host"),
          number("compute_ns", &Row::compute_ns, "ns", "sum of the compute ops' times"),
          number("exposed_ns", &Row::exposed_ns, "ns", "the compute stream stood still for communication"),
          number("exposed_wan_ns", &Row::exposed_wan_ns, "ns",
                 "the part of it spent on ops whose group spans sites"),
          number("wait_ns", &Row::wait_ns, "ns",
                 "communication spent waiting for the last rank to arrive: sum of `wait_ns` over the step's "
                 "rows of "
                 "`comms`"),
          number("checksum", &Row::checksum, "",
                 "of the checked elements of the reduced data, equal within a data-parallel group; 0 when "
                 "not checked"),
      }};
  return spec;
}

template <>
const TableSpec<CommRow>& table() {
  using Row = CommRow;
  static const TableSpec<Row> spec{
      "comms",
      "One row a communication op, step and rank: every communication of every step.",
      4096,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", kRank),
          number("step", &Row::step, "", kStep),
          number("op", &Row::op, "", kOp),
          number("begin_ns", &Row::begin_ns, "ns", "the rank entered the op, on the clock of its host"),
          number("end_ns", &Row::end_ns, "ns", kOpEnd),
          number("exposed_ns", &Row::exposed_ns, "ns", "the compute stream stood still for this op"),
          number("wait_ns", &Row::wait_ns, "ns",
                 "own time minus the shortest time of any rank in the op's group: who arrives last spends "
                 "the shortest "
                 "time in it, so no common clock is needed"),
      }};
  return spec;
}

template <>
const TableSpec<OpRow>& table() {
  using Row = OpRow;
  static const TableSpec<Row> spec{
      "ops",
      "One row an op, step and rank, compute and communication, for the last steps of a launch.",
      4096,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", kRank),
          number("step", &Row::step, "", kStep),
          number("op", &Row::op, "", kOp),
          number("begin_ns", &Row::begin_ns, "ns", kBegin),
          number("end_ns", &Row::end_ns, "ns", kOpEnd),
      }};
  return spec;
}

template <>
const TableSpec<ClockRow>& table() {
  using Row = ClockRow;
  static const TableSpec<Row> spec{
      "clock",
      "Measured offsets between each rank's clock and the clock common to its launch.",
      256,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", kRank),
          number("local_ns", &Row::local_ns, "ns", "when it was measured, on the clock of the rank's host"),
          number("offset_ns", &Row::offset_ns, "ns", "common time = local time + offset"),
          number("bound_ns", &Row::bound_ns, "ns", "the error of the offset is at most this, either way"),
      }};
  return spec;
}

template <>
const TableSpec<StallRow>& table() {
  using Row = StallRow;
  static const TableSpec<Row> spec{
      "stalls",
      "Steady steps far slower than the steady state of their own launch.",
      64,
      {
          number("leg", &Row::leg, "", kLeg),
          number("step", &Row::step, "", kStep),
          number("rank", &Row::rank, "", "the rank whose own time for the step was longest"),
          number("begin_ns", &Row::begin_ns, "ns", kBegin),
          number("length_ns", &Row::length_ns, "ns",
                 "longest time of any rank from its step before to the end of this one, without saving a "
                 "checkpoint"),
          number("median_ns", &Row::median_ns, "ns",
                 "median over the launch's steady steps of that longest time"),
          number("threshold_ns", &Row::threshold_ns, "ns", "longer than this is a stall"),
          number("op", &Row::op, "",
                 "op of the graph that most of the extra time was lost in; -1: none in particular"),
          text("phase", &Row::phase, 16, "of that op; empty when there is none"),
          text("cause", &Row::cause, 32,
               "`slow_compute`, `slow_host`, `slow_lan`, `slow_wan`, `late_launch` or `unknown`"),
          text("culprit", &Row::culprit, 128,
               "such as `rank 4 on b2`, `host b2`, `site B`, `A -> B` or `A - B`; empty when unknown"),
          number("confidence", &Row::confidence, "1", "that cause and culprit are right, 0 to 1"),
          text("why", &Row::why, 512, "the evidence that led there"),
      }};
  return spec;
}

template <>
const TableSpec<FailureRow>& table() {
  using Row = FailureRow;
  static const TableSpec<Row> spec{
      "failures",
      "What went wrong: wrong data, dead ranks, passed deadlines, missing evidence.",
      64,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", "rank in the launch; -1: the launch as a whole"),
          number("step", &Row::step, "", "-1: no step in particular"),
          number("op", &Row::op, "", "-1: no op in particular"),
          text("kind", &Row::kind, 32,
               "`wrong_value`, `checksum_mismatch`, `checksum`, `deadline`, `transport`, `killed`, "
               "`launch`, `missing_evidence`, `graph_mismatch`, `dropped_rows`, ..."),
          number("offset", &Row::offset, "1", "`wrong_value`: element of the op's result"),
          number("expected", &Row::expected, "1", "`wrong_value`: what it should hold"),
          number("observed", &Row::observed, "1", "`wrong_value`: what it holds"),
          number("utc_ns", &Row::utc_ns, "ns",
                 "UTC time of the record, since 1970-01-01; 0 when found in the evidence"),
          text("message", &Row::message, 512, "one line for a person"),
      }};
  return spec;
}

template <>
const TableSpec<IncidentRow>& table() {
  using Row = IncidentRow;
  static const TableSpec<Row> spec{
      "incidents",
      "What ended an attempt or spoilt its data: one row for one cause, however many ranks died of it.",
      16,
      {
          number("leg", &Row::leg, "", kLeg),
          number("incident", &Row::incident, "", "index in the run"),
          text("kind", &Row::kind, 32,
               "`hang`, `rank_killed`, `rank_crashed`, `rank_aborted`, `out_of_memory`, `host_lost`, "
               "`site_cut`, `transport_error`, `wrong_data`, `silent_data_corruption`, `device_error`, "
               "`disk_full`, `launch_failed` or `unknown`"),
          text("culprit", &Row::culprit, 128,
               "such as `rank 4 on b2`, `host b2`, `site B` or `A - B`; empty when unknown"),
          number("confidence", &Row::confidence, "1", "that kind and culprit are right, 0 to 1"),
          number("step", &Row::step, "", "at which it showed first; -1: none in particular"),
          number("op", &Row::op, "", "at which it showed first; -1: none in particular"),
          number("began_utc_ns", &Row::began_utc_ns, "ns",
                 "UTC time of the first symptom, since 1970-01-01; 0: not known"),
          number("detected_utc_ns", &Row::detected_utc_ns, "ns",
                 "UTC time at which a rank or the controller knew of it"),
          number("ranks_hit", &Row::ranks_hit, "1", "ranks that could not go on"),
          number("steps_lost", &Row::steps_lost, "1",
                 "steps that every rank had completed and no checkpoint had saved"),
          text("first_symptom", &Row::first_symptom, 256, "what showed first"),
          text("cause", &Row::cause, 256, "as far as it is known"),
          text("story", &Row::story, 1024, "what a person has to know, one paragraph"),
          text("recovery", &Row::recovery, 16, "`stop`, `same`, `exclude` or `spare`: what followed"),
          text("recovery_detail", &Row::recovery_detail, 256, "hosts that went and came"),
      }};
  return spec;
}

template <>
const TableSpec<CheckpointRow>& table() {
  using Row = CheckpointRow;
  static const TableSpec<Row> spec{
      "checkpoints",
      "One row a checkpoint and rank: parameters and optimizer state, saved or loaded.",
      64,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", kRank),
          text("action", &Row::action, 8, "`save` or `load`"),
          number("step", &Row::step, "1", "training steps of the leg and round that it holds"),
          number("bytes", &Row::bytes, "byte", "of this rank's share"),
          number("begin_ns", &Row::begin_ns, "ns", kBegin),
          number("end_ns", &Row::end_ns, "ns",
                 "on the clock of the rank's host: flushed to the file system, and read back"),
          number("checksum", &Row::checksum, "", "of the contents"),
          number("verified", &Row::verified, "", "1: what was read is what was written, else 0"),
      }};
  return spec;
}

template <>
const TableSpec<ProbeRow>& table() {
  using Row = ProbeRow;
  static const TableSpec<Row> spec{
      "probes",
      "Small packets between sites beside the run: one row a pair of ranks and about a second.",
      256,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", "that sent them"),
          number("peer", &Row::peer, "", "rank that answered"),
          number("begin_ns", &Row::begin_ns, "ns", "on the clock of the sender's host"),
          number("end_ns", &Row::end_ns, "ns", "on the clock of the sender's host"),
          number("sent", &Row::sent, "1", "packets"),
          number("lost", &Row::lost, "1", "packets that were not answered in time"),
          number("rtt_min_ns", &Row::rtt_min_ns, "ns", "shortest round trip; 0 when none was answered"),
          number("rtt_mean_ns", &Row::rtt_mean_ns, "ns", "mean round trip; 0 when none was answered"),
          number("rtt_max_ns", &Row::rtt_max_ns, "ns", "longest round trip; 0 when none was answered"),
          number("received", &Row::received, "1", "packets that the peer sent of its own and that came in"),
          number("out_min_ns", &Row::out_min_ns, "ns",
                 "shortest way to the peer, from the sender's clock to the peer's: how the two differ is in "
                 "it, so "
                 "compare only with other rows of the same pair"),
          number("out_max_ns", &Row::out_max_ns, "ns", "longest way to the peer, likewise"),
          number("back_min_ns", &Row::back_min_ns, "ns",
                 "shortest way back, from the peer's clock to the sender's"),
          number("back_max_ns", &Row::back_max_ns, "ns", "longest way back, likewise"),
      }};
  return spec;
}

template <>
const TableSpec<DrillRow>& table() {
  using Row = DrillRow;
  static const TableSpec<Row> spec{
      "drills",
      "Faults that the plan asked for: a row when one is made, and another when it is taken back.",
      16,
      {
          number("leg", &Row::leg, "", kLeg),
          number("drill", &Row::drill, "", "index in the plan, from 0"),
          text("kind", &Row::kind, 32, "as in the plan"),
          text("target", &Row::target, 128, "such as `rank 4`, `host b2`, `site B`, `A - B` or `A -> B`"),
          number("step", &Row::step, "", "that was under way; -1: not known"),
          number("begin_utc_ns", &Row::begin_utc_ns, "ns", "UTC time at which it acted"),
          number("end_utc_ns", &Row::end_utc_ns, "ns", "UTC time at which it was taken back; 0: never"),
          text("how", &Row::how, 256, "signal, command or call that made it"),
      }};
  return spec;
}

template <>
const TableSpec<EventRow>& table() {
  using Row = EventRow;
  static const TableSpec<Row> spec{
      "events",
      "What the controller saw while it ran, for those who follow the file live. Never judged by.",
      64,
      {
          number("utc_ns", &Row::utc_ns, "ns", "UTC time, since 1970-01-01"),
          number("leg", &Row::leg, "", "index of the launch; -1: the whole run"),
          text("kind", &Row::kind, 16,
               "`stall_begin`, `stall_end`, `process`, `drill`, `incident` or `restart`"),
          text("message", &Row::message, 512, "one line for a person"),
      }};
  return spec;
}

template <>
const TableSpec<ProvenanceRow>& table() {
  using Row = ProvenanceRow;
  static const TableSpec<Row> spec{
      "provenance",
      "Facts about where and how it ran: versions, hardware, and those settings that matter.",
      128,
      {
          number("leg", &Row::leg, "", "index of the launch; -1: the whole run"),
          number("rank", &Row::rank, "", "rank in the launch; -1: the machine of the controller"),
          text("key", &Row::key, 64, "such as `kernel.release` or `env.OMP_NUM_THREADS`"),
          text("value", &Row::value, 512, "of the key"),
      }};
  return spec;
}

}  // namespace lockstep::record
