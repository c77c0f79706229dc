#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/watch/health_source.hpp"

namespace lockstep::watch {

/// The processors of this host as Linux shows them: clocks (cpufreq), the kernel's counters of thermal
/// throttling, temperature (thermal zones, or the sensors of the processors), energy (RAPL, where it may be
/// read) and memory errors (EDAC). At most 16 CPUs are looked at, spread over all, so that a look stays cheap
/// on large hosts.
class CpuHealth final : public HealthSource {
 public:
  /// `root`: where /sys and /proc are; a test puts its own there.
  explicit CpuHealth(std::string root = "");
  [[nodiscard]] record::DeviceRow describe() const override;
  /// A throttle is told when a counter has risen since the reading before; power is the mean since then.
  [[nodiscard]] HealthReading read(std::int64_t now_ns) override;

 private:
  struct Energy {
    std::string file;
    std::int64_t range_uj = 0;  ///< the counter begins anew there
    std::int64_t last_uj = -1;
  };
  void find_files();
  void find_temperatures();
  void find_energies();
  [[nodiscard]] std::optional<double> power(std::int64_t now_ns);

  std::string root_;
  std::vector<std::string> clocks_;
  std::vector<std::string> throttle_counts_;
  std::vector<std::string> throttle_times_ms_;
  std::vector<std::string> temperatures_;
  std::vector<std::string> corrected_;
  std::vector<std::string> uncorrected_;
  std::vector<Energy> energies_;
  std::optional<std::int64_t> throttle_count_;  ///< at the reading before
  std::int64_t energy_ns_ = 0;                  ///< time of that reading
  HealthReading first_;                         ///< what can be told at all
};

}  // namespace lockstep::watch
