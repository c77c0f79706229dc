#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What Slurm says about jobs and networks, as text. Pure: nothing here asks Slurm.
namespace lockstep::campaign {

/// `gpu-a[001-002,7],login3` in order. Throws InputError when it cannot be understood.
[[nodiscard]] std::vector<std::string> expand_host_list(std::string_view list);

/// `2(x3),1` as 2, 2, 2, 1: one number a host. Throws InputError when it is no such list, or is not one of
/// `hosts` numbers.
[[nodiscard]] std::vector<std::uint32_t> expand_counts(std::string_view counts, std::size_t hosts);

/// A length of time as Slurm writes it: `30` (minutes), `mm:ss`, `hh:mm:ss`, `d-hh`, `d-hh:mm`,
/// `d-hh:mm:ss`. nullopt for anything else, UNLIMITED and INVALID among it.
[[nodiscard]] std::optional<double> parse_time_s(std::string_view text);

/// One line of `scontrol show topology`.
struct Switch {
  std::string name;
  std::vector<std::string> hosts;     ///< below it, however deep
  std::vector<std::string> switches;  ///< directly below it
  bool operator==(const Switch&) const = default;
};
/// Every line that names a switch. Throws InputError when one of its lists cannot be understood.
[[nodiscard]] std::vector<Switch> parse_topology(std::string_view text);

}  // namespace lockstep::campaign
