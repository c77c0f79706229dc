#include "harness/lab/lab_folder.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"

namespace lockstep::lab {
namespace {

std::vector<std::string> labs(bool live) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(labs_folder(), error)) {
    const LabFolder folder(entry.path().filename().string());
    if (folder.is_live() == live)
      names.push_back(folder.name());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::string labs_folder() {
  // On a lab's host the user may be another in name: it was mapped to root.
  if (const char* given = std::getenv(kLabsFolderVariable); given != nullptr && *given == '/')
    return given;
  if (::geteuid() == 0)
    return "/run/lockstep-lab";
  // Not below /tmp: every host has one of its own.
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime == '/')
    return std::string(runtime) + "/lockstep-lab";
  return fmt::format("/var/tmp/lockstep-lab-{}", ::geteuid());
}

LabFolder::LabFolder(std::string name) : name_(std::move(name)), path_(labs_folder() + "/" + name_) {}

bool LabFolder::exists() const {
  struct stat info {};
  return ::stat(path_.c_str(), &info) == 0;
}

bool LabFolder::is_live() const {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket();
  if (!fd.valid() || path.size() >= sizeof address.sun_path)
    return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

void LabFolder::create() const {
  remove();
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (!error)
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, error);
  if (error)
    throw RunError({.what = "cannot make the lab's folder " + path(),
                    .why = error.message(),
                    .suggestion = {},
                    .file = {}});
}

void LabFolder::remove() const noexcept {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::vector<std::string> live_labs() {
  return labs(true);
}

std::vector<std::string> dead_labs() {
  return labs(false);
}

std::string choose_lab(const std::string& asked) {
  if (!asked.empty())
    return asked;
  if (const char* inside = std::getenv("LOCKSTEP_LAB"); inside != nullptr && *inside != '\0')
    return inside;
  const std::vector<std::string> names = live_labs();
  if (names.size() == 1)
    return names.front();
  if (names.empty())
    throw InputError(
        {.what = "no lab is up", .why = {}, .suggestion = "start one: lockstep lab up SPEC", .file = {}});
  throw InputError({.what = fmt::format("{} labs are up", names.size()),
                    .why = "it is not clear which one is meant",
                    .suggestion = "name it with --lab; there are " + join(names, ", "),
                    .file = {}});
}

}  // namespace lockstep::lab
