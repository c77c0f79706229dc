#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"

namespace lockstep::plan {

/// One campus or data hall.
struct Site {
  std::string name;
  /// Host names, patterns such as `gpu-a[001-128]`, or IPv4/IPv6 networks in CIDR notation. Empty when
  /// colocated.
  std::vector<std::string> hosts;
  std::uint32_t slots = 1;            ///< ranks per host (ranks of the site when colocated)
  std::vector<std::string> spares{};  ///< hosts in reserve, written like `hosts`; see RestartPolicy::spare
  bool operator==(const Site&) const = default;
};

/// How ranks find their site.
enum class Placement {
  by_host,    ///< the host's name or address is looked up in the sites
  colocated,  ///< every site is on the machine that launches: ranks fill the sites in order. Always a
              ///< rehearsal.
};

/// Shapes of a decoder-only transformer.
struct ModelShape {
  std::string name;
  std::uint32_t layers = 0;
  std::uint32_t hidden = 0;
  std::uint32_t ffn = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t vocab = 0;
  bool gated_mlp = true;
  bool operator==(const ModelShape&) const = default;
};

/// How the products of a workload are computed.
enum class WorkloadDtype {
  f32,
  tf32,  ///< f32 in memory, multiplied with 10 bits of fraction
  bf16,  ///< weights and activations; gradients, moments and the optimizer's weights are f32
  f16,   ///< the same
  fp8,   ///< linear layers e4m3, their outputs' gradients e5m2; attention and head bf16; the rest as bf16
};

struct Workload {
  std::string kind = "transformer";
  ModelShape model;
  WorkloadDtype dtype = WorkloadDtype::f32;
  std::uint32_t sequence_length = 0;  ///< tokens
  std::uint32_t sequences = 1;        ///< per micro-batch
  std::uint32_t micro_batches = 1;    ///< per step, gradients accumulate over them
  std::uint32_t tensor_parallel = 1;  ///< ranks that share one replica, always inside one site
  std::uint64_t bucket_parameters =
      0;                ///< least parameters in a gradient bucket; 0: max(40M, 1M x data-parallel ranks)
  bool overlap = true;  ///< reduce a bucket while the rest of the backward pass runs
  /// The optimizer needs the norm of all gradients first; else each bucket is updated once it is reduced.
  bool gradient_clipping = true;
  bool operator==(const Workload&) const = default;
};

enum class ComputeBackend { cpu, paced, cuda };

/// Whether a step's ops are given to a GPU as captured graphs.
enum class GraphCapture { automatic, off, on };

struct Compute {
  ComputeBackend backend = ComputeBackend::cpu;
  std::string kernel = "auto";  ///< cpu: "auto", or a candidate's name such as "openblas:SkylakeX"
  GraphCapture graphs = GraphCapture::automatic;  ///< cuda
  double paced_gflops = 0.0;                      ///< paced: GEMM rate of one rank, GFLOP/s (1e9)
  double paced_memory_gbps = 0.0;                 ///< paced: rate of the optimizer pass, GB/s (1e9)
  bool operator==(const Compute&) const = default;
};

enum class FabricBackend {
  mpi,          ///< MPI from host memory
  nccl,         ///< NCCL between GPUs
  cuda_aware,   ///< MPI that is given device memory
  host_staged,  ///< MPI from host memory that GPU memory is copied to and from
};
enum class Progress { automatic, spin, backoff };
/// How gradients of several sites are summed.
enum class AllReduce {
  flat,          ///< one operation over all ranks
  hierarchical,  ///< inside each site, between the sites, inside each site
};

struct Fabric {
  FabricBackend backend = FabricBackend::mpi;
  Progress progress = Progress::automatic;
  AllReduce all_reduce = AllReduce::flat;
  std::uint32_t piece_mib = 32;  ///< hierarchical: an all-reduce is cut in pieces of about so many MiB
  std::uint32_t nccl_ctas = 0;   ///< nccl: most thread blocks of an operation; 0: NCCL's choice
  bool share_gpu = false;        ///< nccl: several ranks may be on one GPU; a rehearsal
  bool operator==(const Fabric&) const = default;
};

/// What `check` reckons with when it predicts times; never used to judge.
struct Links {
  double lan_latency_s = 20e-6;   ///< one way, inside a site
  double lan_gbps = 10.0;         ///< GB/s (1e9) per rank inside a site
  double wan_latency_s = 500e-6;  ///< one way, between sites
  double wan_gbps = 1.0;          ///< GB/s (1e9), egress of one site
  bool operator==(const Links&) const = default;
};

/// The real system that a scaled-down plan rehearses. Never used to judge: `check` works out from it what the
/// plan's bytes, rates and times are there.
struct StandsFor {
  ModelShape model;  ///< what is trained there
  std::uint32_t gpus_per_rank = 1;
  double gpu_gflops = 0.0;  ///< GFLOP/s (1e9) that each sustains in GEMMs
  double time_scale = 1.0;  ///< a second here is so many there: steps and round trips alike
  bool operator==(const StandsFor&) const = default;
};

struct Run {
  std::uint32_t steps = 100;       ///< steady steps in each launch
  std::uint32_t warmup_steps = 5;  ///< before them, recorded but never judged
  std::uint32_t rounds = 2;        ///< every leg is launched once a round; every other round in reverse order
  std::uint32_t op_stamp_steps = 5;  ///< stamps of all ops are kept for this many last steps
  bool operator==(const Run&) const = default;
};

struct Validation {
  double step_share = 0.1;      ///< share of the steps whose reduced data are checked on every rank
  std::uint32_t samples = 256;  ///< checked elements in each bucket
  bool operator==(const Validation&) const = default;
};

/// No wait is without one of these. In seconds.
///
/// A deadline of 0 goes by the rule: five times the longest that this rank has seen of its kind, after five
/// steps, and never less than `least_s`; until then `first_op_s`. (Rule and factor: the timeouts of NCCL and
/// of torch.distributed are fixed at minutes, and a hang then costs minutes of every rank.)
struct Deadlines {
  double launch_s = 60.0;    ///< from the launcher's start to the last rank's entry into MPI_Init
  double init_s = 60.0;      ///< MPI_Init
  double site_map_s = 60.0;  ///< ranks find each other and their sites, and set up
  double first_op_s = 60.0;  ///< clock synchronisation, the first barrier, and ops of the first steps
  double op_s = 0.0;         ///< one communication op inside a site; 0: by the rule
  double wan_op_s = 0.0;     ///< one communication op between sites; 0: by the rule
  double step_s = 0.0;       ///< one step; 0: by the rule
  double least_s = 5.0;      ///< of every deadline that goes by the rule
  double merge_s = 20.0;     ///< collection of the journals
  double finalize_s = 20.0;  ///< MPI_Finalize
  bool operator==(const Deadlines&) const = default;
};

/// What follows when an attempt has failed.
enum class RestartPolicy {
  stop,     ///< the launch has failed, and the campaign goes on with the next one
  same,     ///< again on the same hosts
  exclude,  ///< again without the hosts that failed
  spare,    ///< again, with hosts of Site::spares in the place of those that failed
};

struct Recovery {
  RestartPolicy policy = RestartPolicy::stop;
  std::uint32_t max_restarts = 3;      ///< of one launch of a leg
  double backoff_s = 1.0;              ///< before the first restart; doubles with each
  std::uint32_t checkpoint_steps = 0;  ///< steps between two checkpoints; 0: none is made
  std::string checkpoint_folder;       ///< empty: inside the results folder
  /// fp32 weights and the two moments of Adam; each rank saves its share.
  double checkpoint_bytes_per_parameter = 12.0;
  bool operator==(const Recovery&) const = default;
};

/// Small packets between sites, beside the run.
struct Probes {
  double per_second = 4.0;  ///< to every other site, from one rank of each; 0: none
  bool operator==(const Probes&) const = default;
};

/// Readings of cards and processors, beside the run.
struct Health {
  double per_second = 1.0;  ///< of every device; 0: none
  bool operator==(const Health&) const = default;
};

enum class DrillKind {
  kill,     ///< SIGKILL to a rank, or a host that is switched off
  crash,    ///< a rank's segmentation fault
  abort,    ///< a rank's abort()
  stop,     ///< SIGSTOP to a rank, or a host that is frozen
  slow,     ///< compute of a rank or of a host's ranks takes `factor` times as long
  hang,     ///< a rank enters no communication any more
  flip,     ///< a bit of a rank's payload
  fill,     ///< a rank's disk is full
  cut,      ///< the link between two sites
  degrade,  ///< the same, with `settings` as `lockstep lab link` takes them
  lose,     ///< a site: all of its hosts, at once
};

/// A fault on purpose. Exactly one of rank, host, site and between is given, as the kind demands.
struct Drill {
  DrillKind kind = DrillKind::kill;
  std::string leg;          ///< name; the joint leg unless the plan names another
  std::uint32_t round = 0;  ///< of that leg; it acts once, in whichever attempt comes to its step
  std::uint32_t step = 0;   ///< training step of the leg and round, warm-up included, at whose begin it acts
  double after_s = 0.0;     ///< and so much later
  double for_s = 0.0;       ///< 0: for good
  double factor = 0.0;      ///< slow
  std::optional<std::uint32_t> rank;
  std::string host;
  std::string site;
  std::vector<std::string> between;   ///< two sites
  bool one_way = false;               ///< cut, degrade: from the first of them to the second only
  std::vector<std::string> settings;  ///< degrade, such as rtt=20ms, loss=1%
  bool operator==(const Drill&) const = default;
};

struct Mpi {
  std::vector<std::string> mpirun_args;    ///< passed to mpirun as they are
  std::map<std::string, std::string> mca;  ///< --mca KEY VALUE
  bool operator==(const Mpi&) const = default;
};

/// One launch of the harness: which sites take part.
enum class LegKind { baseline, joint };
struct Leg {
  std::string name;
  LegKind kind = LegKind::baseline;
  std::vector<SiteId> sites;
  bool operator==(const Leg&) const = default;
};

enum class Grade { a_plus, a, b, c, d, inconclusive };

/// Thresholds of the verdict; the defaults are the design's.
struct Criteria {
  Grade required_grade = Grade::a;
  double confidence = 0.95;       ///< of the interval of eta
  std::uint32_t min_steps = 200;  ///< steady steps of each leg, all rounds together
  double eta_a_plus = 0.97;       ///< lower end of eta's interval
  double eta_a = 0.95;
  double eta_b = 0.85;
  double eta_max = 1.05;          ///< lower end of eta's interval above it: the baselines were disturbed
  double tail_ratio_max = 1.10;   ///< p99/p50 of the joint leg's step time
  double exposed_wan_max = 0.03;  ///< exposed WAN time / step time
  double site_contribution_min = 0.90;  ///< (joint - the other sites alone) / this site alone
  double effective_time_min = 0.90;     ///< effective-training-time ratio
  double clock_bound_max = 0.05;        ///< bound of the clock error / median step time
  double rate_drift_max = 0.05;         ///< loss of any rank's compute rate over a launch
  double low_communication_min = 0.95;  ///< compute share of a low-communication scheme, for grade C
  std::uint32_t low_communication_inner_steps = 100;
  bool operator==(const Criteria&) const = default;
};

struct Plan {
  std::string name;
  std::string path;  ///< where it was read, for messages
  std::string
      text;  ///< the file's text with --set overrides applied: what ranks hash and what evidence keeps
  Placement placement = Placement::by_host;
  std::vector<Site> sites;
  std::vector<Leg> legs;  ///< baselines in order of sites, then the joint leg, unless the plan lists its own
  Workload workload;
  Compute compute;
  Fabric fabric;
  Links links;
  std::optional<StandsFor> stands_for;  ///< nullopt: the plan is what it is
  Run run;
  Validation validation;
  Deadlines deadlines;
  Recovery recovery;
  Probes probes;
  Health health;
  std::vector<Drill> drills;
  Mpi mpi;
  Criteria criteria;
  bool operator==(const Plan&) const = default;
};

[[nodiscard]] const char* to_string(Grade grade);
[[nodiscard]] const char* to_string(ComputeBackend backend);
[[nodiscard]] const char* to_string(FabricBackend backend);
[[nodiscard]] const char* to_string(WorkloadDtype dtype);
[[nodiscard]] const char* to_string(GraphCapture capture);
[[nodiscard]] const char* to_string(Progress progress);
[[nodiscard]] const char* to_string(AllReduce all_reduce);
[[nodiscard]] const char* to_string(Placement placement);
[[nodiscard]] const char* to_string(LegKind kind);
[[nodiscard]] const char* to_string(RestartPolicy policy);
[[nodiscard]] const char* to_string(DrillKind kind);
/// `rank 4`, `host b2`, `site B`, `A - B`, `A -> B`
[[nodiscard]] std::string target_text(const Drill& drill);

/// Steps of a launch that goes on behind `first_step` training steps: the first ones are warm-up again, and
/// one at least is not. `first_step` is less than all steps of the run.
struct AttemptSteps {
  std::uint32_t warmup = 0;
  std::uint32_t steady = 0;
  bool operator==(const AttemptSteps&) const = default;
};
[[nodiscard]] AttemptSteps attempt_steps(const Run& run, std::uint32_t first_step);

/// Ranks that a leg has over all its sites; nullopt when a site's hosts are networks and cannot be counted.
[[nodiscard]] std::optional<std::uint32_t> declared_ranks(const Plan& plan, const Leg& leg);
[[nodiscard]] std::optional<std::uint32_t> declared_ranks(const Plan& plan, SiteId site);

/// Whether the buffers of this fabric are on a GPU.
[[nodiscard]] bool sends_from_gpu(FabricBackend backend);

/// Whether each rank needs a GPU, to compute or to communicate.
[[nodiscard]] bool uses_gpus(const Plan& plan);

/// Why a run of this plan is a rehearsal and no certificate of hardware; empty when it is none.
[[nodiscard]] std::vector<std::string> rehearsal_reasons(const Plan& plan);

}  // namespace lockstep::plan
