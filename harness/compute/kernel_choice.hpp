#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/compute/facts.hpp"
#include "harness/compute/kernel_catalog.hpp"
#include "harness/compute/kernel_measurement.hpp"
#include "harness/compute/kernel_probe.hpp"

/// Which GEMM kernel a rank computes with. A library's own choice cannot be trusted: on a CPU newer than the
/// library it may be four times slower than the best, which would make every link look fast.
namespace lockstep::compute {

/// What the choice rests on.
enum class ChoiceBasis {
  plan,      ///< the plan names the kernel; nothing was measured
  measured,  ///< the fastest correct one, just now
  cached,    ///< the fastest correct one of an earlier measurement on this kind of machine
  features,  ///< nothing could be measured: the widest vectors that the CPU's flags allow
};
[[nodiscard]] const char* to_string(ChoiceBasis basis);

struct KernelReport {
  GemmKernel chosen;
  ChoiceBasis basis = ChoiceBasis::plan;
  std::vector<KernelMeasurement> rows;  ///< every candidate; empty when the plan names the kernel
  std::vector<BlasLibrary> libraries;   ///< that were found
  std::string cpu_model;
  std::string note;     ///< what did not work on the way; may be empty
  double took_s = 0.0;  ///< wall time of the choice

  /// Rate of the fastest candidate, GFLOP/s (1e9); 0 when nothing was measured.
  [[nodiscard]] double best_gflops() const;
  [[nodiscard]] std::vector<Fact> facts() const;
};

struct ChoiceOptions {
  std::string probe_program;  ///< empty: nothing can be measured
  std::string cache_folder;   ///< empty: nothing is remembered
  double budget_s = 2.5;      ///< wall time for all candidates together; a child that hangs counts
  std::vector<std::string> library_folders;
  CpuFeatures features;
};

/// Those of this machine and this process's environment.
[[nodiscard]] ChoiceOptions default_choice_options();

/// Chooses for `wanted`: "auto", or a kernel's name, which skips every measurement. Takes `budget_s` on the
/// first run on a kind of machine, a few ms after that; ranks of one host that ask at once wait for the first
/// of them. Throws InputError when there is no such kernel, with the list of those there are; RunError when
/// there is no library.
///
/// Sharp edge: it starts child processes. Call it before MPI_Init, since some transports do not survive a
/// fork.
[[nodiscard]] KernelReport choose_gemm_kernel(const std::string& wanted, const ChoiceOptions& options);
[[nodiscard]] KernelReport choose_gemm_kernel(const std::string& wanted);

/// Measures one candidate as asked.
using MeasureKernel = std::function<KernelMeasurement(const GemmKernel&, const ProbeRequest&)>;
/// Seconds since any fixed instant.
using WallClock = std::function<double()>;

/// The comparison itself: all candidates at an extent of 1024, then the fastest three of them that are within
/// a quarter of the best, at 2048 or 1536 as the time allows. Returns a row for each entry. Never takes
/// longer than `budget_s` as long as `measure` keeps its deadlines.
[[nodiscard]] std::vector<KernelMeasurement> compare_kernels(const std::vector<CatalogEntry>& entries,
                                                             double budget_s, const MeasureKernel& measure,
                                                             const WallClock& now_s);

/// The row to go with: largest extent first, then the highest rate. nullptr when none was measured.
[[nodiscard]] const KernelMeasurement* fastest(const std::vector<KernelMeasurement>& rows);

}  // namespace lockstep::compute
