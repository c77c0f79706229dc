#include "harness/campaign/host_facts.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "harness/campaign/program_output.hpp"
#include "harness/core/cpu_set.hpp"
#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/core/version.hpp"
#include "harness/hdf5/error.hpp"
#include "harness/placement/choose.hpp"
#include "harness/placement/gpu_environment.hpp"
#include "harness/placement/read_host.hpp"

namespace lockstep::campaign {
namespace {

namespace fs = std::filesystem;

constexpr double kProgramS = 20.0;  // for a program to tell its version
constexpr int kMostCgroupLevels = 32;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return std::string(trim(line));
}

std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? value : 0;
}

/// The last of the figures in a line: what `tcp_rmem` may grow to.
std::uint64_t last_figure(const std::string& path) {
  std::istringstream words{first_line(path)};
  std::string last;
  for (std::string word; words >> word;)
    last = word;
  return number_of(last);
}

std::string link_target(const std::string& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? std::string() : target.string();
}

/// This process's cgroup (v2), as a folder below `/sys/fs/cgroup`; empty when there is none.
fs::path own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::/"))
      return fs::path("/sys/fs/cgroup") / line.substr(4);
  }
  return {};
}

/// A limit holds for everything below the group that has it.
void read_cgroup_limits(HostFacts& facts) {
  fs::path group = own_cgroup();
  for (int i = 0; i < kMostCgroupLevels && group.string().starts_with("/sys/fs/cgroup"); ++i) {
    const double cpus = parse_cpu_limit(first_line(group / "cpu.max"));
    if (cpus > 0.0)
      facts.cgroup_cpus = facts.cgroup_cpus > 0.0 ? std::min(facts.cgroup_cpus, cpus) : cpus;
    const std::uint64_t bytes = number_of(first_line(group / "memory.max"));
    if (bytes > 0)
      facts.cgroup_memory_bytes =
          facts.cgroup_memory_bytes > 0 ? std::min(facts.cgroup_memory_bytes, bytes) : bytes;
    if (group == group.parent_path())
      break;
    group = group.parent_path();
  }
}

std::uint64_t limit_of(__rlimit_resource resource) {
  rlimit limit{};
  return ::getrlimit(resource, &limit) == 0 ? limit.rlim_cur : 0;
}

/// What the kernel's own clock discipline says: it knows of any daemon that steers it.
std::string clock_state() {
  timex state{};
  const int answer = ::adjtimex(&state);
  if (answer < 0)
    return {};
  return answer == TIME_ERROR || (state.status & STA_UNSYNC) != 0 ? "not synchronised" : "synchronised";
}

std::string hash_or_empty(const std::string& path) {
  try {
    return sha256_file(path);
  } catch (const RunError&) {
    return {};
  }
}

/// `mpirun (Open MPI) 4.1.4` -> `4.1.4`; else the first line as it is.
std::string version_of(const std::string& launcher) {
  const ProgramOutput output = output_of({{launcher, "--version"}, {}}, kProgramS);
  if (!output.error.empty())
    return {};
  const std::string line(trim(output.text.substr(0, output.text.find('\n'))));
  constexpr std::string_view kMarker = "(Open MPI) ";
  const std::size_t at = line.find(kMarker);
  return at == std::string::npos ? line : line.substr(at + kMarker.size());
}

/// Asks the loader and does not run the program.
void read_rank_program(const std::string& rank_program, HostFacts& facts) {
  if (rank_program.empty())
    return;
  if (::access(rank_program.c_str(), X_OK) != 0) {
    facts.rank_program_error = rank_program + " is not there, or cannot be executed";
    return;
  }
  facts.software["lockstep-rank sha256"] = hash_or_empty(rank_program);
  const ProgramOutput output = output_of({{rank_program}, {{"LD_TRACE_LOADED_OBJECTS", "1"}}}, kProgramS);
  for (const LoadedLibrary& library : parse_loaded_libraries(output.text)) {
    if (library.path.empty())
      facts.missing_libraries.push_back(library.name);
    if (library.path.empty() || !library.name.starts_with("libmpi.so"))
      continue;
    std::error_code error;
    const fs::path file = fs::canonical(library.path, error);
    facts.software["libmpi"] = error ? library.name : file.filename().string();
    facts.software["libmpi sha256"] = hash_or_empty(library.path);
  }
}

/// GPUs that hwloc finds on the PCI bus, and those that only the driver lists (a container may hide the bus).
placement::HostMap host_map(HostFacts& facts) {
  try {
    return placement::read_this_host();
  } catch (const RunError& error) {
    facts.gpu_problem = error.what();
    return {};
  }
}

}  // namespace

void describe_gpus(const placement::HostMap& map, std::vector<placement::InstalledGpu> installed,
                   const placement::GpuEnvironment& environment, HostFacts& facts) {
  std::vector<placement::InstalledGpu> all = std::move(installed);
  for (const placement::Gpu& gpu : map.gpus) {
    const auto same = [&](const placement::InstalledGpu& one) { return one.bus_id == gpu.bus_id; };
    if (std::none_of(all.begin(), all.end(), same))
      all.push_back({gpu.bus_id, {}, {}});
  }
  std::sort(all.begin(), all.end(), [](const placement::InstalledGpu& a, const placement::InstalledGpu& b) {
    return a.bus_id < b.bus_id;
  });
  const placement::VisibleGpus visible = placement::visible_gpus(all, environment.cuda_visible_devices);
  facts.gpus_usable = static_cast<std::uint32_t>(visible.gpus.size());
  if (!visible.problem.empty())
    facts.gpu_problem = visible.problem;
  for (const placement::InstalledGpu& one : all) {
    HostGpu& gpu = facts.gpus.emplace_back();
    gpu.bus_id = one.bus_id;
    gpu.model = one.model;
    if (const placement::Gpu* place = map.gpu(one.bus_id)) {
      gpu.cpus = place->near == map.cpus ? std::string() : place->near.text();
      gpu.nics = placement::nic_names(map, *place);
    }
    gpu.visible =
        std::any_of(visible.gpus.begin(), visible.gpus.end(), [&](const placement::VisibleGpu& seen) {
          // An instance (MIG) may be of any of them.
          return seen.bus_id == one.bus_id || seen.bus_id.empty();
        });
  }
}

namespace {

/// `8 x NVIDIA H200`; several kinds one after the other.
std::string gpu_models(const std::vector<HostGpu>& gpus) {
  std::map<std::string, int> counts;
  for (const HostGpu& gpu : gpus)
    ++counts[gpu.model.empty() ? "NVIDIA GPU" : gpu.model];
  std::vector<std::string> parts;
  for (const auto& [model, count] : counts)
    parts.push_back(std::to_string(count) + " x " + model);
  return join(parts, ", ");
}

void read_gpus(HostFacts& facts) {
  const placement::HostMap map = host_map(facts);
  describe_gpus(map, placement::installed_gpus(),
                placement::gpu_environment([](const char* name) { return std::getenv(name); }), facts);
  if (facts.gpus.empty())
    return;
  facts.software["GPUs"] = gpu_models(facts.gpus);
  facts.software["NVIDIA driver"] = placement::nvidia_driver_version();
}

void read_network_limits(HostFacts& facts) {
  facts.tcp_rmem_max = last_figure("/proc/sys/net/ipv4/tcp_rmem");
  facts.tcp_wmem_max = last_figure("/proc/sys/net/ipv4/tcp_wmem");
  facts.core_rmem_max = last_figure("/proc/sys/net/core/rmem_max");
  facts.core_wmem_max = last_figure("/proc/sys/net/core/wmem_max");
  facts.congestion_control = first_line("/proc/sys/net/ipv4/tcp_congestion_control");
}

}  // namespace

HostFacts gather_host_facts(const std::string& launcher, const std::string& rank_program) {
  HostFacts facts;
  facts.host_name = short_host_name();
  facts.boot_id = boot_id();
  facts.network_namespace = link_target("/proc/self/ns/net");
  facts.addresses = watch::interface_addresses();
  facts.usable_cpus = static_cast<std::uint32_t>(usable_cpus());
  facts.cpu_list = CpuSet::of_this_thread().text();
  read_cgroup_limits(facts);
  double load = 0.0;
  if (::getloadavg(&load, 1) == 1)
    facts.load_average = load;
  facts.memory_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  facts.memlock_bytes = limit_of(RLIMIT_MEMLOCK);
  facts.open_files = limit_of(RLIMIT_NOFILE);
  read_network_limits(facts);
  facts.clock_source = first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  facts.clock_state = clock_state();
  facts.software["lockstep version"] = version();
  facts.software["lockstep sha256"] = hash_or_empty("/proc/self/exe");
  facts.software["HDF5"] = hdf5::library_version();
  struct utsname kernel {};
  if (::uname(&kernel) == 0)
    facts.software["kernel"] = kernel.release;
  if (!launcher.empty())
    facts.software["Open MPI"] = version_of(launcher);
  read_rank_program(rank_program, facts);
  read_gpus(facts);
  return facts;
}

std::vector<LoadedLibrary> parse_loaded_libraries(std::string_view text) {
  std::vector<LoadedLibrary> libraries;
  for (const std::string& line : split(text, '\n')) {
    constexpr std::string_view kArrow = " => ";
    const std::size_t at = line.find(kArrow);
    if (at == std::string::npos)
      continue;
    std::string path(trim(std::string_view(line).substr(at + kArrow.size())));
    if (path == "not found")
      path.clear();
    else
      path = path.substr(0, path.find(" (0x"));
    libraries.push_back({std::string(trim(std::string_view(line).substr(0, at))), path});
  }
  return libraries;
}

double parse_cpu_limit(std::string_view text) {
  std::istringstream words{std::string(text)};
  double quota = 0.0;
  double period = 0.0;
  if (!(words >> quota >> period) || quota <= 0.0 || period <= 0.0)
    return 0.0;
  return quota / period;
}

}  // namespace lockstep::campaign
