#include "harness/compute/cpu_features.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "harness/core/text.hpp"

namespace lockstep::compute {
namespace {

std::set<std::string> words(std::string_view text) {
  std::istringstream stream{std::string(text)};
  return {std::istream_iterator<std::string>(stream), {}};
}

std::set<std::string> common(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::set<std::string> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::inserter(both, both.end()));
  return both;
}

}  // namespace

CpuFeatures parse_cpu_features(std::string_view cpuinfo) {
  CpuFeatures found;
  bool first = true;
  std::string implementer;
  for (const std::string& line : split(cpuinfo, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos)
      continue;
    const std::string_view key = trim(std::string_view(line).substr(0, colon));
    const std::string_view value = trim(std::string_view(line).substr(colon + 1));
    if (key == "model name" && found.model.empty()) {
      found.model = value;
    } else if (key == "CPU implementer") {
      implementer = value;
    } else if (key == "CPU part" && found.model.empty()) {
      found.model = "arm " + implementer + " " + std::string(value);
    } else if (key == "flags" || key == "Features") {
      // Big and little cores differ; a kernel has to run on whichever the scheduler picks.
      found.flags = first ? words(value) : common(found.flags, words(value));
      first = false;
    }
  }
  return found;
}

CpuFeatures read_cpu_features() {
  std::ifstream file("/proc/cpuinfo");
  std::ostringstream text;
  text << file.rdbuf();
  return parse_cpu_features(text.str());
}

}  // namespace lockstep::compute
