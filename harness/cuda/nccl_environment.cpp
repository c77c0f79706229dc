#include "harness/cuda/nccl_environment.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"

namespace lockstep::cuda {
namespace {

void sort_by_name(std::vector<NcclSetting>& settings) {
  std::stable_sort(settings.begin(), settings.end(),
                   [](const NcclSetting& a, const NcclSetting& b) { return a.name < b.name; });
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables any more
  return value != nullptr ? value : "";
}

std::vector<std::string> files() {
  std::vector<std::string> found;
  const std::string own = variable("NCCL_CONF_FILE");
  const std::string home = variable("HOME");
  if (!own.empty())
    found.push_back(own);
  else if (!home.empty())
    found.push_back(home + "/.nccl.conf");
  found.emplace_back("/etc/nccl.conf");
  return found;
}

void join_to(std::string& text, const std::string& name, const std::string& value) {
  if (!value.empty())
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, value);
}

}  // namespace

std::vector<NcclSetting> nccl_settings(const std::vector<std::string>& environment) {
  std::vector<NcclSetting> found;
  for (const std::string& entry : environment) {
    const std::size_t equals = entry.find('=');
    if (entry.starts_with("NCCL_") && equals != std::string::npos)
      found.push_back({entry.substr(0, equals), entry.substr(equals + 1), "environment"});
  }
  sort_by_name(found);
  return found;
}

std::vector<NcclSetting> nccl_settings_in_file(const std::string& path, const std::string& text) {
  std::vector<NcclSetting> found;
  for (const std::string& written : split(text, '\n')) {
    const std::string line(trim(written.substr(0, written.find('#'))));
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos && equals > 0)
      found.push_back(
          {std::string(trim(line.substr(0, equals))), std::string(trim(line.substr(equals + 1))), path});
  }
  sort_by_name(found);
  return found;
}

std::vector<NcclSetting> nccl_settings_of_this_process() {
  std::vector<std::string> entries;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry)
    entries.emplace_back(*entry);
  std::vector<NcclSetting> all = nccl_settings(entries);
  for (const std::string& path : files()) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error) || ::access(path.c_str(), R_OK) != 0)
      continue;
    for (NcclSetting& setting : nccl_settings_in_file(path, read_text_file(path))) {
      if (value_of(all, setting.name).empty())
        all.push_back(std::move(setting));
    }
  }
  sort_by_name(all);
  return all;
}

std::string value_of(const std::vector<NcclSetting>& settings, const std::string& name) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const NcclSetting& setting) { return setting.name == name; });
  return found == settings.end() ? std::string() : found->value;
}

std::string nccl_tuning(const std::vector<NcclSetting>& settings) {
  std::string forced;
  for (const char* name : {"NCCL_ALGO", "NCCL_PROTO", "NCCL_TUNER_PLUGIN", "NCCL_TUNER_CONFIG_FILE"})
    join_to(forced, name, value_of(settings, name));
  if (forced.empty())
    return "left to NCCL's tuner, which does not tell (NCCL_DEBUG=INFO with NCCL_DEBUG_SUBSYS=TUNING prints "
           "it)";
  const bool both = !value_of(settings, "NCCL_ALGO").empty() && !value_of(settings, "NCCL_PROTO").empty();
  return both ? "restricted by " + forced
              : "restricted by " + forced + "; the rest is left to NCCL's tuner, which does not tell";
}

std::string nccl_transport(const std::vector<NcclSetting>& settings) {
  std::string forced;
  for (const char* name : {"NCCL_P2P_DISABLE", "NCCL_P2P_LEVEL", "NCCL_SHM_DISABLE", "NCCL_IB_DISABLE",
                           "NCCL_IB_HCA", "NCCL_NET", "NCCL_NET_PLUGIN", "NCCL_SOCKET_IFNAME", "NCCL_HOSTID"})
    join_to(forced, name, value_of(settings, name));
  return (forced.empty() ? std::string("left to NCCL") : "restricted by " + forced) +
         ", which tells it in NCCL_DEBUG's output only";
}

}  // namespace lockstep::cuda
