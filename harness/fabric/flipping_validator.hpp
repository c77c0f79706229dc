#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "harness/fabric/pattern_validator.hpp"

namespace lockstep::fabric {

/// A PatternValidator in whose results a bit is flipped once before they are looked at: a fault on purpose,
/// as a memory or a link would make it.
class FlippingValidator final : public step::Validator {
 public:
  /// Where it flips: in the first communication of the step that is checked on this rank.
  struct Place {
    std::uint32_t step = 0;
    std::uint32_t comm_index = 0;
    std::uint64_t element = 0;
    int bit = 0;
  };
  /// Both references must outlive it. `before` is called just before the bit is flipped.
  FlippingValidator(const step::StepGraph& graph, PatternValidator& inner,
                    std::function<void(const Place&)> before)
      : graph_(graph), inner_(inner), before_(std::move(before)) {}
  /// It happens in this step, if that is a checked one. The thread that runs steps.
  void arm(std::uint32_t step) { armed_ = step; }

  void plant(std::uint32_t step, std::uint32_t comm_index, const step::Comm& comm,
             step::BufferSet& buffers) override {
    inner_.plant(step, comm_index, comm, buffers);
  }
  [[nodiscard]] step::ValidationResult check(std::uint32_t step, std::uint32_t comm_index,
                                             const step::Comm& comm, step::BufferSet& buffers) override;

 private:
  const step::StepGraph& graph_;
  PatternValidator& inner_;
  std::function<void(const Place&)> before_;
  std::optional<std::uint32_t> armed_;
};

}  // namespace lockstep::fabric
