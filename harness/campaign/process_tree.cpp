#include "harness/campaign/process_tree.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include <dirent.h>

namespace lockstep::campaign {
namespace {

struct ProcessLine {
  char state = '?';
  pid_t parent = 0;
};

std::optional<ProcessLine> read_stat(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line))
    return std::nullopt;
  // The second field is the name in parentheses and may itself hold spaces and parentheses.
  const std::size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos || end_of_name + 4 >= line.size())
    return std::nullopt;
  ProcessLine found;
  found.state = line[end_of_name + 2];
  found.parent = static_cast<pid_t>(std::strtol(line.c_str() + end_of_name + 4, nullptr, 10));
  return found;
}

}  // namespace

std::vector<pid_t> descendants_of(pid_t ancestor) {
  std::unordered_multimap<pid_t, pid_t> children;
  std::unordered_map<pid_t, char> states;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), &::closedir);
  if (!folder)
    return {};
  while (const dirent* entry = ::readdir(folder.get())) {
    char* end = nullptr;
    const long pid = std::strtol(entry->d_name, &end, 10);
    if (pid <= 0 || *end != '\0')
      continue;
    if (const auto line = read_stat(static_cast<pid_t>(pid))) {
      children.emplace(line->parent, static_cast<pid_t>(pid));
      states.emplace(static_cast<pid_t>(pid), line->state);
    }
  }
  std::vector<pid_t> open{ancestor};
  std::vector<pid_t> found;
  while (!open.empty()) {
    const pid_t parent = open.back();
    open.pop_back();
    const auto [begin, end] = children.equal_range(parent);
    for (auto at = begin; at != end; ++at) {
      open.push_back(at->second);
      const char state = states[at->second];
      if (state != 'Z' && state != 'X')
        found.push_back(at->second);
    }
  }
  return found;
}

}  // namespace lockstep::campaign
