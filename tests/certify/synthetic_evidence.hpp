#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

/// Evidence of a campaign that never ran: two sites, A and B, with a known truth. Every figure can be set, so
/// that a test changes one thing and sees what the verdict makes of it.
namespace lockstep::tests {

/// A step that takes longer than the others of its leg.
struct SlowStep {
  std::string leg;
  std::uint32_t round = 0;
  std::uint32_t step = 0;
  double extra_s = 0.0;
};

struct Scenario {
  std::uint32_t rounds = 4;
  std::uint32_t warmup_steps = 3;
  std::uint32_t steps = 60;  ///< steady, of each launch
  std::uint32_t ranks_per_site = 2;
  double alone_a_s = 0.1;  ///< step time
  double alone_b_s = 0.1;
  double joint_s = 0.1;
  double noise = 0.002;         ///< standard deviation of a step's time, relative
  double launch_noise = 0.001;  ///< of a launch's mean, relative
  double compute_share = 0.8;   ///< of the step
  double wan_transfer_s = 0.02;
  double wan_exposed_s = 0.001;  ///< of the transfer
  double wan_wait_s = 0.002;     ///< of rank 0, which arrives first
  std::uint64_t wan_bytes = 4'000'000;
  std::int64_t clock_bound_ns = 20'000;
  std::uint32_t validate_every = 10;  ///< steps
  std::vector<SlowStep> slow = {};
};

/// The plan of the scenario: legs A, B and joint, default criteria. `text` is no TOML unless given.
[[nodiscard]] plan::Plan make_plan(const Scenario& scenario, const std::string& text = "a synthetic plan\n");

[[nodiscard]] record::Evidence make_evidence(const Scenario& scenario, const plan::Plan& plan);

/// Index of a launch of `name` in the evidence.
[[nodiscard]] std::uint32_t launch_of(const record::Evidence& evidence, const std::string& name,
                                      std::uint32_t round);

/// Takes all rows of one launch out of the evidence, but not its announcement.
void drop_launch_rows(record::Evidence& evidence, std::uint32_t leg);

}  // namespace lockstep::tests
