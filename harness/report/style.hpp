#pragma once

#include <string>
#include <string_view>

namespace lockstep::report {

/// How an output looks: decided once per stream, and passed to whatever prints there.
struct Style {
  bool colours = false;      ///< a terminal, and NO_COLOR is not set
  bool interactive = false;  ///< a terminal that a line may be redrawn on
  int width = 100;           ///< characters in a line
};

/// For a file descriptor: colours and redrawing only on a terminal; NO_COLOR (any value but the empty one)
/// and TERM=dumb turn colours off.
[[nodiscard]] Style style_of(int fd);

enum class Emphasis { plain, strong, faint, good, warning, bad };

/// The text, coloured when the style says so.
[[nodiscard]] std::string paint(const Style& style, Emphasis emphasis, std::string_view text);

/// Breaks the text at spaces into lines of at most `width` characters: the first one after `indent`, the
/// others after as many spaces.
[[nodiscard]] std::string wrap(std::string_view text, std::string_view indent, int width);

}  // namespace lockstep::report
