#include "harness/campaign/keep_aside.hpp"

#include <filesystem>
#include <system_error>

#include "harness/core/error.hpp"

namespace lockstep::campaign {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_to_move(const std::string& path, const std::error_code& error) {
  throw RunError({.what = "cannot move " + path + " aside",
                  .why = error.message(),
                  .suggestion = "look at the folder's permissions and disk",
                  .file = {}});
}

/// A second name for the file; a copy where the file system knows no second names.
void keep_under(const std::string& path, const std::string& kept_path) {
  std::error_code error;
  fs::remove(kept_path, error);  // of an attempt that was cut short here
  fs::create_hard_link(path, kept_path, error);
  if (error) {
    fs::copy_file(path, kept_path, fs::copy_options::overwrite_existing, error);
    if (error)
      fail_to_move(path, error);
  }
}

}  // namespace

void move_if_there(const std::string& from, const std::string& to) {
  std::error_code error;
  if (!fs::exists(from, error))
    return;
  fs::create_directories(fs::path(to).parent_path(), error);
  fs::rename(from, to, error);
  if (error)
    fail_to_move(from, error);
}

void replace_keeping(const std::string& next, const std::string& path, const std::string& kept_path) {
  keep_under(path, kept_path);
  std::error_code error;
  fs::rename(next, path, error);
  if (error)
    fail_to_move(next, error);
}

}  // namespace lockstep::campaign
