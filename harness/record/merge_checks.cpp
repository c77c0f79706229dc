#include "harness/record/merge_checks.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/core.h>

#include "harness/core/text.hpp"
#include "harness/core/units.hpp"

namespace lockstep::record {
namespace {

FailureRow mismatch(std::uint32_t leg, std::uint32_t step, std::int32_t rank, std::string message) {
  FailureRow row = make_failure(leg, rank, "checksum_mismatch", std::move(message));
  row.step = static_cast<std::int32_t>(step);
  return row;
}

}  // namespace

FailureRow make_failure(std::uint32_t leg, std::int32_t rank, std::string kind, std::string message) {
  FailureRow row;
  row.leg = leg;
  row.rank = rank;
  row.kind = std::move(kind);
  row.message = std::move(message);
  return row;
}

std::string name_ranks(std::span<const std::uint32_t> ascending) {
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < ascending.size();) {
    std::size_t last = i;
    while (last + 1 < ascending.size() && ascending[last + 1] == ascending[last] + 1)
      ++last;
    runs.push_back(last == i ? fmt::format("{}", ascending[i])
                             : fmt::format("{}-{}", ascending[i], ascending[last]));
    i = last + 1;
  }
  return join(runs, ", ");
}

std::vector<FailureRow> compare_checksums(std::uint32_t leg, std::uint32_t step, const std::string& group,
                                          std::span<const RankChecksum> part) {
  std::map<std::uint64_t, std::vector<std::uint32_t>> holders;
  for (const RankChecksum& entry : part)
    holders[entry.checksum].push_back(entry.rank);
  std::vector<FailureRow> rows;
  if (holders.size() < 2)
    return rows;
  const auto most = std::max_element(holders.begin(), holders.end(), [](const auto& a, const auto& b) {
    return a.second.size() < b.second.size();
  });
  if (2 * most->second.size() > part.size()) {
    for (const auto& [checksum, ranks] : holders) {
      if (checksum == most->first)
        continue;
      for (const std::uint32_t rank : ranks) {
        rows.push_back(
            mismatch(leg, step, static_cast<std::int32_t>(rank),
                     fmt::format("step {}: rank {} holds other reduced data ({:016x}) than ranks {} of its "
                                 "{} group ({:016x})",
                                 step, rank, checksum, name_ranks(most->second), group, most->first)));
      }
    }
    return rows;
  }
  std::vector<std::string> held;
  held.reserve(holders.size());
  for (const auto& [checksum, ranks] : holders)
    held.push_back(fmt::format("ranks {}: {:016x}", name_ranks(ranks), checksum));
  rows.push_back(
      mismatch(leg, step, -1,
               fmt::format("step {}: ranks of one {} group hold different reduced data, and none of it is "
                           "held by most ({})",
                           step, group, join(held, "; "))));
  return rows;
}

}  // namespace lockstep::record
