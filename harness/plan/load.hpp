#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/plan/plan.hpp"

namespace lockstep::plan {

/// One key that the loader knows, for configs/README.md and the nearest-key suggestion.
struct KeyInfo {
  std::string path;           ///< dotted, `[[site]]` keys as `site.name`
  std::string type;           ///< string, integer, number, boolean, array of strings, table
  std::string default_value;  ///< as TOML, or "required"
  std::string limits;  ///< `1 to 1000`, or the valid choices; empty when every value of the type is taken
};

/// In the order in which they are best explained.
[[nodiscard]] std::vector<KeyInfo> known_keys();

/// Reads a plan file, applies `overrides` (each `dotted.key=TOML value`; a bare word counts as a string),
/// checks everything. Entries of `[[site]]` and `[[leg]]` are addressed by name: `site.A.slots=2`. Throws
/// InputError with file, line, reason and the nearest valid key or value; `--set` stands for the file where
/// an override is at fault.
///
/// `sites` stand in for those of a plan that lists none (see lists_sites); overrides may change them.
///
/// Plan::text is the file byte for byte without overrides and sites, and the plan written anew (no comments,
/// keys sorted) with them. parse_plan(plan.text, plan.path) gives an equal plan.
[[nodiscard]] Plan load_plan(const std::string& path, std::span<const std::string> overrides = {},
                             std::span<const Site> sites = {});

/// The same from text, for plans stored inside evidence. `name_for_messages` stands where the path would.
[[nodiscard]] Plan parse_plan(std::string_view text, const std::string& name_for_messages,
                              std::span<const std::string> overrides = {}, std::span<const Site> sites = {});

/// Whether the plan file has a [[site]]: one that has none takes its sites from where it is run. Throws
/// InputError when it cannot be read or is not TOML.
[[nodiscard]] bool lists_sites(const std::string& path);

/// Whether the plan's own text sets a key, such as `links.wan_gbps`: a default says nothing about the sites.
[[nodiscard]] bool sets_key(const Plan& plan, std::string_view dotted_key);

/// What the plan asks for other than by default, a line each: `tail_ratio_max = 1.3 (by default 1.1)`. A
/// reader of the verdict has to see that a criterion was loosened.
[[nodiscard]] std::vector<std::string> changed_criteria(const Plan& plan);

}  // namespace lockstep::plan
