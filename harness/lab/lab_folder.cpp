#include "harness/lab/lab_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/lab_variable.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"

namespace lockstep::lab {
namespace {

constexpr std::size_t kLongestName = 63;  // as Linux limits host names

std::vector<std::string> labs(bool live) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(labs_folder(), error)) {
    const std::string name = entry.path().filename().string();
    if (!is_name(name))
      continue;
    const LabFolder folder(name);
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

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
         });
}

LabFolder::LabFolder(std::string name) : name_(std::move(name)), path_(labs_folder() + "/" + name_) {
  if (!is_name(name_))
    throw InputError({.what = fmt::format("a lab cannot be called \"{}\"", name_),
                      .why = "names are of letters, digits and '-'",
                      .suggestion = {},
                      .file = {}});
}

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

UniqueFd LabFolder::lock() const {
  const std::string above = std::filesystem::path(path_).parent_path().string();
  std::error_code error;
  std::filesystem::create_directories(above, error);
  if (error)
    throw RunError({.what = "cannot make the folder of labs, " + above,
                    .why = error.message(),
                    .suggestion = {},
                    .file = {}});
  UniqueFd fd(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0)
    throw RunError(
        {.what = "cannot open " + above, .why = std::strerror(errno), .suggestion = {}, .file = {}});
  // It may lie where everybody can write.
  if (info.st_uid != ::geteuid())
    throw RunError({.what = above + " is another user's",
                    .why = "who owns it could take over what runs in a lab",
                    .suggestion = fmt::format("let {} name a folder of your own", kLabsFolderVariable),
                    .file = {}});
  while (::flock(fd.get(), LOCK_EX) != 0 && errno == EINTR) {
  }
  return fd;
}

void LabFolder::create() const {
  if (socket().size() >= sizeof sockaddr_un{}.sun_path)
    throw RunError({.what = "the path " + socket() + " is too long for a socket",
                    .why = {},
                    .suggestion = fmt::format("let {} name a folder with a shorter one", kLabsFolderVariable),
                    .file = {}});
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

bool LabFolder::remove_if_dead() const {
  // So that a lab that is just coming up is not taken for a dead one.
  const UniqueFd held = lock();
  if (is_live() || !exists())
    return false;
  remove();
  return true;
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
  if (const char* inside = std::getenv(kLabVariable); inside != nullptr && *inside != '\0')
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
