#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

/// The candidate with the smallest edit distance to `word`, when that is near enough to be a likely slip.
[[nodiscard]] std::optional<std::string> nearest_match(std::string_view word,
                                                       std::span<const std::string> candidates);

/// Splits at every `separator`; an empty text gives one empty part.
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);

/// Joins with `separator` between the parts.
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);

/// Without leading and trailing white space.
[[nodiscard]] std::string_view trim(std::string_view text);

}  // namespace lockstep
