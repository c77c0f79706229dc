#pragma once

#include <cstdint>
#include <string>

#include "harness/record/evidence.hpp"

namespace lockstep::app {

/// A run that never took place, with round figures: sites A and B of two ranks, each alone and both together,
/// two rounds of 110 steady steps. Alone a step lasts 10 ms, together `joint_step_us`; 1 ms of it is the
/// all-reduce of 1 MiB.
struct SyntheticRun {
  std::int64_t joint_step_us = 10'200;
  bool with_stall_and_failure = false;
};
[[nodiscard]] std::string synthetic_plan_text();
[[nodiscard]] record::Evidence synthetic_evidence(const SyntheticRun& run = {});

}  // namespace lockstep::app
