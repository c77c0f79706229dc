#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/report/devices.hpp"
#include "harness/report/style.hpp"
#include "harness/stats/quantile.hpp"

namespace lockstep::report {

/// One launch. Its step times are those of the certificate: over steady steps that every rank completed, from
/// the end of one step on its last rank to the end of the next, on the common clock. Seconds.
struct LaunchSummary {
  record::LegRow planned;
  std::optional<record::LegEndRow> end;  ///< nullopt: cut short
  std::uint32_t warmup_steps = 0;        ///< completed by every rank
  std::uint32_t partial_steps = 0;       ///< begun, and not completed by every rank
  stats::Summary step_s;
  double exposed_share = 0.0;  ///< exposed communication / own step time, all ranks and steady steps together
  std::uint32_t stalls = 0;
  std::uint32_t failures = 0;
};

/// Communications of one leg that are alike: same kind, group, size and dtype. Times over steps (and over
/// alike ops of a step); within a step the slowest part of the group counts. `time` is the transfer alone:
/// from the last rank's arrival.
struct CommSummary {
  std::string leg;  ///< name
  std::string kind;
  std::string group;
  std::uint32_t ranks = 0;       ///< of the largest part
  std::uint32_t sites = 1;       ///< that a part spans
  std::uint32_t ops = 0;         ///< alike, in a step
  std::uint64_t size_bytes = 0;  ///< S
  std::uint64_t count = 0;       ///< elements
  std::string type;
  std::string redop;  ///< sum, none
  stats::Summary time_s;
  double wait_p50_s = 0.0;  ///< of the rank that waited longest
  double algbw = 0.0;       ///< bytes/s: S / median time
  double busbw = 0.0;       ///< bytes/s: algbw x the factor of nccl-tests
  std::optional<double>
      cutbw;  ///< bytes/s over each site's egress: all-reduce over m sites, S 2(m-1)/m / median time
  std::uint64_t wrong = 0;  ///< failure records of wrong values
};

/// Ranks of one host, in one launch.
struct HostSummary {
  std::string site;
  std::string host;
  std::uint32_t ranks = 0;
  std::uint32_t complete = 0;
  std::string compute;
  std::string progress;
  double least_gflops = 0.0;  ///< measured GEMM peak of its slowest rank
  double most_gflops = 0.0;
};

/// A fact that was recorded, and how many different values it had.
struct FactSummary {
  std::string key;
  std::vector<std::string> values;  ///< distinct, at most 4
  std::size_t distinct = 0;
};

struct RunSummary {
  std::string path;
  std::string lockstep_version;
  std::string created_utc;
  std::vector<LaunchSummary> launches;
  std::vector<HostSummary> hosts;  ///< of the launch `hosts_of`
  std::optional<std::uint32_t> hosts_of;
  std::vector<DeviceSummary> devices;
  std::vector<CommSummary> comms;
  std::vector<record::StallRow> worst_stalls;  ///< longest first, at most 10; with causes
  std::vector<record::IncidentRow> incidents;
  std::vector<record::FailureRow> failures;
  std::vector<FactSummary> facts;
};

/// Works out what `lockstep show` prints. `only_leg`: one launch by its index. Throws InputError when there
/// is no such launch.
[[nodiscard]] RunSummary summarize_run(const record::Evidence& evidence, const std::string& path,
                                       std::optional<std::uint32_t> only_leg);

[[nodiscard]] std::string summary_text(const RunSummary& summary, const Style& style);
/// One JSON document; keys of communications as nccl-tests names them, bandwidths in GB/s (1e9), times in us.
[[nodiscard]] std::string summary_json(const RunSummary& summary);

}  // namespace lockstep::report
