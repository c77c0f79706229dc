#include "harness/fabric/pattern_validator.hpp"

#include <cmath>
#include <limits>
#include <ostream>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "harness/fabric/flipping_validator.hpp"
#include "harness/fabric/mpi_fabric.hpp"
#include "harness/mpi/collect.hpp"
#include "tests/fabric/fabric_fixture.hpp"

namespace lockstep::fabric {
namespace {

using step::BufferSet;
using step::Comm;
using step::CommKind;
using step::CommState;
using step::Dtype;

constexpr std::uint32_t kSamples = 16;

struct Case {
  CommKind kind;
  Dtype dtype;
};

void PrintTo(const Case& which, std::ostream* out) {
  *out << to_string(which.kind) << '_' << to_string(which.dtype);
}

bool equal_on_all_ranks(std::uint64_t value) {
  const mpi::Communicator world = mpi::Communicator::world();
  const auto as_signed = static_cast<std::int64_t>(value);
  return mpi::all_reduce(world, as_signed, mpi::Reduction::min, kTestDeadlineS) ==
         mpi::all_reduce(world, as_signed, mpi::Reduction::max, kTestDeadlineS);
}

void spoil(BufferSet& buffers, const step::StepGraph& graph, const Comm& comm, std::uint64_t element,
           double by) {
  std::byte* data = buffers.at(graph, comm.to);
  if (comm.dtype == Dtype::f32)
    reinterpret_cast<float*>(data)[element] += static_cast<float>(by);
  else
    reinterpret_cast<double*>(data)[element] += by;
}

class ValidatedOp : public testing::TestWithParam<Case> {
 protected:
  ValidatedOp()
      : graph_(mpi::Communicator::world().size()),
        ranks_(static_cast<std::uint64_t>(mpi::Communicator::world().size())),
        comm_(graph_.add(GetParam().kind, CommGraph::kWorld, GetParam().dtype, 1200 * ranks_, ranks_)),
        fabric_(graph_.graph(), mpi::Communicator::world(), {}),
        buffers_(graph_.graph(), BufferSet::Need::all, own_rank()),
        validator_(graph_.graph(), own_rank(), kSamples) {}

  void communicate(std::uint32_t step) {
    validator_.plant(step, 0, comm_, buffers_);
    ASSERT_EQ(finish(fabric_, fabric_.start(comm_, graph_.graph(), buffers_)), CommState::done);
  }
  step::ValidationResult check(std::uint32_t step) { return validator_.check(step, 0, comm_, buffers_); }
  [[nodiscard]] std::uint64_t result_elements() const {
    return graph_.graph().buffer(comm_.to.buffer).elements;
  }

  CommGraph graph_;
  std::uint64_t ranks_;
  Comm comm_;
  MpiFabric fabric_;
  BufferSet buffers_;
  PatternValidator validator_;
};

TEST_P(ValidatedOp, FindsNothingWrongInRightDataAndAgreesOnTheChecksum) {
  std::set<std::uint64_t> checksums;
  for (std::uint32_t step = 0; step < 5; ++step) {
    communicate(step);
    const step::ValidationResult result = check(step);
    EXPECT_EQ(result.wrong, 0U) << "element " << result.first.offset << " is " << result.first.observed
                                << ", not " << result.first.expected;
    EXPECT_NE(result.checksum, 0U);
    EXPECT_TRUE(equal_on_all_ranks(result.checksum));
    checksums.insert(result.checksum);
  }
  const bool of_observed_values = comm_.kind == CommKind::all_reduce || comm_.kind == CommKind::all_gather ||
                                  comm_.kind == CommKind::broadcast;
  EXPECT_EQ(checksums.size(), of_observed_values ? 5U : 1U);
}

TEST_P(ValidatedOp, FindsTheResultOfAnotherStep) {
  communicate(3);
  EXPECT_GT(check(4).wrong, 0U);
}

TEST_P(ValidatedOp, NamesTheOneWrongElementOfOneRank) {
  communicate(7);
  ASSERT_EQ(check(7).wrong, 0U);
  const std::uint64_t checksum = check(7).checksum;
  // Which elements are looked at is found by spoiling each in turn, without asking the pattern.
  std::uint64_t noticed = 0;
  for (std::uint64_t element = 0; element < result_elements(); ++element) {
    spoil(buffers_, graph_.graph(), comm_, element, 1.0);
    const step::ValidationResult result = check(7);
    if (result.wrong > 0) {
      ++noticed;
      EXPECT_EQ(result.wrong, 1U);
      EXPECT_EQ(result.first.offset, element);
      EXPECT_EQ(result.first.observed, result.first.expected + 1.0);
      EXPECT_NE(result.checksum, checksum);
    }
    spoil(buffers_, graph_.graph(), comm_, element, -1.0);
  }
  const bool in_blocks = comm_.kind == CommKind::reduce_scatter || comm_.kind == CommKind::all_gather ||
                         comm_.kind == CommKind::all_to_all;
  const std::uint64_t result_blocks = result_elements() / (in_blocks ? 1200 : result_elements());
  EXPECT_EQ(noticed, in_blocks ? kSamples / ranks_ * result_blocks : kSamples);
}

TEST_P(ValidatedOp, TakesNotANumberForWrong) {
  communicate(2);
  for (std::uint64_t element = 0; element < result_elements(); ++element)
    spoil(buffers_, graph_.graph(), comm_, element, std::numeric_limits<double>::quiet_NaN());
  EXPECT_GT(check(2).wrong, 0U);
}

TEST_P(ValidatedOp, ABitThatIsFlippedOnPurposeIsFoundOnce) {
  std::vector<FlippingValidator::Place> places;
  FlippingValidator flipping(graph_.graph(), validator_,
                             [&places](const FlippingValidator::Place& place) { places.push_back(place); });
  communicate(4);
  EXPECT_EQ(flipping.check(4, 0, comm_, buffers_).wrong, 0U);
  flipping.arm(5);
  EXPECT_EQ(flipping.check(4, 0, comm_, buffers_).wrong, 0U) << "another step";
  communicate(5);
  const step::ValidationResult result = flipping.check(5, 0, comm_, buffers_);
  ASSERT_EQ(places.size(), 1U);
  EXPECT_EQ(places[0].step, 5U);
  EXPECT_EQ(result.wrong, 1U);
  EXPECT_EQ(result.first.offset, places[0].element);
  EXPECT_NE(result.first.observed, result.first.expected);
  EXPECT_TRUE(std::isfinite(result.first.observed));
  communicate(5);
  EXPECT_EQ(flipping.check(5, 0, comm_, buffers_).wrong, 0U) << "it is over";
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const CommKind kind : {CommKind::all_reduce, CommKind::reduce_scatter, CommKind::all_gather,
                              CommKind::broadcast, CommKind::all_to_all, CommKind::send_recv}) {
    for (const Dtype dtype : {Dtype::f32, Dtype::f64})
      cases.push_back({kind, dtype});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, ValidatedOp, testing::ValuesIn(all_cases()), testing::PrintToStringParamName());

TEST(PatternValidator, NoticesALostContribution) {
  const mpi::Communicator world = mpi::Communicator::world();
  if (world.size() < 2)
    GTEST_SKIP() << "needs a second rank";
  CommGraph graph(world.size());
  const Comm comm = graph.add(CommKind::all_reduce, CommGraph::kWorld, Dtype::f32, 4096, 1);
  MpiFabric fabric(graph.graph(), world, {});
  BufferSet buffers(graph.graph(), BufferSet::Need::all, own_rank());
  PatternValidator validator(graph.graph(), own_rank(), 64);
  if (world.rank() != 1)
    validator.plant(0, 0, comm, buffers);
  ASSERT_EQ(finish(fabric, fabric.start(comm, graph.graph(), buffers)), CommState::done);
  EXPECT_GT(validator.check(0, 0, comm, buffers).wrong, 0U);
}

TEST(PatternValidator, HasNothingToSayOfABarrier) {
  const mpi::Communicator world = mpi::Communicator::world();
  CommGraph graph(world.size());
  const Comm comm = graph.add(CommKind::barrier, CommGraph::kWorld, Dtype::f32, 0, 1);
  BufferSet buffers(graph.graph(), BufferSet::Need::all, own_rank());
  PatternValidator validator(graph.graph(), own_rank(), 64);
  validator.plant(0, 0, comm, buffers);
  EXPECT_EQ(validator.check(0, 0, comm, buffers).wrong, 0U);
}

}  // namespace
}  // namespace lockstep::fabric
