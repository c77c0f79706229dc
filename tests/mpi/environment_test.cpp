#include "harness/mpi/environment.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/mpi/communicator.hpp"
#include "harness/mpi/parameters.hpp"

namespace lockstep::mpi {
namespace {

TEST(Versions, NameTheLibraryAndTheStandard) {
  EXPECT_THAT(library_version(), testing::HasSubstr("MPI"));
  EXPECT_EQ(library_version().find('\n'), std::string::npos);
  EXPECT_THAT(standard_version(), testing::MatchesRegex("[34].[0-9]"));
}

std::string value_of(const std::vector<Parameter>& parameters, const std::string& name) {
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [&name](const Parameter& parameter) { return parameter.name == name; });
  return found == parameters.end() ? "(not there)" : found->value;
}

TEST(PerformanceParameters, AreTheOnesInForce) {
  if (library_version().find("Open MPI") == std::string::npos)
    GTEST_SKIP() << "the names are Open MPI's";
  const std::vector<Parameter> parameters = performance_parameters();
  // ctest sets these two away from their defaults.
  ASSERT_STREQ(std::getenv("OMPI_MCA_mpi_yield_when_idle"), "1");
  EXPECT_EQ(value_of(parameters, "mpi_yield_when_idle"), "true");
  if (Communicator::world().size() > 1) {  // the shared-memory transport is not there for one rank
    EXPECT_EQ(value_of(parameters, "btl_vader_single_copy_mechanism"), "none");
  }
  EXPECT_GT(std::stoul(value_of(parameters, "btl_tcp_eager_limit")), 0U);
  EXPECT_TRUE(std::is_sorted(parameters.begin(), parameters.end(),
                             [](const Parameter& a, const Parameter& b) { return a.name < b.name; }));
}

}  // namespace
}  // namespace lockstep::mpi
