#include "harness/placement/gpu_environment.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "harness/core/cpu_set.hpp"
#include "harness/core/text.hpp"
#include "harness/placement/host_map.hpp"

namespace lockstep::placement {
namespace {

namespace fs = std::filesystem;

std::optional<std::size_t> number(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

/// The GPU that an entry names, or one line why it names none.
struct Named {
  std::optional<VisibleGpu> gpu;
  std::string problem;
};

Named named_by_uuid(const std::vector<InstalledGpu>& installed, const std::string& entry,
                    std::string_view beginning) {
  const InstalledGpu* found = nullptr;
  for (const InstalledGpu& one : installed) {
    if (!one.uuid.starts_with(beginning))
      continue;
    if (found != nullptr)
      return {{}, fmt::format("'{}' is the beginning of several UUIDs", entry)};
    found = &one;
  }
  if (found == nullptr)
    return {{}, fmt::format("no GPU has the UUID '{}'", beginning)};
  return {VisibleGpu{0, found->bus_id, entry.starts_with("MIG-") ? entry : found->uuid}, {}};
}

Named named_by(const std::vector<InstalledGpu>& installed, const std::string& entry) {
  if (const auto index = number(entry)) {
    if (*index >= installed.size())
      return {{}, fmt::format("there is no GPU {} ({} on this host)", *index, installed.size())};
    return {VisibleGpu{0, installed[*index].bus_id, installed[*index].uuid}, {}};
  }
  constexpr std::string_view kOldMig = "MIG-GPU-";  // followed by the GPU's UUID and two numbers
  if (entry.starts_with(kOldMig)) {
    const std::string_view uuid = std::string_view(entry).substr(std::string_view("MIG-").size());
    return named_by_uuid(installed, entry, uuid.substr(0, uuid.find('/')));
  }
  if (entry.starts_with("MIG-"))
    return {VisibleGpu{0, {}, entry}, {}};
  if (entry.starts_with("GPU-"))
    return named_by_uuid(installed, entry, entry);
  return {{}, fmt::format("'{}' is neither a number nor a UUID", entry)};
}

bool same_gpu(const VisibleGpu& a, const VisibleGpu& b) {
  return a.uuid.empty() || b.uuid.empty() ? a.bus_id == b.bus_id : a.uuid == b.uuid;
}

}  // namespace

GpuEnvironment gpu_environment(const std::function<const char*(const char*)>& variable) {
  const auto value = [&](const char* name) -> std::optional<std::string> {
    const char* text = variable(name);
    return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
  };
  GpuEnvironment environment;
  environment.cuda_visible_devices = value("CUDA_VISIBLE_DEVICES");
  environment.slurm_gpus = value("SLURM_STEP_GPUS");
  if (!environment.slurm_gpus)
    environment.slurm_gpus = value("SLURM_JOB_GPUS");
  environment.slurm_gpus_on_node = value("SLURM_GPUS_ON_NODE");
  return environment;
}

std::vector<InstalledGpu> installed_gpus(const std::string& folder) {
  std::vector<InstalledGpu> gpus;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    InstalledGpu& gpu = gpus.emplace_back();
    gpu.bus_id = normal_bus_id(entry.path().filename().string());
    std::ifstream file(entry.path() / "information");
    for (std::string line; std::getline(file, line);) {
      const std::size_t colon = line.find(':');
      if (colon == std::string::npos)
        continue;
      const std::string_view value = trim(std::string_view(line).substr(colon + 1));
      if (line.starts_with("Model:"))
        gpu.model = value;
      else if (line.starts_with("GPU UUID:"))
        gpu.uuid = value;
    }
  }
  std::sort(gpus.begin(), gpus.end(),
            [](const InstalledGpu& a, const InstalledGpu& b) { return a.bus_id < b.bus_id; });
  return gpus;
}

std::string nvidia_driver_version(const std::string& file) {
  // `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed ...`: the first word that is dotted
  // digits.
  std::ifstream text(file);
  for (std::string word; text >> word;) {
    const bool digits = word.find_first_not_of("0123456789.") == std::string::npos;
    if (digits && word.find('.') != std::string::npos)
      return word;
  }
  return {};
}

std::string full_uuid(const std::vector<InstalledGpu>& installed, const std::string& digits) {
  if (digits.empty())
    return {};
  // A container may show the driver and hide /proc's list: then nothing is known of instances.
  const bool whole =
      installed.empty() || std::any_of(installed.begin(), installed.end(),
                                       [&](const InstalledGpu& one) { return one.uuid == "GPU-" + digits; });
  return (whole ? "GPU-" : "MIG-") + digits;
}

VisibleGpus visible_gpus(const std::vector<InstalledGpu>& installed,
                         const std::optional<std::string>& cuda_visible_devices) {
  VisibleGpus visible;
  const auto add = [&visible](VisibleGpu gpu) {
    gpu.ordinal = static_cast<int>(visible.gpus.size());
    visible.gpus.push_back(std::move(gpu));
  };
  if (!cuda_visible_devices) {
    for (const InstalledGpu& one : installed)
      add({0, one.bus_id, one.uuid});
    return visible;
  }
  // An empty value and -1 hide every GPU, on purpose.
  if (trim(*cuda_visible_devices).empty() || trim(*cuda_visible_devices) == "-1")
    return visible;
  for (const std::string& part : split(*cuda_visible_devices, ',')) {
    Named named = named_by(installed, std::string(trim(part)));
    if (named.gpu && std::any_of(visible.gpus.begin(), visible.gpus.end(),
                                 [&](const VisibleGpu& other) { return same_gpu(other, *named.gpu); }))
      named = {{}, fmt::format("'{}' is named twice", trim(part))};
    if (!named.gpu) {
      visible.problem = fmt::format("CUDA_VISIBLE_DEVICES={}: {}, and CUDA ignores what follows",
                                    *cuda_visible_devices, named.problem);
      return visible;
    }
    add(std::move(*named.gpu));
  }
  return visible;
}

SlurmShare slurm_share(std::vector<VisibleGpu> visible, const GpuEnvironment& environment) {
  SlurmShare share{std::move(visible), {}, {}};
  if (environment.slurm_gpus && !environment.cuda_visible_devices) {
    // Slurm counts GPUs as the kernel does, which is by bus id.
    std::vector<VisibleGpu> by_bus = share.gpus;
    std::stable_sort(by_bus.begin(), by_bus.end(),
                     [](const VisibleGpu& a, const VisibleGpu& b) { return a.bus_id < b.bus_id; });
    const auto numbers = CpuSet::parse(*environment.slurm_gpus);  // "0-1,3": the same format
    const bool usable = numbers && !numbers->empty() && numbers->size() < by_bus.size() &&
                        static_cast<std::size_t>(*numbers->numbers().rbegin()) < by_bus.size();
    if (usable) {
      share.gpus.clear();
      for (const int at : numbers->numbers())
        share.gpus.push_back(by_bus[static_cast<std::size_t>(at)]);
      share.note = fmt::format("GPUs {} of the host's {}, by SLURM_STEP_GPUS or SLURM_JOB_GPUS",
                               *environment.slurm_gpus, by_bus.size());
      return share;
    }
  }
  const auto granted =
      environment.slurm_gpus_on_node ? number(trim(*environment.slurm_gpus_on_node)) : std::nullopt;
  if (granted && *granted < share.gpus.size()) {
    share.warning = fmt::format(
        "{} GPUs are visible and Slurm granted {} on this host (SLURM_GPUS_ON_NODE): those of other jobs may "
        "be "
        "among them; set ConstrainDevices in cgroup.conf, or CUDA_VISIBLE_DEVICES",
        share.gpus.size(), *granted);
  }
  return share;
}

}  // namespace lockstep::placement
