#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "harness/record/journal.hpp"
#include "harness/step/executor.hpp"
#include "harness/step/graph.hpp"

/// What a rank says of what went wrong.
namespace lockstep::app {

/// A failure of this rank, now. `step` and `op` are of the launch and the graph; -1: none in particular.
struct Fault {
  std::string kind;  ///< as FailureRow::kind
  std::string message;
  std::int32_t step = -1;
  std::int32_t op = -1;
};
[[nodiscard]] record::FailureRow failure_row(const record::RankMeta& meta, const Fault& fault);

/// `; this rank itself stood still for 2.3 s of it`, or nothing where it did not.
[[nodiscard]] std::string own_stop(double stood_still_s);

/// Wrong data in a communication of a completed step.
[[nodiscard]] record::FailureRow wrong_value(const record::RankMeta& meta, const step::StepGraph& graph,
                                             std::uint32_t step, const step::Corruption& corruption);

/// A product of a completed step whose checksum does not hold. `offset` of the row is the column.
[[nodiscard]] record::FailureRow wrong_product(const record::RankMeta& meta, const step::StepGraph& graph,
                                               std::uint32_t step, const step::WrongProduct& product);

/// A step that was not completed. `deadlines_ns` are the communications', `stands` is where the rank stood.
[[nodiscard]] Fault failed_step(const step::StepGraph& graph, std::uint32_t step,
                                const step::StepResult& result, std::span<const std::int64_t> deadlines_ns,
                                const std::string& stands);

}  // namespace lockstep::app
