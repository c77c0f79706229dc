#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"

/// One launch that never ran, with a known truth: a small simulation of ranks that compute and communicate,
/// in which a test plants what goes wrong.
namespace lockstep::tests {

/// The graph of the launch: one replica of `tensor_parallel` ranks after the other.
enum SyntheticOp : std::uint32_t {
  kForward = 0,  ///< gemm
  kActivations,  ///< all-reduce over tensor_parallel, after forward; inside a host
  kBackward,     ///< gemm, after the activations
  kBucket0,      ///< all-reduce over data_parallel, after backward
  kBackward2,    ///< gemm
  kBucket1,      ///< all-reduce over data_parallel, after backward2
  kUpdate,       ///< after both buckets
  kSyntheticOps,
};

constexpr double kForever = std::numeric_limits<double>::infinity();

/// Something that goes wrong in one step. In seconds.
struct Planted {
  enum class What {
    work,    ///< a compute op of the ranks takes longer
    pause,   ///< the ranks begin the step later
    launch,  ///< the ranks enter a communication later than they could
    moving,  ///< a communication takes longer after every rank has joined it; of the parts with the ranks
  };
  What what = What::work;
  std::uint32_t step = 0;
  std::uint32_t op = kBackward;
  std::vector<std::uint32_t> ranks;  ///< empty: all
  double extra_s = 0.0;              ///< kForever: it never ends
};

struct SyntheticHost {
  std::string site;
  std::string name;
  std::uint32_t ranks = 1;
};

struct SyntheticLaunch {
  std::vector<SyntheticHost> hosts = {{"A", "a1", 2}, {"A", "a2", 2}, {"B", "b1", 2}, {"B", "b2", 2}};
  std::uint32_t tensor_parallel = 1;
  std::uint32_t warmup_steps = 2;
  std::uint32_t steps = 40;  ///< steady
  std::uint32_t stamped_steps = 3;
  double compute_s = 0.020;  ///< of each gemm
  double lan_s = 0.001;
  double wan_s = 0.008;
  double noise = 0.01;  ///< standard deviation of each duration, relative
  double clock_bound_s = 2e-5;
  bool clocks = true;
  bool utc = true;            ///< provenance ties the hosts' clocks to UTC
  double probes_per_s = 4.0;  ///< between the first ranks of all sites; 0: none
  std::vector<Planted> planted = {};
};

/// Real time 0 of the simulation as UTC.
constexpr std::int64_t kSyntheticUtcNs = 1'790'000'000'000'000'000;

/// Ends as `completed` unless something planted never ends: then `failed`, the ranks partial, and the launch
/// ends `hung_s` after the last thing that happened.
[[nodiscard]] record::Evidence make_launch(const SyntheticLaunch& launch, double hung_s = 30.0);

}  // namespace lockstep::tests
