#include "harness/campaign/results_folder.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/record/journal.hpp"

namespace lockstep::campaign {
namespace {

namespace fs = std::filesystem;

constexpr int kMostSameNames = 1000;

std::string as_file_name(std::string_view name) {
  std::string safe;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    safe += plain ? c : '-';
  }
  if (safe.empty() || safe.front() == '.')
    safe.insert(0, "plan");
  return safe;
}

[[noreturn]] void refuse(const std::string& path, int error) {
  Problem problem{.what = "cannot make the results folder " + path,
                  .why = std::strerror(error),
                  .suggestion = "name another place with --out DIR",
                  .file = {}};
  if (error == ENOSPC || error == EDQUOT || error == EIO)
    throw RunError(std::move(problem));
  throw InputError(std::move(problem));
}

void make_folders(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error)
    refuse(path, error.value());
}

}  // namespace

ResultsFolder ResultsFolder::create(const std::string& base, const std::string& plan_name,
                                    std::int64_t utc_ns) {
  make_folders(base);
  const std::string absolute_base = fs::absolute(base).lexically_normal().string();
  const std::string stem = absolute_base + (absolute_base.ends_with('/') ? "" : "/") +
                           as_file_name(plan_name) + "-" + format_utc(utc_ns, UtcStyle::compact);
  for (int i = 1; i <= kMostSameNames; ++i) {
    std::string path = i == 1 ? stem : stem + "-" + std::to_string(i);
    // mkdir is the test and the claim in one: two runs started in the same second get different folders.
    if (::mkdir(path.c_str(), 0755) == 0) {
      make_folders(path + "/logs");
      make_folders(path + "/journals");
      return ResultsFolder(std::move(path));
    }
    if (errno != EEXIST)
      refuse(path, errno);
  }
  refuse(stem, EEXIST);
}

ResultsFolder ResultsFolder::open(const std::string& path) {
  make_folders(path);
  std::string absolute = fs::absolute(path).lexically_normal().string();
  while (absolute.size() > 1 && absolute.ends_with('/'))
    absolute.pop_back();
  ResultsFolder folder(std::move(absolute));
  make_folders(folder.path() + "/logs");
  make_folders(folder.path() + "/journals");
  if (::access(folder.path().c_str(), W_OK) != 0)
    refuse(folder.path(), errno);
  return folder;
}

ResultsFolder::ResultsFolder(std::string path)
    : path_(std::move(path)), lock_(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  // Where the file system has no such locks, the run goes on without.
  if (lock_.valid() && ::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw InputError({.what = "another run is at work in " + path_,
                      .why = "two of them would mix their evidence",
                      .suggestion = "wait for its end, or name another folder",
                      .file = {}});
  }
}

std::string ResultsFolder::earlier_run_file(std::uint32_t number) const {
  return fmt::format("{}/run.before-{}.h5", path_, number);
}

std::uint32_t ResultsFolder::next_number() const {
  std::uint32_t number = 1;
  while (fs::exists(earlier_run_file(number)) || fs::exists(aside_folder(number)))
    ++number;
  return number;
}

std::string ResultsFolder::aside_folder(std::uint32_t number) const {
  return fmt::format("{}/before-{}", path_, number);
}

std::string ResultsFolder::journals_folder(const record::LegRow& leg) const {
  return path_ + "/journals/" + record::leg_folder_name(leg);
}

std::string ResultsFolder::log_file(const record::LegRow& leg) const {
  return path_ + "/logs/" + record::leg_folder_name(leg) + ".log";
}

std::string ResultsFolder::hosts_file(const record::LegRow& leg) const {
  return path_ + "/logs/" + record::leg_folder_name(leg) + ".hosts";
}

void ResultsFolder::make_journals_folder(const record::LegRow& leg) const {
  std::error_code error;
  fs::create_directories(journals_folder(leg), error);
  if (error) {
    throw RunError({.what = "cannot make the folder " + journals_folder(leg),
                    .why = error.message(),
                    .suggestion = "free some space, or write the results to another disk with --out",
                    .file = {}});
  }
}

}  // namespace lockstep::campaign
