#include "harness/compute/kernel_choice.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/core.h>

#include "harness/compute/kernel_cache.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

namespace lockstep::compute {
namespace {

double wall_s() {
  return seconds_from_ns(monotonic_ns());
}

/// A comparison that left somebody out for want of time is good enough for this run only.
bool is_complete(const std::vector<KernelMeasurement>& rows, const std::vector<CatalogEntry>& entries) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool wanted = entries[i].probing == CatalogEntry::Probing::always;
    if (wanted && (rows[i].status == KernelStatus::skipped || rows[i].status == KernelStatus::timed_out))
      return false;
  }
  return true;
}

void add_note(KernelReport& report, const std::string& note) {
  if (!report.note.empty())
    report.note += "; ";
  report.note += note;
}

/// Takes the fastest of `rows`; false when there is none.
bool take_fastest(KernelReport& report, std::vector<KernelMeasurement> rows, ChoiceBasis basis) {
  report.rows = std::move(rows);
  const KernelMeasurement* best = fastest(report.rows);
  if (best == nullptr)
    return false;
  report.chosen = best->kernel;
  report.basis = basis;
  return true;
}

bool choose_by_measurement(KernelReport& report, const std::vector<CatalogEntry>& entries,
                           const ChoiceOptions& options) {
  const KernelCache cache(options.cache_folder, cache_key(options.features, report.libraries, entries));
  if (auto rows = cache.load(entries, utc_ns());
      rows && take_fastest(report, std::move(*rows), ChoiceBasis::cached))
    return true;
  if (options.probe_program.empty()) {
    add_note(report, std::string("nothing measured: ") + kProbeProgram +
                         " is not beside this program and LOCKSTEP_GEMM_PROBE is not set");
    return false;
  }
  // Ranks of one host would measure side by side and disturb each other.
  const UniqueFd lock = cache.lock(2.0 * options.budget_s);
  if (auto rows = cache.load(entries, utc_ns());
      rows && take_fastest(report, std::move(*rows), ChoiceBasis::cached))
    return true;
  std::vector<KernelMeasurement> rows = compare_kernels(
      entries, options.budget_s,
      [&options](const GemmKernel& kernel, const ProbeRequest& request) {
        return run_probe(options.probe_program, kernel, request);
      },
      wall_s);
  const bool complete = is_complete(rows, entries);
  if (!take_fastest(report, std::move(rows), ChoiceBasis::measured)) {
    add_note(report, "no candidate could be measured");
    return false;
  }
  if (!complete)
    add_note(report, "not every candidate could be measured in time");
  else if (const std::string why = cache.store(report.rows, utc_ns()); !why.empty())
    add_note(report, "not remembered: " + why);
  return true;
}

void take_named(KernelReport& report, const std::string& wanted, const std::vector<CatalogEntry>& entries) {
  std::vector<std::string> names;
  for (const CatalogEntry& entry : entries) {
    names.push_back(entry.kernel.name);
    if (entry.kernel.name == wanted) {
      report.chosen = entry.kernel;
      report.basis = ChoiceBasis::plan;
      return;
    }
  }
  const std::optional<std::string> near = nearest_match(wanted, names);
  throw InputError(
      {.what = "compute.kernel = \"" + wanted + "\" cannot run here",
       .why = "this machine offers auto, " + join(names, ", "),
       .suggestion = near ? "did you mean \"" + *near + "\"?" : "use \"auto\" for the fastest one",
       .file = {}});
}

}  // namespace

const char* to_string(ChoiceBasis basis) {
  switch (basis) {
    case ChoiceBasis::plan:
      return "named by the plan";
    case ChoiceBasis::measured:
      return "measured";
    case ChoiceBasis::cached:
      return "measured earlier on this kind of machine";
    case ChoiceBasis::features:
      return "CPU features";
  }
  return "?";
}

double KernelReport::best_gflops() const {
  const KernelMeasurement* best = fastest(rows);
  return best != nullptr ? best->gflops : 0.0;
}

std::vector<Fact> KernelReport::facts() const {
  std::vector<Fact> facts{{"compute.kernel", chosen.name},
                          {"compute.kernel.library", chosen.library_path},
                          {"compute.kernel.basis", to_string(basis)},
                          {"compute.kernel.choice_s", fmt::format("{:.3f}", took_s)},
                          {"compute.cpu", cpu_model}};
  if (!chosen.core_name.empty())
    facts.push_back({"compute.kernel.core", chosen.core_name});
  if (best_gflops() > 0.0)
    facts.push_back({"compute.kernel.best_gflops", fmt::format("{:.1f}", best_gflops())});
  for (const EnvironmentSetting& setting : chosen.environment)
    facts.push_back({"compute.kernel.environment." + setting.name, setting.value});
  for (const BlasLibrary& library : libraries)
    facts.push_back({std::string("compute.library.") + to_string(library.family), library.path});
  for (const KernelMeasurement& row : rows) {
    std::string value = to_string(row.status);
    if (row.status == KernelStatus::measured)
      value = fmt::format("{:.1f} GFLOP/s at {}", row.gflops, row.extent);
    if (!row.kernel.core_name.empty())
      value += ", core " + row.kernel.core_name;
    if (!row.detail.empty())
      value += ", " + row.detail;
    facts.push_back({"compute.candidate." + row.kernel.name, value});
  }
  if (!note.empty())
    facts.push_back({"compute.kernel.note", note});
  return facts;
}

ChoiceOptions default_choice_options() {
  ChoiceOptions options;
  options.probe_program = find_probe_program();
  options.cache_folder = default_cache_folder();
  options.library_folders = library_folders();
  options.features = read_cpu_features();
  return options;
}

KernelReport choose_gemm_kernel(const std::string& wanted, const ChoiceOptions& options) {
  const double begin_s = wall_s();
  KernelReport report;
  report.cpu_model = options.features.model;
  report.libraries = find_blas_libraries(options.library_folders);
  const std::vector<CatalogEntry> entries = list_kernels(options.features, report.libraries);
  if (entries.empty()) {
    throw RunError(
        {.what = "compute backend cpu has no BLAS library",
         .why = "none of libopenblas.so.0, libdnnl.so.2, libdnnl.so.3, libblis.so.3, libblis.so.4 was found",
         .suggestion = "install libopenblas0-serial, or set LD_LIBRARY_PATH to the folder of one",
         .file = {}});
  }
  if (wanted != "auto") {
    take_named(report, wanted, entries);
  } else if (!choose_by_measurement(report, entries, options)) {
    const auto survived = [&report](const CatalogEntry& entry) {
      return std::none_of(report.rows.begin(), report.rows.end(), [&entry](const KernelMeasurement& row) {
        return row.kernel.name == entry.kernel.name &&
               (row.status == KernelStatus::crashed || row.status == KernelStatus::wrong_result);
      });
    };
    std::vector<CatalogEntry> left;
    std::copy_if(entries.begin(), entries.end(), std::back_inserter(left), survived);
    if (left.empty()) {
      throw RunError({.what = "no GEMM kernel works on this machine",
                      .why = "every candidate crashed or computed wrong products",
                      .suggestion = "install another BLAS library, such as libopenblas0-serial",
                      .file = {}});
    }
    report.chosen = best_by_features(left).kernel;
    report.basis = ChoiceBasis::features;
  }
  report.took_s = wall_s() - begin_s;
  return report;
}

KernelReport choose_gemm_kernel(const std::string& wanted) {
  return choose_gemm_kernel(wanted, default_choice_options());
}

}  // namespace lockstep::compute
