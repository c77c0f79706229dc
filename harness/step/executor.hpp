#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "harness/core/clock.hpp"
#include "harness/step/backends.hpp"
#include "harness/step/graph.hpp"
#include "harness/step/stamps.hpp"
#include "harness/step/validator.hpp"

namespace lockstep::step {

/// How a thread waits for another thread or for the network.
enum class WaitMode {
  spin,     ///< looks without pause: lowest latency, burns a core
  backoff,  ///< yields, then sleeps 20 to 100 us between looks: for machines with fewer cores than busy
            ///< threads
};
[[nodiscard]] const char* to_string(WaitMode mode);

struct ExecutorOptions {
  WaitMode wait = WaitMode::backoff;
  double op_deadline_s = 30.0;  ///< a communication that takes longer ends the run
  /// The same by comm index, in ns; the caller may change the values between steps. Empty: op_deadline_s for
  /// all.
  std::span<const std::int64_t> op_deadlines_ns{};
  double validation_share = 0.1;  ///< of the steps; see is_validated_step
  /// While it is true no further communication is entered: a fault on purpose. Null where none is planned.
  const std::atomic<bool>* hold = nullptr;
};

enum class StepStatus {
  completed,
  deadline,         ///< a communication passed its deadline: the step never ended
  transport_error,  ///< the transport reported an error
  compute_error,    ///< the compute backend threw, as a GPU that failed does
};

/// A wrong value found in a step's reduced data.
struct Corruption {
  OpId op;
  std::uint64_t wrong_elements = 0;
  WrongValue first;
};

struct StepResult {
  StepStatus status = StepStatus::completed;
  OpId op;              ///< the op at fault, unless completed
  std::string message;  ///< what the transport or the compute backend said
  /// Longest time between two looks at what is in flight: more than a moment when this process itself was
  /// stopped or got no core. Meaningful for `deadline`.
  std::int64_t stood_still_ns = 0;
  std::vector<Corruption> corruptions;         ///< empty when the data were right or not checked
  std::vector<WrongProduct> wrong_products{};  ///< likewise
};

/// Runs a step graph again and again. The thread that calls run_step() owns the transport: it starts and
/// tests every communication; computing happens on a thread of the executor's own, so that both truly
/// overlap.
///
/// A backend with a queue gets its ops in stretches that no communication interrupts, ahead of time, and
/// their times are what the queue measured. While they are under way their stamps hold the host's view:
/// handed over, and seen to be done.
///
/// Sharp edge: after a result other than `completed` the transport may still write into the buffers. The
/// caller ends the process without waiting for anybody.
class Executor {
 public:
  /// All references must outlive the executor. `recording` may be empty (nothing is recorded then, and the
  /// clock is read only at the step's ends); otherwise it must fit the graph. `validator` may be null.
  Executor(const StepGraph& graph, ComputeBackend& compute, FabricBackend& fabric, BufferSet& buffers,
           FastClock& clock, const Recording& recording, Validator* validator,
           const ExecutorOptions& options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Runs step number `step`; `flags` (StepFlag bits) are stored with it, and kStepValidated asks for a check
  /// of a step that would have none. No barrier before or after.
  StepResult run_step(std::uint32_t step, std::uint32_t flags);
  /// Of the last step, by comm index: from begin to end.
  [[nodiscard]] std::span<const std::int64_t> comm_times_ns() const { return comm_ns_; }

 private:
  struct Plan;

  void compute_loop();
  void run_compute_ops(std::uint32_t step);
  void run_queued_ops(std::uint32_t step);
  [[nodiscard]] bool submit_ready(std::uint32_t step, std::size_t& segment);
  void note_completed(std::uint32_t step, std::size_t first, std::size_t last);
  void take_queue_times(std::uint32_t step);
  void await_comm(std::size_t comm_index);
  [[nodiscard]] bool ready(std::size_t comm_index) const;
  [[nodiscard]] bool held() const;
  [[nodiscard]] std::optional<std::size_t> overdue(std::int64_t now_ns) const;
  StepResult drive_communication(std::uint32_t step, bool validated);
  void launch(std::uint32_t step, std::size_t comm_index, bool validated);
  void finish_comm(std::size_t comm_index, std::int64_t now_ns);
  template <class Condition>
  void await(const std::atomic<std::uint32_t>& events, Condition condition) const;
  void pause(std::int64_t idle_ns) const;
  void record_begin(std::uint32_t step, OpId op, std::int64_t now_ns);
  void record_end(std::uint32_t step, OpId op, std::int64_t now_ns);
  void check_products(std::uint32_t step, StepStamp& stamp, StepResult& result);
  void check_data(std::uint32_t step, StepStamp& stamp, StepResult& result);
  std::int64_t expose_trailing(std::int64_t compute_end_ns);
  StepResult stop_with(StepStatus status, OpId op, std::string message);
  StepResult stop_as_compute_failed();

  const StepGraph& graph_;
  ComputeBackend& compute_;
  ComputeQueue* queue_;  // of it; null where it has none
  FabricBackend& fabric_;
  BufferSet& buffers_;
  FastClock& clock_;
  Recording recording_;
  Validator* validator_;
  ExecutorOptions options_;
  std::unique_ptr<Plan> plan_;

  // Progress of the step under way. An op is done when its entry equals epoch_.
  std::vector<std::atomic<std::uint32_t>> done_epoch_;
  std::vector<std::int64_t> done_ns_;
  std::vector<std::int64_t> comm_begin_ns_;
  std::vector<std::int64_t> comm_ns_;
  std::vector<std::int64_t> exposed_ns_;  // these three by comm index
  std::vector<std::int64_t> own_deadlines_ns_;
  std::vector<FabricBackend::Ticket> tickets_;
  std::vector<std::size_t> in_flight_;
  std::uint32_t epoch_ = 0;
  std::uint32_t step_ = 0;
  std::int64_t step_begin_ns_ = 0;
  std::int64_t compute_busy_ns_ = 0;
  std::int64_t compute_end_ns_ = 0;
  std::int64_t last_discipline_ns_ = 0;
  OpId compute_op_;            // with the next one, of the compute thread until it has failed
  std::string compute_error_;  // meaningful once compute_failed_ is set

  // Signals between the two threads; each is raised on every event its reader may be waiting for.
  std::atomic<std::uint32_t> go_{0};
  std::atomic<std::uint32_t> compute_events_{0};
  std::atomic<std::uint32_t> comm_events_{0};
  std::atomic<std::uint32_t> compute_finished_{0};
  std::atomic<bool> compute_failed_{false};
  std::atomic<bool> stop_{false};
  std::thread compute_thread_;
};

}  // namespace lockstep::step
