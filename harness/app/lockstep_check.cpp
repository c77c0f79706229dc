#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "harness/app/lockstep_commands.hpp"
#include "harness/app/lockstep_hosts.hpp"
#include "harness/app/lockstep_prediction.hpp"
#include "harness/campaign/campaign.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/compute/kernel_choice.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/units.hpp"
#include "harness/record/journal.hpp"
#include "harness/report/preview.hpp"
#include "workloads/transformer.hpp"

namespace lockstep::app {
namespace {

// Steps for which a p99 of the step time can be claimed at 95 % confidence: 1 - 0.99^n >= 0.95.
constexpr double kGradientBytes = 4.0;  // fp32
constexpr std::uint32_t kStepsForP99Claim = 299;

/// Stands for the folder that a run will make.
constexpr const char* kResultsFolder = "RESULTS";

Rates choose_rates(const CheckRequest& request, const plan::Plan& plan) {
  Rates rates = rates_of_plan(plan);
  if (rates.gemm_gflops <= 0.0)
    rates.memory_gbps = request.memory_gbps;
  if (request.gemm_gflops) {
    rates.gemm_gflops = *request.gemm_gflops;
    rates.basis = "the GEMM rate given with --gemm-gflops";
  } else if (plan.compute.backend == plan::ComputeBackend::cpu) {
    const compute::KernelReport kernel = compute::choose_gemm_kernel(plan.compute.kernel);
    rates.gemm_gflops = kernel.best_gflops();
    rates.basis = "the GEMM rate measured on this machine with one core busy (" + kernel.chosen.name + ")";
  }
  return rates;
}

/// Programs as they would be launched, without asking whether they are there: a plan may be checked
/// elsewhere.
campaign::Programs programs_for_display(const PlanRequest& request) {
  campaign::Programs programs;
  programs.launcher = request.launcher.empty() ? "mpirun" : request.launcher;
  programs.rank_program = request.rank_program.empty() ? "lockstep-rank" : request.rank_program;
  return programs;
}

std::string command_of(const plan::Plan& plan, const campaign::Launch& launch,
                       const std::vector<campaign::HostSlots>& hosts, const campaign::Programs& programs) {
  const record::LegRow row =
      campaign::leg_row(plan, launch, campaign::ranks_of_leg(plan, plan.legs[launch.leg], hosts));
  const std::string folder = kResultsFolder;
  const std::string leg_folder = record::leg_folder_name(row);
  const campaign::LaunchPaths paths{.launcher_prefix = {},
                                    .launcher = programs.launcher,
                                    .rank_program = programs.rank_program,
                                    .plan_file = folder + "/plan.toml",
                                    .journals_folder = folder + "/journals/" + leg_folder,
                                    .hosts_file = folder + "/logs/" + leg_folder + ".hosts"};
  return campaign::shell_line(campaign::launch_command(plan, launch, hosts, paths, campaign::this_machine()));
}

class PreviewBuilder {
 public:
  PreviewBuilder(const CheckRequest& request, const plan::Plan& plan,
                 std::vector<campaign::HostSlots> hostfile)
      : request_(request), plan_(plan), rates_(choose_rates(request, plan)), hostfile_(std::move(hostfile)) {
    campaign::check_launchable(plan, hostfile_);
    // Ranks that compute for real on this one machine share its cores.
    if (plan.placement == plan::Placement::colocated && plan.compute.backend == plan::ComputeBackend::cpu)
      cores_ = campaign::this_machine().usable_cpus;
  }

  [[nodiscard]] report::Preview build() {
    report::Preview preview;
    preview.plan_name = plan_.name;
    preview.plan_path = plan_.path;
    preview.plan_sha256 = sha256(plan_.text);
    preview.model = plan_.workload.model.name.empty() ? "inline shape" : plan_.workload.model.name;
    preview.parameters_per_rank = workloads::parameters_per_rank(plan_.workload);
    preview.rounds = plan_.run.rounds;
    preview.steps = plan_.run.steps;
    preview.warmup_steps = plan_.run.warmup_steps;
    const auto launches = campaign::schedule(plan_);
    for (const campaign::Launch& launch : launches) {
      preview.order.push_back(plan_.legs[launch.leg].name);
      if (launch.round == 0)
        preview.legs.push_back(leg(launch));
    }
    preview.total_s = 0.0;
    for (const report::LegPreview& one : preview.legs) {
      if (!one.step_s) {
        preview.total_s.reset();
        break;
      }
      *preview.total_s += *one.step_s * plan_.run.rounds * (plan_.run.steps + plan_.run.warmup_steps);
    }
    preview.stands_for = real_system(preview);
    preview.rehearsal = plan::rehearsal_reasons(plan_);
    preview.warnings = warnings(preview);
    preview.conventions = conventions();
    return preview;
  }

 private:
  [[nodiscard]] report::LegPreview leg(const campaign::Launch& launch) const {
    const plan::Leg& leg = plan_.legs[launch.leg];
    const auto hosts = campaign::hosts_of_leg(plan_, leg, hostfile_);
    const auto ranks_per_site = campaign::ranks_per_site(plan_, leg, hostfile_);
    const step::StepGraph graph = build_graph(plan_, ranks_per_site);
    report::LegPreview preview;
    preview.name = leg.name;
    preview.kind = plan::to_string(leg.kind);
    preview.ranks = campaign::ranks_of_leg(plan_, leg, hosts);
    for (std::size_t i = 0; i < leg.sites.size(); ++i) {
      report::LegPreview::SiteShare share{plan_.sites[leg.sites[i].value()].name, ranks_per_site[i], {}};
      const plan::Leg only_site{leg.name, leg.kind, {leg.sites[i]}};
      for (const campaign::HostSlots& host : campaign::hosts_of_leg(plan_, only_site, hostfile_))
        share.hosts.push_back(fmt::format("{} x {}", host.host, host.slots));
      preview.sites.push_back(std::move(share));
    }
    preview.command = command_of(plan_, launch, hosts, programs_for_display(request_.plan));
    preview.flops_per_step = graph.flops();
    preview.tokens_per_step = graph.tokens_per_rank;
    preview.sent_bytes_per_step = sent_bytes(graph);
    preview.communications = static_cast<std::uint32_t>(graph.comm_ops().size());
    preview.memory_bytes = graph.memory_bytes();
    if (const auto step = predict_step(plan_, graph, ranks_per_site, rates_, cores_)) {
      preview.step_s = step->step_s;
      preview.compute_s = step->compute_s;
      preview.exposed_s = step->exposed_s;
      preview.exposed_wan_s = step->exposed_wan_s;
    }
    return preview;
  }

  /// The plan's joint leg, with bytes scaled by the models' parameters and times by the plan's scale: bytes /
  /// (bandwidth x time) and latency / time stay as they are.
  [[nodiscard]] std::optional<report::RealSystem> real_system(const report::Preview& preview) const {
    const auto joint = std::find_if(
        preview.legs.begin(), preview.legs.end(),
        [](const report::LegPreview& leg) { return leg.kind == plan::to_string(plan::LegKind::joint); });
    if (!plan_.stands_for || joint == preview.legs.end() || !joint->step_s)
      return std::nullopt;
    const plan::StandsFor& there = *plan_.stands_for;
    plan::Workload workload = plan_.workload;
    workload.model = there.model;
    workload.tensor_parallel = 1;
    report::RealSystem real;
    real.model = there.model.name;
    real.parameters = workloads::parameters_per_rank(workload);
    real.gpus = static_cast<double>(joint->ranks) * there.gpus_per_rank;
    real.gpu_gflops = there.gpu_gflops;
    real.time_scale = there.time_scale;
    real.step_s = *joint->step_s * there.time_scale;
    // 6 FLOPs a parameter and token (PaLM, arXiv 2204.02311, appendix B), without its attention term.
    real.tokens_per_step = real.step_s * real.gpus * there.gpu_gflops * 1e9 / (6.0 * real.parameters);
    real.gradient_bytes = kGradientBytes * real.parameters;
    real.wan_bytes_per_s =
        plan_.links.wan_gbps * 1e9 * real.parameters / preview.parameters_per_rank / there.time_scale;
    real.wan_round_trip_s = 2.0 * plan_.links.wan_latency_s * there.time_scale;
    return real;
  }

  [[nodiscard]] std::vector<std::string> warnings(const report::Preview& preview) const {
    std::vector<std::string> warnings;
    for (const report::LegPreview& leg : preview.legs) {
      if (cores_ > 0 && leg.ranks > cores_) {
        warnings.push_back(
            fmt::format("leg {} has {} computing ranks on {} cores: it measures this machine and not the "
                        "sites; set compute.backend to \"paced\", or use fewer slots",
                        leg.name, leg.ranks, cores_));
      }
      const double needed = static_cast<double>(leg.memory_bytes) * leg.ranks;
      if (cores_ > 0 && needed > memory_of_this_machine()) {
        warnings.push_back(fmt::format("leg {} needs {} of memory and this machine has {}", leg.name,
                                       format_bytes(needed), format_bytes(memory_of_this_machine())));
      }
    }
    if (plan_.run.steps * plan_.run.rounds < kStepsForP99Claim) {
      warnings.push_back(
          fmt::format("{} steady steps a leg: a p99 is an estimate only; a claim at 95 % confidence takes {}",
                      plan_.run.steps * plan_.run.rounds, kStepsForP99Claim));
    }
    return warnings;
  }

  [[nodiscard]] std::vector<std::string> conventions() const {
    std::vector<std::string> lines{
        "FLOPs: 2mnk for each matrix product, backward twice forward, attention without causal discount, no "
        "element-wise work",
        "sent: ring algorithms, all-reduce 2(n-1)/n S, reduce-scatter, all-gather and all-to-all (n-1)/n S",
        "memory: all buffers of the step; a paced run allocates only those that are sent",
        "step, compute, exposed: one step simulated on the links that the plan declares (alpha-beta model of "
        "ring algorithms)"};
    if (rates_.gemm_gflops > 0.0) {
      lines.push_back(fmt::format(
          "rates of one rank: {:.4g} GFLOP/s in GEMMs, {:.4g} GB/s in the optimizer pass; from {}",
          rates_.gemm_gflops, rates_.memory_gbps, rates_.basis));
    }
    lines.push_back(
        fmt::format("links: inside a site {} one way and {}, between sites {} one way and {}",
                    format_seconds(plan_.links.lan_latency_s), format_rate(plan_.links.lan_gbps * 1e9),
                    format_seconds(plan_.links.wan_latency_s), format_rate(plan_.links.wan_gbps * 1e9)));
    lines.push_back(fmt::format("{} in a command stands for the folder that the run makes", kResultsFolder));
    return lines;
  }

  static double memory_of_this_machine() {
    return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  }

  const CheckRequest& request_;
  const plan::Plan& plan_;
  Rates rates_;
  std::vector<campaign::HostSlots> hostfile_;
  std::uint32_t cores_ = 0;
};

}  // namespace

ExitCode run_check(const CheckRequest& request) {
  PlacedPlan placed = place_plan(request.plan);
  const report::Preview preview = PreviewBuilder(request, placed.plan, std::move(placed.hostfile)).build();
  print_out(request.plan.form == OutputForm::json
                ? report::preview_json(preview)
                : report::preview_text(preview, report::style_of(STDOUT_FILENO)));
  return ExitCode::certified;
}

}  // namespace lockstep::app
