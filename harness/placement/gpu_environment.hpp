#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

/// Which GPUs a process may use, and what its environment says about that.
namespace lockstep::placement {

/// A GPU, or an instance of one (MIG), as CUDA numbers those that this process sees.
struct VisibleGpu {
  int ordinal = 0;
  std::string bus_id;  ///< see normal_bus_id(); instances of one GPU have the same
  std::string uuid;    ///< "GPU-..." or "MIG-..."; empty where not known
  bool operator==(const VisibleGpu&) const = default;
};

/// Variables by which users and batch systems hand out GPUs; nullopt: not set.
///
/// SLURM_LOCALID is not among them: below mpirun every rank has that of the daemon that started it, 0. A
/// rank's place among those of its host is counted by Lockstep itself, and is SLURM_LOCALID where srun
/// started it.
struct GpuEnvironment {
  std::optional<std::string> cuda_visible_devices;
  std::optional<std::string> slurm_gpus;  ///< SLURM_STEP_GPUS, else SLURM_JOB_GPUS: numbers on the host
  std::optional<std::string> slurm_gpus_on_node;  ///< how many
};
/// `variable` gives nullptr for what is not set, as std::getenv does.
[[nodiscard]] GpuEnvironment gpu_environment(const std::function<const char*(const char*)>& variable);

/// A GPU that is installed, as the NVIDIA driver lists it below /proc without being loaded by us.
struct InstalledGpu {
  std::string bus_id;
  std::string uuid;   ///< empty where not known
  std::string model;  ///< empty where not known
  bool operator==(const InstalledGpu&) const = default;
};
/// From /proc/driver/nvidia/gpus/*/information, by ascending bus id; none without a driver.
[[nodiscard]] std::vector<InstalledGpu> installed_gpus(
    const std::string& folder = "/proc/driver/nvidia/gpus");
/// From /proc/driver/nvidia/version, such as "580.82.07"; empty without a driver.
[[nodiscard]] std::string nvidia_driver_version(const std::string& file = "/proc/driver/nvidia/version");

/// "GPU-" or "MIG-" before the digits that CUDA gives: what is none of the installed GPUs is an instance of
/// one.
[[nodiscard]] std::string full_uuid(const std::vector<InstalledGpu>& installed, const std::string& digits);

struct VisibleGpus {
  std::vector<VisibleGpu> gpus;
  std::string problem;  ///< one line about the entry at which CUDA stops reading; else empty
};
/// What CUDA would make of CUDA_VISIBLE_DEVICES, without asking it. Entries are numbers in the order of
/// `installed`, "GPU-<beginning of a UUID>", "MIG-<UUID>", or "MIG-GPU-<UUID>/<instance>/<instance>"; at the
/// first that names nothing, or one GPU a second time, CUDA stops. (CUDA C++ Programming Guide, "CUDA
/// Environment Variables"; CUDA numbers by speed unless CUDA_DEVICE_ORDER=PCI_BUS_ID, which is the same among
/// equal GPUs.) A "MIG-<UUID>" does not tell its GPU, so that its bus id stays empty.
[[nodiscard]] VisibleGpus visible_gpus(const std::vector<InstalledGpu>& installed,
                                       const std::optional<std::string>& cuda_visible_devices);

/// Slurm's part of what CUDA shows. Where the job's GPUs are not fenced off (no ConstrainDevices) and
/// CUDA_VISIBLE_DEVICES did not reach the process, as when mpirun starts it on another host, every GPU of the
/// host is visible, and SLURM_STEP_GPUS alone says which are ours.
struct SlurmShare {
  std::vector<VisibleGpu> gpus;
  std::string note;     ///< how that was found; empty when Slurm changes nothing
  std::string warning;  ///< one line; empty when all is well
};
[[nodiscard]] SlurmShare slurm_share(std::vector<VisibleGpu> visible, const GpuEnvironment& environment);

}  // namespace lockstep::placement
