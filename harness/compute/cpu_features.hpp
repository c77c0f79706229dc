#pragma once

#include <set>
#include <string>
#include <string_view>

namespace lockstep::compute {

/// What the kernel says the CPUs of this machine can do. A flag is listed only when the operating system
/// saves the registers behind it too, so it is nearer to the truth than CPUID alone; a hypervisor may still
/// announce what it does not deliver.
struct CpuFeatures {
  std::string model;            ///< "model name" on x86; implementer and part on Arm
  std::set<std::string> flags;  ///< those that all CPUs have
  [[nodiscard]] bool has(const char* flag) const { return flags.contains(flag); }
};

/// Reads a text in the format of /proc/cpuinfo. Unknown lines are skipped; no CPU at all gives no flag.
[[nodiscard]] CpuFeatures parse_cpu_features(std::string_view cpuinfo);

/// Those of this machine; no flag when /proc/cpuinfo cannot be read.
[[nodiscard]] CpuFeatures read_cpu_features();

}  // namespace lockstep::compute
