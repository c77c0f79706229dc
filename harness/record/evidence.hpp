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
  std::uint32_t first_step = 0;  ///< training steps that earlier attempts of this leg and round had saved
  std::uint32_t ranks = 0;       ///< that should leave a journal
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
  std::int32_t op = -1;     ///< of the graph, that most of the extra time was lost in; -1: none in particular
  std::string phase{};      ///< of that op: forward, backward, optimizer; empty when there is none
  std::string cause{};      ///< slow_compute, slow_host, slow_lan, slow_wan, late_launch, unknown
  std::string culprit{};    ///< rank 4 on b2, host b2, site B, A -> B, A - B; empty when unknown
  double confidence = 0.0;  ///< that cause and culprit are right, 0 to 1
  std::string why{};        ///< the evidence that led there, one line
  bool operator==(const StallRow&) const = default;
};

struct FailureRow {
  std::uint32_t leg = 0;
  std::int32_t rank = -1;  ///< -1: the launch as a whole
  std::int32_t step = -1;
  std::int32_t op = -1;
  std::string kind;  ///< wrong_value, checksum_mismatch, checksum, deadline, transport, killed, launch,
                     ///< missing_evidence, ...
  std::uint64_t offset = 0;  ///< element in the op's result, for wrong_value
  double expected = 0.0;
  double observed = 0.0;
  std::int64_t utc_ns = 0;
  std::string message;
  bool operator==(const FailureRow&) const = default;
};

/// Something that ended an attempt, or spoilt its data: one row for one cause, however many ranks died of it.
struct IncidentRow {
  std::uint32_t leg = 0;
  std::uint32_t incident = 0;  ///< index in the run
  std::string kind;  ///< hang, rank_killed, rank_crashed, rank_aborted, out_of_memory, host_lost, site_cut,
                     ///< transport_error, wrong_data, silent_data_corruption, device_error, disk_full,
                     ///< launch_failed, unknown
  std::string culprit;               ///< rank 4 on b2, host b2, site B, A - B; empty when unknown
  double confidence = 0.0;           ///< that kind and culprit are right, 0 to 1
  std::int32_t step = -1;            ///< of the launch, at which it showed first; -1: none in particular
  std::int32_t op = -1;              ///< of the graph, at which it showed first; -1: none in particular
  std::int64_t began_utc_ns = 0;     ///< first symptom; 0: not known
  std::int64_t detected_utc_ns = 0;  ///< somebody knew of it
  std::uint32_t ranks_hit = 0;       ///< ranks that could not go on
  std::uint32_t steps_lost = 0;      ///< completed by all ranks and saved by no checkpoint
  std::string first_symptom;         ///< one line
  std::string cause;                 ///< as far as it is known, one line
  std::string story;                 ///< what a person has to know, one paragraph
  std::string recovery;              ///< stop, same, exclude, spare; what was decided after it
  std::string recovery_detail;       ///< hosts that went and came, one line
  bool operator==(const IncidentRow&) const = default;
};

/// A checkpoint of one rank, saved or loaded.
struct CheckpointRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;
  std::string action;      ///< save, load
  std::uint32_t step = 0;  ///< training steps that it holds, of the leg and round
  std::uint64_t bytes = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;  ///< written, flushed to the file system and read back
  std::uint64_t checksum = 0;
  std::uint32_t verified = 0;  ///< 1: what was read back is what was written
  bool operator==(const CheckpointRow&) const = default;
};

/// What small packets told of the way from one site to another within a second or so.
struct ProbeRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;     ///< that sent them
  std::uint32_t peer = 0;     ///< that answered
  std::int64_t begin_ns = 0;  ///< on the sender's clock
  std::int64_t end_ns = 0;
  std::uint32_t sent = 0;
  std::uint32_t lost = 0;       ///< not answered in time
  std::int64_t rtt_min_ns = 0;  ///< 0 when none was answered
  std::int64_t rtt_mean_ns = 0;
  std::int64_t rtt_max_ns = 0;
  std::uint32_t received = 0;  ///< packets of the peer's own that came in
  std::int64_t out_min_ns =
      0;  ///< to the peer, from one host's clock to the other's: how those differ is in it
  std::int64_t out_max_ns = 0;
  std::int64_t back_min_ns = 0;  ///< from the peer, likewise
  std::int64_t back_max_ns = 0;
  bool operator==(const ProbeRow&) const = default;
};

/// A card or the processors of a host, as the rank that watches it found it before the first step.
struct DeviceRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;    ///< that watches it; of a card also the one that computes on it
  std::uint32_t device = 0;  ///< index among those that this rank watches
  std::string kind;          ///< gpu, cpu
  std::string name;
  std::string serial;  ///< empty when it is not told, as are the following
  std::string uuid;
  std::string pci_bus;
  std::string driver;
  std::string firmware;         ///< VBIOS of a card, microcode of processors
  double power_limit_w = -1.0;  ///< -1: not known
  std::string missing;          ///< columns of HealthRow that it does not tell, with the reason
  bool operator==(const DeviceRow&) const = default;
};

/// What a device showed since the row before. -1 in any column: it does not tell.
struct HealthRow {
  std::uint32_t leg = 0;
  std::uint32_t rank = 0;    ///< that read it
  std::uint32_t device = 0;  ///< as in DeviceRow
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  std::uint32_t readings = 0;
  std::uint32_t throttled = 0;   ///< of them, that showed a throttle for heat, a power brake or in hardware
  std::int64_t throttle = -1;    ///< bits that any reading showed, as NVML numbers them
  std::int64_t thermal_ns = -1;  ///< time throttled for heat; a counter, as are the next four
  std::int64_t ecc_corrected = -1;
  std::int64_t ecc_uncorrected = -1;
  std::int64_t remapped_rows = -1;
  std::int64_t link_errors = -1;
  std::int32_t remap_pending = -1;
  std::int32_t remap_failed = -1;
  std::int64_t xid = -1;        ///< the last event of that kind in this time; 0: none
  double clock_mhz = -1.0;      ///< mean
  double memory_mhz = -1.0;     ///< mean
  double temperature_c = -1.0;  ///< highest
  double power_w = -1.0;        ///< mean
  std::int64_t cost_ns = 0;     ///< that the readings took
  bool operator==(const HealthRow&) const = default;
};

/// A fault that the plan asked for, as it was made.
struct DrillRow {
  std::uint32_t leg = 0;
  std::uint32_t drill = 0;        ///< index in the plan
  std::string kind;               ///< as in the plan
  std::string target;             ///< rank 4, host b2, site B, A - B
  std::int32_t step = -1;         ///< of the launch, that was under way; -1: not known
  std::int64_t begin_utc_ns = 0;  ///< it acted
  std::int64_t end_utc_ns = 0;    ///< it was taken back; 0: never
  std::string how;                ///< signal, command or call that made it
  bool operator==(const DrillRow&) const = default;
};

/// What the controller saw while it ran, for those who follow the file live. Never judged by.
struct EventRow {
  std::int64_t utc_ns = 0;
  std::int32_t leg = -1;
  std::string kind;     ///< stall_begin, stall_end, process, drill, incident, restart
  std::string message;  ///< one line
  bool operator==(const EventRow&) const = default;
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
  std::vector<IncidentRow> incidents;
  std::vector<CheckpointRow> checkpoints;
  std::vector<ProbeRow> probes;
  std::vector<DeviceRow> devices;
  std::vector<HealthRow> health;
  std::vector<DrillRow> drills;
  std::vector<EventRow> events;
  std::vector<ProvenanceRow> provenance;
  bool operator==(const Evidence&) const = default;
};

}  // namespace lockstep::record
