#pragma once

#include <span>
#include <string>

#include <toml++/toml.h>

#include "harness/plan/plan.hpp"

/// Internal to this room: the header drags the parser in.
namespace lockstep::plan {

/// Sets one `dotted.key=value` in the tables of a plan, before anything is checked. Entries of `[[site]]` and
/// `[[leg]]` are addressed by name: `site.A.slots=2`. The value is TOML; one that is not, and does not begin
/// like a quoted string, array or table, is a string as it stands. Tables that are missing are made. Throws
/// InputError with `--set` as the file when there is no such key or entry.
void apply_override(toml::table& root, const std::string& assignment);

/// Puts a [[site]] for each of `sites` into a plan that has none.
void insert_sites(toml::table& root, std::span<const Site> sites);

}  // namespace lockstep::plan
