#pragma once

#include <string>
#include <string_view>

#include <toml++/toml.h>

#include "harness/plan/place.hpp"

/// What every reader of a TOML file here shares. Include it in source files only: it drags the parser in.
namespace lockstep::plan {

/// Parses. `file` stands in messages. Throws InputError with the line of the syntax error.
[[nodiscard]] toml::table parse_toml(std::string_view text, const std::string& file);

/// Where a node was written: its line in `file`, or `--set` for a node that an override put there.
[[nodiscard]] Place place_of(const toml::node& node, const std::string& file);

/// What a node is, with its article: `an array`, `a number with a fraction`.
[[nodiscard]] const char* type_of(const toml::node& node);

}  // namespace lockstep::plan
