#include <algorithm>
#include <array>

#include "harness/compute/kernel_choice.hpp"

namespace lockstep::compute {
namespace {

constexpr std::uint64_t kFirstExtent = 1024;
constexpr double kFirstBudget_s = 0.08;
constexpr double kChildDeadline_s = 1.2;   // start, load and check of a library take 50 ms on an idle core
constexpr double kFirstRoundShare = 0.65;  // of the budget; the rest is for the finalists
constexpr std::size_t kFinalists = 3;
constexpr double kFinalistShare = 0.75;  // of the best rate of the first round
constexpr double kProductsEach = 3.0;    // one unmeasured, two measured
constexpr double kStartCost_s = 0.1;     // of a finalist's process, with its matrices

double flops(std::uint64_t extent) {
  const auto edge = static_cast<double>(extent);
  return 2.0 * edge * edge * edge;
}

/// The same code under two names: the one that leaves the choice to the library adds nothing.
bool repeats(const KernelMeasurement& row, const KernelMeasurement& other) {
  return asked_core(row.kernel).empty() && !asked_core(other.kernel).empty() &&
         row.kernel.library_path == other.kernel.library_path && !row.kernel.core_name.empty() &&
         same_core(row.kernel.core_name, other.kernel.core_name);
}

class Comparison {
 public:
  Comparison(double budget_s, const MeasureKernel& measure, const WallClock& now_s)
      : measure_(measure), now_s_(now_s), end_s_(now_s() + budget_s), budget_s_(budget_s) {}

  std::vector<KernelMeasurement> run(const std::vector<CatalogEntry>& entries) {
    first_round(entries);
    second_round();
    return std::move(rows_);
  }

 private:
  [[nodiscard]] double left_s() const { return end_s_ - now_s_(); }

  void first_round(const std::vector<CatalogEntry>& entries) {
    for (const CatalogEntry& entry : entries) {
      KernelMeasurement row;
      row.kernel = entry.kernel;
      if (entry.probing == CatalogEntry::Probing::on_request) {
        row.detail = "the CPU has wider vectors";
      } else if (const double time_s = left_s() - (1.0 - kFirstRoundShare) * budget_s_; time_s <= 0.0) {
        row.detail = "no time left";
      } else {
        row = measure_(entry.kernel,
                       {kFirstExtent, std::min(kFirstBudget_s, time_s), std::min(kChildDeadline_s, time_s)});
      }
      rows_.push_back(std::move(row));
    }
  }

  [[nodiscard]] std::vector<std::size_t> finalists() {
    double best = 0.0;
    for (const KernelMeasurement& row : rows_)
      best = std::max(best, row.gflops);
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i].status != KernelStatus::measured || rows_[i].gflops < kFinalistShare * best)
        continue;
      const auto same = std::find_if(rows_.begin(), rows_.end(), [this, i](const KernelMeasurement& other) {
        return other.status == KernelStatus::measured && repeats(rows_[i], other);
      });
      if (same != rows_.end())
        rows_[i].detail = "same kernel as " + same->kernel.name;
      else
        chosen.push_back(i);
    }
    std::sort(chosen.begin(), chosen.end(),
              [this](std::size_t a, std::size_t b) { return rows_[a].gflops > rows_[b].gflops; });
    if (chosen.size() > kFinalists)
      chosen.resize(kFinalists);
    return chosen;
  }

  void second_round() {
    const std::vector<std::size_t> chosen = finalists();
    if (chosen.empty())
      return;
    const double each_s = left_s() / static_cast<double>(chosen.size());
    const double slowest = rows_[chosen.back()].gflops * 1e9;
    for (const std::uint64_t extent : {std::uint64_t{2048}, std::uint64_t{1536}}) {
      const double need_s = kStartCost_s + kProductsEach * flops(extent) / slowest;
      if (need_s > each_s)
        continue;
      for (const std::size_t i : chosen)
        measure_finalist(rows_[i], extent, each_s);
      return;
    }
  }

  void measure_finalist(KernelMeasurement& row, std::uint64_t extent, double time_s) {
    time_s = std::min(left_s(), time_s);
    if (time_s <= 0.0)
      return;
    const KernelMeasurement again = measure_(row.kernel, {extent, 0.75 * (time_s - kStartCost_s), time_s});
    // One that only ran out of time keeps what it showed before.
    if (again.status != KernelStatus::timed_out)
      row = again;
  }

  const MeasureKernel& measure_;
  const WallClock& now_s_;
  const double end_s_;
  const double budget_s_;
  std::vector<KernelMeasurement> rows_;
};

}  // namespace

std::vector<KernelMeasurement> compare_kernels(const std::vector<CatalogEntry>& entries, double budget_s,
                                               const MeasureKernel& measure, const WallClock& now_s) {
  return Comparison(budget_s, measure, now_s).run(entries);
}

const KernelMeasurement* fastest(const std::vector<KernelMeasurement>& rows) {
  const KernelMeasurement* best = nullptr;
  for (const KernelMeasurement& row : rows) {
    if (row.status != KernelStatus::measured)
      continue;
    if (best == nullptr || row.extent > best->extent ||
        (row.extent == best->extent && row.gflops > best->gflops))
      best = &row;
  }
  return best;
}

}  // namespace lockstep::compute
