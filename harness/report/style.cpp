#include "harness/report/style.hpp"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include <sys/ioctl.h>
#include <unistd.h>

namespace lockstep::report {
namespace {

constexpr int kLeastWidth = 40;
constexpr int kMostWidth = 160;

const char* code_of(Emphasis emphasis) {
  switch (emphasis) {
    case Emphasis::plain:
      return "";
    case Emphasis::strong:
      return "\033[1m";
    case Emphasis::faint:
      return "\033[2m";
    case Emphasis::good:
      return "\033[32m";
    case Emphasis::warning:
      return "\033[33m";
    case Emphasis::bad:
      return "\033[31m";
  }
  return "";
}

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

}  // namespace

Style style_of(int fd) {
  Style style;
  if (::isatty(fd) == 0)
    return style;
  const char* term = std::getenv("TERM");
  const bool dumb = term != nullptr && std::string_view(term) == "dumb";
  style.interactive = !dumb;
  style.colours = !dumb && !is_set("NO_COLOR");
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    style.width = std::clamp(static_cast<int>(size.ws_col), kLeastWidth, kMostWidth);
  return style;
}

std::string paint(const Style& style, Emphasis emphasis, std::string_view text) {
  if (!style.colours || emphasis == Emphasis::plain || text.empty())
    return std::string(text);
  return code_of(emphasis) + std::string(text) + "\033[0m";
}

std::string wrap(std::string_view text, std::string_view indent, int width) {
  std::istringstream words{std::string(text)};
  std::string out;
  std::string line(indent);
  for (std::string word; words >> word;) {
    const bool first = line.size() == indent.size();
    if (!first && line.size() + 1 + word.size() > static_cast<std::size_t>(width)) {
      out += line + "\n";
      line = std::string(indent.size(), ' ') + word;
    } else {
      line += (first ? "" : " ") + word;
    }
  }
  return out + line + "\n";
}

}  // namespace lockstep::report
