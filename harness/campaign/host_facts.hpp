#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/campaign/survey_data.hpp"
#include "harness/placement/gpu_environment.hpp"
#include "harness/placement/host_map.hpp"

namespace lockstep::campaign {

/// Looks at this host. What cannot be found out stays empty; nothing here throws because of the machine.
/// The programs are looked at as files and asked for their version, never run.
[[nodiscard]] HostFacts gather_host_facts(const std::string& launcher, const std::string& rank_program);

/// Fills in the GPUs of `facts` from what hwloc, the driver's lists and the environment say. A pure function.
void describe_gpus(const placement::HostMap& map, std::vector<placement::InstalledGpu> installed,
                   const placement::GpuEnvironment& environment, HostFacts& facts);

/// A shared library that a program needs, as the loader reports it.
struct LoadedLibrary {
  std::string name;  ///< such as "libmpi.so.40"
  std::string path;  ///< empty: not found
  bool operator==(const LoadedLibrary&) const = default;
};
/// Lines `libmpi.so.40 => /usr/lib/libmpi.so.40 (0x...)` and `... => not found`; others are passed over.
[[nodiscard]] std::vector<LoadedLibrary> parse_loaded_libraries(std::string_view text);

/// CPUs of a cgroup v2 limit such as "150000 100000" (1.5); 0 for "max ..." and anything else.
[[nodiscard]] double parse_cpu_limit(std::string_view text);

}  // namespace lockstep::campaign
