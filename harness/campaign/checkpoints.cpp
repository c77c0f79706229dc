#include "harness/campaign/checkpoints.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

namespace lockstep::campaign {

namespace fs = std::filesystem;

std::string checkpoints_folder(const plan::Plan& plan, const Launch& launch, const ResultsFolder& folder) {
  if (plan.recovery.checkpoint_steps == 0)
    return {};
  const std::string& chosen = plan.recovery.checkpoint_folder;
  return fmt::format("{}/{}-r{}", chosen.empty() ? folder.checkpoints_base() : chosen,
                     plan.legs[launch.leg].name, launch.round);
}

std::uint32_t newest_checkpoint(const std::string& checkpoints_folder) {
  constexpr std::string_view kPrefix = "step-";
  std::uint32_t newest = 0;
  std::error_code error;
  if (checkpoints_folder.empty())
    return 0;
  for (const auto& entry : fs::directory_iterator(checkpoints_folder, error)) {
    const std::string name = entry.path().filename().string();
    std::uint32_t step = 0;
    if (!name.starts_with(kPrefix))
      continue;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, step);
    if (parsed.ec != std::errc{} || parsed.ptr != end || !fs::exists(entry.path() / "complete", error))
      continue;
    newest = std::max(newest, step);
  }
  return newest;
}

void remove_checkpoints(const std::string& checkpoints_folder) noexcept {
  std::error_code error;
  if (!checkpoints_folder.empty())
    fs::remove_all(checkpoints_folder, error);
}

}  // namespace lockstep::campaign
