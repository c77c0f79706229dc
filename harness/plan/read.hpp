#pragma once

#include <string>

#include "harness/plan/draft.hpp"
#include "harness/plan/toml.hpp"

/// TOML -> draft, by the key table. Internal to this room: the header drags the parser in.
namespace lockstep::plan {

/// Stores every key of `root` in a draft. Throws InputError for the first line that has an unknown key, a
/// wrong type or a value out of its limits, then for a required key that is missing.
[[nodiscard]] Draft read_draft(const toml::table& root, const std::string& file);

/// Stores the keys of one table that stands for `section` (such as `workload.shape`) in `draft`; throws
/// likewise.
void read_section(const toml::table& table, const std::string& section, const std::string& file,
                  Draft& draft);

}  // namespace lockstep::plan
