#include "harness/record/provenance.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <optional>
#include <string_view>

#include <sys/utsname.h>
#include <unistd.h>

#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/core/version.hpp"
#include "harness/hdf5/error.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): only some C libraries declare it

namespace lockstep::record {
namespace {

constexpr std::array kRecordedNames = {
    "OPENBLAS_CORETYPE",     "OPENBLAS_NUM_THREADS", "OPENBLAS_MAIN_FREE",   "BLIS_NUM_THREADS",
    "BLIS_ARCH_TYPE",        "DNNL_MAX_CPU_ISA",     "ONEDNN_MAX_CPU_ISA",   "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",       "OMP_PROC_BIND",        "OMP_PLACES",           "GOMP_CPU_AFFINITY",
    "MALLOC_ARENA_MAX",      "SLURM_JOB_ID",         "SLURM_NNODES",         "SLURM_NTASKS",
    "SLURM_CPUS_PER_TASK",   "SLURM_JOB_PARTITION",  "SLURM_CLUSTER_NAME",   "SLURM_JOB_NODELIST",
    "SLURM_DISTRIBUTION",    "SLURM_CPU_BIND",       "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_MAX_CONNECTIONS",
    "HDF5_USE_FILE_LOCKING", "LOCKSTEP_SITE",        "LOCKSTEP_LAB"};
constexpr std::array kRecordedPrefixes = {"OMPI_MCA_", "PMIX_MCA_", "NCCL_", "UCX_", "FI_"};
// How mpirun tells its processes where it is: of no use later, and one of them is a shared secret.
constexpr std::array kLauncherPrefixes = {"OMPI_MCA_orte_",         "OMPI_MCA_ess_",
                                          "OMPI_MCA_pmix",          "OMPI_MCA_initial_",
                                          "OMPI_MCA_shmem_RUNTIME", "OMPI_MCA_mpi_oversubscribe"};
constexpr std::array kSecretWords = {"KEY", "TOKEN", "PASS", "SECRET", "CRED", "AUTH"};

bool is_recordable_name(std::string_view name) {
  const auto begins = [name](const char* prefix) { return name.starts_with(prefix); };
  const bool is_known =
      std::find(kRecordedNames.begin(), kRecordedNames.end(), name) != kRecordedNames.end() ||
      std::any_of(kRecordedPrefixes.begin(), kRecordedPrefixes.end(), begins);
  if (!is_known || std::any_of(kLauncherPrefixes.begin(), kLauncherPrefixes.end(), begins))
    return false;
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return std::none_of(kSecretWords.begin(), kSecretWords.end(),
                      [&upper](const char* word) { return upper.find(word) != std::string::npos; });
}

/// `scheme://user:password@host`
bool holds_credentials(std::string_view value) {
  const std::size_t scheme = value.find("://");
  return scheme != std::string_view::npos && value.find('@', scheme) != std::string_view::npos;
}

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line))
    return std::nullopt;
  return std::string(trim(line));
}

/// Value of the first line `name<separator>value`, without quotes.
std::optional<std::string> field(const std::string& path, std::string_view name, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find(separator);
    if (at == std::string::npos || trim(std::string_view(line).substr(0, at)) != name)
      continue;
    std::string_view value = trim(std::string_view(line).substr(at + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return std::nullopt;
}

/// `always [madvise] never` -> `madvise`
std::optional<std::string> chosen(const std::optional<std::string>& choices) {
  if (!choices)
    return std::nullopt;
  const std::size_t open = choices->find('[');
  const std::size_t close = choices->find(']');
  if (open == std::string::npos || close == std::string::npos || close < open)
    return choices;
  return choices->substr(open + 1, close - open - 1);
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

}  // namespace

std::vector<Setting> recordable_settings(std::span<const std::string> environment) {
  std::vector<Setting> settings;
  for (const std::string& entry : environment) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos)
      continue;
    Setting setting{entry.substr(0, equals), entry.substr(equals + 1)};
    if (is_recordable_name(setting.name) && !holds_credentials(setting.value))
      settings.push_back(std::move(setting));
  }
  std::sort(settings.begin(), settings.end(),
            [](const Setting& a, const Setting& b) { return a.name < b.name; });
  return settings;
}

std::vector<ProvenanceRow> machine_provenance(std::int32_t leg, std::int32_t rank) {
  std::vector<ProvenanceRow> rows;
  const auto add = [&](const std::string& key, const std::optional<std::string>& value) {
    if (value && !value->empty())
      rows.push_back({leg, rank, key, *value});
  };
  add("lockstep.version", version());
  add("compiler", compiler());
  add("hdf5.version", hdf5::library_version());
  add("os.distribution", field("/etc/os-release", "PRETTY_NAME", '='));
  struct utsname kernel {};
  if (::uname(&kernel) == 0) {
    add("kernel.release", kernel.release);
    add("cpu.architecture", kernel.machine);
  }
  add("kernel.clocksource", first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
  add("cpu.model", field("/proc/cpuinfo", "model name", ':'));
  add("cpu.online", std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)));
  add("cpu.usable", std::to_string(usable_cpus()));
  add("cpu.governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
  add("cpu.smt", first_line("/sys/devices/system/cpu/smt/control"));
  add("memory.total", field("/proc/meminfo", "MemTotal", ':'));
  add("memory.transparent_hugepages", chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled")));

  std::vector<std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    environment.emplace_back(*entry);
  for (const Setting& setting : recordable_settings(environment))
    add("env." + setting.name, setting.value);
  return rows;
}

}  // namespace lockstep::record
