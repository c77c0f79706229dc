#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/watch/launch_view.hpp"

/// How ranks, hosts and sites are called in what people read, and in the column `culprit`. Internal to this
/// room.
namespace lockstep::watch {

/// `rank 4 on b2`
[[nodiscard]] std::string rank_name(const LaunchView& view, std::uint32_t rank);
/// `rank 4 on host b2 (site B)`
[[nodiscard]] std::string rank_and_place(const LaunchView& view, std::uint32_t rank);
/// `ranks 0, 2-5, 9`; from the ninth run on `and N more`.
[[nodiscard]] std::string rank_list(std::span<const std::uint32_t> ascending);

/// The smallest place that is made of just these ranks.
enum class Scope { none, rank, several, host, site, all };
struct Place {
  Scope scope = Scope::none;
  std::string name;  ///< `rank 4 on b2`, `ranks 1, 4`, `host b2`, `site B`; empty for none and all
};
/// A host of one rank is called by its rank, unless `whole_hosts`.
[[nodiscard]] Place place_of(const LaunchView& view, std::span<const std::uint32_t> ascending,
                             bool whole_hosts = false);

/// `card NVIDIA H200, serial 1650123`; `processors of host b2 (Xeon 8481C)`; empty for nullptr.
[[nodiscard]] std::string device_name(const LaunchView& view, const record::DeviceRow* device);

/// `A - B`, the lesser name first; of more than two sites `A, B, C`.
[[nodiscard]] std::string between(std::vector<std::string> sites);
/// `A -> B`
[[nodiscard]] std::string one_way(const std::string& from, const std::string& to);

/// Cut to `most` bytes, with an ellipsis, not inside a character of UTF-8.
[[nodiscard]] std::string shortened(std::string text, std::size_t most);

}  // namespace lockstep::watch
