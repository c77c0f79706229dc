#pragma once

#include <map>
#include <string>
#include <utility>

#include "harness/cuda/nvml.hpp"
#include "harness/watch/health_source.hpp"

namespace lockstep::watch {

/// A card by NVML.
class NvmlHealth final : public HealthSource {
 public:
  explicit NvmlHealth(cuda::NvmlCard card) : card_(std::move(card)) {}
  [[nodiscard]] record::DeviceRow describe() const override;
  [[nodiscard]] HealthReading read(std::int64_t now_ns) override;

 private:
  cuda::NvmlCard card_;
};

/// `thermal_ns, xid (Not Supported); power_w (Unknown Error)`, from columns and reasons.
[[nodiscard]] std::string missing_text(const std::map<std::string, std::string>& missing);

}  // namespace lockstep::watch
