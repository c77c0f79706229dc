#include "harness/app/rank_faults.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <fmt/format.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"

namespace lockstep::app {

record::FailureRow failure_row(const record::RankMeta& meta, const Fault& fault) {
  record::FailureRow row;
  row.leg = meta.leg.leg;
  row.rank = static_cast<std::int32_t>(meta.rank.rank);
  row.step = fault.step;
  row.op = fault.op;
  row.kind = fault.kind;
  row.utc_ns = utc_ns();
  row.message = fault.message;
  return row;
}

std::string own_stop(double stood_still_s) {
  constexpr double kMomentS = 0.5;  // a busy machine takes a core away for less
  return stood_still_s < kMomentS
             ? std::string()
             : fmt::format("; this rank itself stood still for {:.1f} s of it", stood_still_s);
}

record::FailureRow wrong_value(const record::RankMeta& meta, const step::StepGraph& graph, std::uint32_t step,
                               const step::Corruption& corruption) {
  record::FailureRow row = failure_row(
      meta, {.kind = "wrong_value",
             .message = fmt::format(
                 "{} wrong values in {} of step {}; the first at element {}: expected {}, found {}",
                 corruption.wrong_elements, graph.op(corruption.op).name, step, corruption.first.offset,
                 corruption.first.expected, corruption.first.observed),
             .step = static_cast<std::int32_t>(step),
             .op = static_cast<std::int32_t>(corruption.op.value())});
  row.offset = corruption.first.offset;
  row.expected = corruption.first.expected;
  row.observed = corruption.first.observed;
  return row;
}

record::FailureRow wrong_product(const record::RankMeta& meta, const step::StepGraph& graph,
                                 std::uint32_t step, const step::WrongProduct& product) {
  record::FailureRow row = failure_row(
      meta,
      {.kind = "checksum",
       .message = fmt::format("{} columns of {} of step {} have a wrong checksum; column {}: expected {}, "
                              "found {}, tolerance {}",
                              product.wrong_columns, graph.op(product.op).name, step, product.column,
                              product.expected, product.observed, product.tolerance),
       .step = static_cast<std::int32_t>(step),
       .op = static_cast<std::int32_t>(product.op.value())});
  row.offset = product.column;
  row.expected = product.expected;
  row.observed = product.observed;
  return row;
}

Fault failed_step(const step::StepGraph& graph, std::uint32_t step, const step::StepResult& result,
                  std::span<const std::int64_t> deadlines_ns, const std::string& stands) {
  const bool deadline = result.status == step::StepStatus::deadline;
  const std::string& name = graph.op(result.op).name;
  const bool device = result.status == step::StepStatus::compute_error;
  Fault fault{.kind = deadline ? "deadline"
                      : device ? "device"
                               : "transport",
              .message = {},
              .step = static_cast<std::int32_t>(step),
              .op = static_cast<std::int32_t>(result.op.value())};
  if (!deadline) {
    fault.message = fmt::format("{} of step {}: {}; {}", name, step, result.message, stands);
    return fault;
  }
  const std::vector<OpId> comms = graph.comm_ops();
  const auto index =
      static_cast<std::size_t>(std::find(comms.begin(), comms.end(), result.op) - comms.begin());
  fault.message = fmt::format("{} of step {} was not complete after its deadline of {:g} s; {}{}", name, step,
                              seconds_from_ns(deadlines_ns[index]), stands,
                              own_stop(seconds_from_ns(result.stood_still_ns)));
  return fault;
}

}  // namespace lockstep::app
