#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/record/common_clock.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::watch {

/// Which ranks communicate with each other in one group.
struct GroupParts {
  std::vector<std::uint32_t> of_rank;             ///< index of the rank's part
  std::vector<std::vector<std::uint32_t>> parts;  ///< ranks, ascending
};

/// What one launch left, sorted. It points into the Evidence that it was made from, which must outlive it,
/// and copies no row.
struct LaunchView {
  const record::LegRow* leg = nullptr;
  const record::LegEndRow* end = nullptr;      ///< nullptr: not ended, or cut short
  std::vector<const record::RankRow*> ranks;   ///< by rank; nullptr when there is no row
  std::vector<const record::GraphRow*> graph;  ///< by op
  std::vector<const record::StepRow*> steps;   ///< completed ones, by step and rank
  std::vector<const record::CommRow*> comms;   ///< by step, op and rank; also those begun only
  std::vector<const record::OpRow*> ops;       ///< by step, rank and op; also those begun only
  std::vector<record::CommonClock> clocks;     ///< by rank
  std::vector<const record::FailureRow*> failures;
  std::vector<const record::CheckpointRow*> checkpoints;
  std::vector<const record::ProbeRow*> probes;
  std::vector<const record::DeviceRow*> devices;  ///< by rank and device
  std::vector<const record::HealthRow*> health;   ///< by rank, device and time
  std::map<std::string, GroupParts> groups;       ///< of every group that the graph names
  /// UTC = monotonic clock + this, by host, where the evidence tells it.
  std::map<std::string, std::int64_t> utc_offset_ns;

  [[nodiscard]] std::uint32_t rank_count() const { return leg->ranks; }
  [[nodiscard]] std::span<const record::StepRow* const> steps_of(std::uint32_t step) const;
  [[nodiscard]] std::span<const record::CommRow* const> comms_of(std::uint32_t step) const;
  [[nodiscard]] std::span<const record::OpRow* const> ops_of(std::uint32_t step) const;
  /// Empty when not known.
  [[nodiscard]] const std::string& site_of(std::uint32_t rank) const;
  [[nodiscard]] const std::string& host_of(std::uint32_t rank) const;
  /// In order of ranks.
  [[nodiscard]] std::vector<std::string> sites() const;
  /// Ranks that communicate with `rank` in op `op`, itself included; empty when it is no communication.
  [[nodiscard]] std::span<const std::uint32_t> part_of(std::uint32_t op, std::uint32_t rank) const;
  [[nodiscard]] bool is_communication(std::uint32_t op) const;
  [[nodiscard]] bool spans_sites(std::uint32_t op) const;
  /// Name of the op in the graph, or its number.
  [[nodiscard]] std::string op_name(std::uint32_t op) const;
  [[nodiscard]] std::optional<std::int64_t> to_utc_ns(std::uint32_t rank, std::int64_t local_ns) const;
  /// What the rank computes on: its card, or the processors of its host. nullptr when nobody watches it.
  [[nodiscard]] const record::DeviceRow* device_of(std::uint32_t rank) const;
  /// Health of one device, in order of time.
  [[nodiscard]] std::span<const record::HealthRow* const> health_of(const record::DeviceRow& device) const;
};

/// Key of the fact that ties a host's CLOCK_MONOTONIC to UTC: a whole number of ns.
constexpr const char* kUtcOffsetKey = "clock.utc_minus_monotonic_ns";

/// Of the launch with that index. Its `leg` is nullptr, and all else empty, when the evidence has no such
/// launch.
[[nodiscard]] LaunchView view_of(const record::Evidence& evidence, std::uint32_t leg);
/// Of all launches in one go, in the order of their announcement.
[[nodiscard]] std::vector<LaunchView> views_of(const record::Evidence& evidence);

}  // namespace lockstep::watch
