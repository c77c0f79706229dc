#include "harness/watch/cpu_health.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "harness/core/text.hpp"
#include "harness/watch/nvml_health.hpp"
#include "harness/watch/throttle_bits.hpp"

namespace lockstep::watch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostCpus = 16;
constexpr double kKhzPerMhz = 1e3;
constexpr double kPerThousand = 1e-3;
constexpr double kNsPerUs = 1e3;  // uJ / ns * 1e3 = W
constexpr std::int64_t kNsPerMs = 1'000'000;

std::string line_of(const std::string& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return std::string(trim(line));
}

std::optional<std::int64_t> number_of(const std::string& file) {
  const std::string line = line_of(file);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error != std::errc{} || end != line.data() + line.size())
    return std::nullopt;
  return number;
}

/// Entries of a folder whose name begins so and goes on with a number, in the order of the numbers.
std::vector<std::string> numbered(const std::string& folder, const std::string& prefix) {
  std::vector<std::pair<long, std::string>> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    long number = 0;
    const char* last = name.data() + name.size();
    if (name.size() <= prefix.size() || !name.starts_with(prefix))
      continue;
    const auto [end, error] = std::from_chars(name.data() + prefix.size(), last, number);
    if (error == std::errc{} && end == last)
      found.emplace_back(number, entry.path().string());
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  for (auto& [number, path] : found)
    paths.push_back(std::move(path));
  return paths;
}

void add_readable(std::vector<std::string>& files, const std::string& file) {
  if (number_of(file))
    files.push_back(file);
}

/// nullopt when none can be read.
std::optional<std::int64_t> sum_of(const std::vector<std::string>& files) {
  std::optional<std::int64_t> sum;
  for (const std::string& file : files) {
    if (const auto number = number_of(file))
      sum = sum.value_or(0) + *number;
  }
  return sum;
}

std::optional<std::int64_t> most_of(const std::vector<std::string>& files) {
  std::optional<std::int64_t> most;
  for (const std::string& file : files) {
    if (const auto number = number_of(file))
      most = std::max(most.value_or(*number), *number);
  }
  return most;
}

std::optional<double> mean_of(const std::vector<std::string>& files) {
  const auto sum = sum_of(files);
  return sum ? std::optional(static_cast<double>(*sum) / static_cast<double>(files.size())) : std::nullopt;
}

/// Value of the first such line of /proc/cpuinfo.
std::string cpu_fact(const std::string& file, const std::string& key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && trim(std::string_view(line).substr(0, colon)) == key)
      return std::string(trim(std::string_view(line).substr(colon + 1)));
  }
  return {};
}

}  // namespace

CpuHealth::CpuHealth(std::string root) : root_(std::move(root)) {
  find_files();
  find_temperatures();
  find_energies();
  first_ = read(0);
  for (Energy& energy : energies_)
    energy.last_uj = -1;  // the time of that reading was none
}

void CpuHealth::find_files() {
  const std::vector<std::string> cpus = numbered(root_ + "/sys/devices/system/cpu", "cpu");
  const std::size_t stride = std::max<std::size_t>(1, (cpus.size() + kMostCpus - 1) / kMostCpus);
  for (std::size_t i = 0; i < cpus.size(); i += stride) {
    add_readable(clocks_, cpus[i] + "/cpufreq/scaling_cur_freq");
    for (const char* scope : {"core", "package"}) {
      const std::string stem = cpus[i] + "/thermal_throttle/" + scope;
      add_readable(throttle_counts_, stem + "_throttle_count");
      add_readable(throttle_times_ms_, stem + "_throttle_total_time_ms");
    }
  }
  for (const std::string& controller : numbered(root_ + "/sys/devices/system/edac/mc", "mc")) {
    add_readable(corrected_, controller + "/ce_count");
    add_readable(uncorrected_, controller + "/ue_count");
  }
}

void CpuHealth::find_temperatures() {
  for (const std::string& zone : numbered(root_ + "/sys/class/thermal", "thermal_zone")) {
    const std::string type = line_of(zone + "/type");
    if (type == "x86_pkg_temp" || type.starts_with("cpu"))
      add_readable(temperatures_, zone + "/temp");
  }
  if (!temperatures_.empty())
    return;
  for (const std::string& sensor : numbered(root_ + "/sys/class/hwmon", "hwmon")) {
    const std::string name = line_of(sensor + "/name");
    if (name != "coretemp" && name != "k10temp" && name != "zenpower")
      continue;
    for (int i = 1; i <= 4; ++i)  // of the package, or of the first dies
      add_readable(temperatures_, sensor + "/temp" + std::to_string(i) + "_input");
  }
}

void CpuHealth::find_energies() {
  // One zone a package; the zones of its parts are called intel-rapl:0:0 and so on.
  for (const std::string& zone : numbered(root_ + "/sys/class/powercap", "intel-rapl:")) {
    const std::string file = zone + "/energy_uj";
    if (line_of(zone + "/name").starts_with("package") && number_of(file))
      energies_.push_back({file, number_of(zone + "/max_energy_range_uj").value_or(0), -1});
  }
}

std::optional<double> CpuHealth::power(std::int64_t now_ns) {
  const auto passed_ns = static_cast<double>(now_ns - energy_ns_);
  energy_ns_ = now_ns;
  double sum_w = 0.0;
  bool whole = !energies_.empty() && passed_ns > 0.0;
  for (Energy& energy : energies_) {
    const std::int64_t now_uj = number_of(energy.file).value_or(-1);
    const std::int64_t last_uj = std::exchange(energy.last_uj, now_uj);
    if (now_uj < 0 || last_uj < 0) {
      whole = false;
      continue;
    }
    const std::int64_t used_uj = now_uj >= last_uj ? now_uj - last_uj : now_uj + energy.range_uj - last_uj;
    sum_w += static_cast<double>(used_uj) * kNsPerUs / passed_ns;
  }
  return whole ? std::optional(sum_w) : std::nullopt;
}

HealthReading CpuHealth::read(std::int64_t now_ns) {
  HealthReading reading;
  if (const auto khz = mean_of(clocks_))
    reading.clock_mhz = *khz / kKhzPerMhz;
  if (const auto millidegrees = most_of(temperatures_))
    reading.temperature_c = static_cast<double>(*millidegrees) * kPerThousand;
  reading.power_w = power(now_ns);
  if (const auto count = sum_of(throttle_counts_)) {
    reading.throttle = throttle_count_ && *count > *throttle_count_ ? kThrottleHeatHardware : 0;
    throttle_count_ = count;
  }
  if (const auto time_ms = most_of(throttle_times_ms_))
    reading.thermal_ns = *time_ms * kNsPerMs;
  reading.ecc_corrected = sum_of(corrected_);
  reading.ecc_uncorrected = sum_of(uncorrected_);
  return reading;
}

record::DeviceRow CpuHealth::describe() const {
  record::DeviceRow row;
  row.kind = "cpu";
  row.name = cpu_fact(root_ + "/proc/cpuinfo", "model name");
  row.firmware = cpu_fact(root_ + "/proc/cpuinfo", "microcode");
  row.serial = line_of(root_ + "/sys/class/dmi/id/product_serial");
  row.driver = line_of(root_ + "/proc/sys/kernel/osrelease");
  std::map<std::string, std::string> missing;
  const auto note = [&missing](const char* column, bool told) {
    if (!told)
      missing[column] = "not shown here";
  };
  note("clock_mhz", first_.clock_mhz.has_value());
  note("temperature_c", first_.temperature_c.has_value());
  note("power_w", !energies_.empty());
  note("throttle", first_.throttle.has_value());
  note("thermal_ns", first_.thermal_ns.has_value());
  note("ecc_corrected", first_.ecc_corrected.has_value());
  note("ecc_uncorrected", first_.ecc_uncorrected.has_value());
  row.missing = missing_text(missing);
  return row;
}

}  // namespace lockstep::watch
