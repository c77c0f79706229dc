#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/report/style.hpp"

namespace lockstep::report {

/// What one leg will be, worked out before anything runs. All figures are of one rank.
struct LegPreview {
  struct SiteShare {
    std::string name;
    std::uint32_t ranks = 0;
    std::vector<std::string> hosts;  ///< `name x slots`; empty when colocated
  };
  std::string name;
  std::string kind;
  std::uint32_t ranks = 0;
  std::vector<SiteShare> sites;
  std::string command;  ///< of its first launch
  double flops_per_step = 0.0;
  double tokens_per_step = 0.0;
  double sent_bytes_per_step = 0.0;  ///< onto the wire, by ring algorithms
  std::uint32_t communications = 0;  ///< in a step
  std::uint64_t memory_bytes = 0;    ///< of all buffers of the step graph
  std::optional<double> step_s;      ///< nullopt without a GEMM rate to reckon with
  std::optional<double> compute_s;
  std::optional<double> exposed_s;
  std::optional<double> exposed_wan_s;
};

/// The real system that a scaled-down plan stands for.
struct RealSystem {
  std::string model;
  double parameters = 0.0;
  double gpus = 0.0;  ///< of the joint leg
  double gpu_gflops = 0.0;
  double time_scale = 1.0;
  double step_s = 0.0;
  double tokens_per_step = 0.0;
  double gradient_bytes = 0.0;   ///< reduced in a step
  double wan_bytes_per_s = 0.0;  ///< egress of a site
  double wan_round_trip_s = 0.0;
};

/// What `lockstep check` prints.
struct Preview {
  std::string plan_name;
  std::string plan_path;
  std::string plan_sha256;
  std::string model;
  double parameters_per_rank = 0.0;
  std::uint32_t rounds = 0;
  std::uint32_t steps = 0;
  std::uint32_t warmup_steps = 0;
  std::vector<std::string> order;  ///< names of the legs as they are launched
  std::vector<LegPreview> legs;
  std::optional<double> total_s;  ///< expected time of all launches
  std::optional<RealSystem> stands_for;
  std::vector<std::string> rehearsal;  ///< why it is one; empty when it is none
  std::vector<std::string> warnings;
  std::vector<std::string> conventions;  ///< what the figures mean and rest on
};

[[nodiscard]] std::string preview_text(const Preview& preview, const Style& style);
/// One JSON document. Times in seconds, sizes in bytes.
[[nodiscard]] std::string preview_json(const Preview& preview);

}  // namespace lockstep::report
