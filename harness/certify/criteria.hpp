#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/certify/metrics.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::certify {

enum class Status { pass, fail, unknown };
[[nodiscard]] const char* to_string(Status status);

/// Which side of the threshold is good.
enum class Bound { at_least, at_most };
[[nodiscard]] const char* to_string(Bound bound);

/// One line of the verdict.
struct Criterion {
  std::string name;   ///< eta, tail_ratio, exposed_wan, site_contribution.<site>, effective_time, data,
                      ///< rate_drift, ...
  std::string title;  ///< in words
  Status status = Status::unknown;
  std::optional<double> value;
  std::optional<stats::Interval> interval;
  double threshold = 0.0;
  Bound bound = Bound::at_least;
  std::string unit;  ///< "1" for a ratio
  std::string axis;  ///< over what the value is taken
  std::string method;
  bool for_grade_a = true;  ///< false: it decides about another grade only
};

/// Judges the metrics. A value that could not be computed is `unknown`, never a pass.
[[nodiscard]] std::vector<Criterion> judge(const Metrics& metrics, const plan::Plan& plan);

}  // namespace lockstep::certify
