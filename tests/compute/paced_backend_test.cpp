#include "harness/compute/paced_backend.hpp"

#include <limits>
#include <vector>

#include <gmock/gmock.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "tests/compute/small_graph.hpp"

namespace lockstep::compute {
namespace {

using ::testing::ElementsAre;
using testing::gemm_of;
using testing::product_graph;
using testing::update_graph;

/// A clock that a sleeper moves, always `late_ns` too far.
struct LateClock {
  std::int64_t now_ns = 0;
  std::int64_t late_ns = 0;
  std::vector<std::int64_t> asked;

  SleepUntil sleeper() {
    return [this](std::int64_t until_ns) {
      asked.push_back(until_ns);
      if (until_ns > now_ns)
        now_ns = until_ns + late_ns;
    };
  }
};

/// 2 * 10 * 10 * 5 = 1000 flops: 1000 ns at 1 GFLOP/s.
step::StepGraph thousand_flops() {
  return product_graph(gemm_of(10, 10, 5));
}

TEST(PacedBackend, WaitsAsLongAsTheWorkWouldTake) {
  LateClock clock;
  step::StepGraph graph = thousand_flops();
  step::BufferSet buffers(graph, step::BufferSet::Need::communicated, RankId{0});
  const auto backend = make_paced_backend(graph, {2.0, 0.0}, clock.sleeper());
  backend->run(graph.ops[0], buffers, 10'000);
  EXPECT_THAT(clock.asked, ElementsAre(10'500)) << "1000 flops at 2 GFLOP/s";

  const step::StepGraph update = update_graph();
  LateClock other;
  make_paced_backend(update, {0.0, 0.5}, other.sleeper())->run(update.ops[0], buffers, 0);
  EXPECT_THAT(other.asked, ElementsAre(7 * 8 * 4 * 2)) << "7 passes over 8 elements of 4 bytes at 0.5 GB/s";
}

TEST(PacedBackend, LatenessOfWakeUpsDoesNotAddUp) {
  LateClock clock;
  clock.late_ns = 300;
  const step::StepGraph graph = thousand_flops();
  step::BufferSet buffers(graph, step::BufferSet::Need::communicated, RankId{0});
  const auto backend = make_paced_backend(graph, {1.0, 0.0}, clock.sleeper());
  for (int op = 0; op < 100; ++op)
    backend->run(graph.ops[0], buffers, 0);  // ready since the step began
  EXPECT_EQ(clock.asked.back(), 100'000);
  EXPECT_EQ(clock.now_ns, 100'300);
}

TEST(PacedBackend, AnOverdueOpReturnsAtOnceAndTheScheduleIsKept) {
  LateClock clock;
  clock.late_ns = 5'000;  // a wake-up five ops late
  const step::StepGraph graph = thousand_flops();
  step::BufferSet buffers(graph, step::BufferSet::Need::communicated, RankId{0});
  const auto backend = make_paced_backend(graph, {1.0, 0.0}, clock.sleeper());
  for (int op = 0; op < 6; ++op)
    backend->run(graph.ops[0], buffers, 0);
  EXPECT_THAT(clock.asked, ElementsAre(1000, 2000, 3000, 4000, 5000, 6000));
  EXPECT_EQ(clock.now_ns, 6'000) << "one sleep only, at the start";
}

TEST(PacedBackend, AnOpThatWaitedForTheNetworkBeginsWhenItBecameReady) {
  LateClock clock;
  const step::StepGraph graph = thousand_flops();
  step::BufferSet buffers(graph, step::BufferSet::Need::communicated, RankId{0});
  const auto backend = make_paced_backend(graph, {1.0, 0.0}, clock.sleeper());
  backend->run(graph.ops[0], buffers, 500);
  backend->run(graph.ops[0], buffers, 500);
  backend->run(graph.ops[0], buffers, 9'000);  // a communication ended then
  backend->run(graph.ops[0], buffers, 9'000);
  EXPECT_THAT(clock.asked, ElementsAre(1500, 2500, 10'000, 11'000));
}

TEST(PacedBackend, FractionsOfANanosecondAreRounded) {
  LateClock clock;
  const step::StepGraph graph = thousand_flops();
  step::BufferSet buffers(graph, step::BufferSet::Need::communicated, RankId{0});
  make_paced_backend(graph, {1.5, 0.0}, clock.sleeper())->run(graph.ops[0], buffers, 0);
  EXPECT_THAT(clock.asked, ElementsAre(667));
}

TEST(PacedBackend, NeverReturnsEarlyOnTheRealClock) {
  const step::StepGraph graph = thousand_flops();
  step::BufferSet buffers(graph, step::BufferSet::Need::communicated, RankId{0});
  const auto backend = make_paced_backend(graph, {1e-3, 0.0});  // 1 ms an op
  const std::int64_t begin_ns = monotonic_ns();
  for (int op = 0; op < 3; ++op)
    backend->run(graph.ops[0], buffers, begin_ns);
  EXPECT_GE(monotonic_ns(), begin_ns + 3'000'000);
}

TEST(PacedBackend, RefusesRatesThatAreNone) {
  for (const double rate :
       {0.0, -1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(static_cast<void>(make_paced_backend(thousand_flops(), {rate, 1.0})), InputError);
    EXPECT_THROW(static_cast<void>(make_paced_backend(update_graph(), {1.0, rate})), InputError);
    EXPECT_NO_THROW(static_cast<void>(make_paced_backend(update_graph(), {rate, 1.0})))
        << "no GEMM, no rate needed";
  }
}

TEST(PacedBackend, BurnsNoCoreAndNeedsOnlyWhatIsSent) {
  const auto backend = make_paced_backend(thousand_flops(), {50.0, 10.0});
  EXPECT_EQ(backend->busy_threads(), 0);
  EXPECT_EQ(backend->buffers_needed(), step::BufferSet::Need::communicated);
  EXPECT_EQ(backend->name(), "paced 50 GFLOP/s 10 GB/s");
}

}  // namespace
}  // namespace lockstep::compute
