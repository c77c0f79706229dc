#include "harness/compute/paced_backend.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/core.h>
#include <sys/prctl.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

void check_rate(const char* key, double rate) {
  if (rate > 0.0 && std::isfinite(rate))
    return;
  throw InputError({.what = fmt::format("compute.{} = {} is not a rate", key, rate),
                    .why = "a paced op takes its size divided by it",
                    .suggestion = "set it to what one rank of the hardware reaches, above 0",
                    .file = {}});
}

class PacedBackend final : public step::ComputeBackend {
 public:
  PacedBackend(const step::StepGraph& graph, PacedRates rates, SleepUntil sleep_until)
      : rates_(rates), sleep_until_(std::move(sleep_until)) {
    for (const step::Op& op : graph.ops) {
      if (std::holds_alternative<step::Gemm>(op.work))
        check_rate("paced_gflops", rates_.gflops);
      else if (std::holds_alternative<step::Update>(op.work))
        check_rate("paced_memory_gbps", rates_.memory_gbps);
    }
  }

  void run(const step::Op& op, step::BufferSet& /*buffers*/, std::int64_t ready_ns) override {
    if (!has_run_) {
      has_run_ = true;
      ::prctl(PR_SET_TIMERSLACK, 1UL);  // of this thread; else the kernel may add 50 us to every wait
    }
    due_ns_ = std::max(due_ns_, ready_ns) + duration_ns(op);
    sleep_until_(due_ns_);
  }

  [[nodiscard]] std::string name() const override {
    return fmt::format("paced {} GFLOP/s {} GB/s", rates_.gflops, rates_.memory_gbps);
  }
  [[nodiscard]] int busy_threads() const override { return 0; }
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override {
    return step::BufferSet::Need::communicated;
  }

 private:
  [[nodiscard]] std::int64_t duration_ns(const step::Op& op) const {
    // 1e9 ns a second and 1e9 flops or bytes a unit of rate cancel.
    if (const auto* gemm = std::get_if<step::Gemm>(&op.work))
      return std::llround(gemm->flops() / rates_.gflops);
    const auto* update = std::get_if<step::Update>(&op.work);
    LOCKSTEP_EXPECT(update != nullptr, "a communication on the compute stream");
    return std::llround(update->bytes() / rates_.memory_gbps);
  }

  PacedRates rates_;
  SleepUntil sleep_until_;
  std::int64_t due_ns_ = 0;
  bool has_run_ = false;
};

}  // namespace

std::unique_ptr<step::ComputeBackend> make_paced_backend(const step::StepGraph& graph, PacedRates rates,
                                                         SleepUntil sleep_until) {
  return std::make_unique<PacedBackend>(graph, rates, std::move(sleep_until));
}

std::unique_ptr<step::ComputeBackend> make_paced_backend(const step::StepGraph& graph, PacedRates rates) {
  return make_paced_backend(graph, rates, sleep_until_ns);
}

}  // namespace lockstep::compute
