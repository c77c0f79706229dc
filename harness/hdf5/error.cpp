#include "harness/hdf5/error.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "harness/core/text.hpp"
#include "harness/hdf5/check.hpp"

namespace lockstep::hdf5 {
namespace {

/// Some messages of the library hold line breaks (a time as ctime gives it) and runs of spaces.
std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool blank = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (!blank)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  return std::string(trim(line));
}

herr_t collect(unsigned /*index*/, const H5E_error2_t* entry, void* messages) {
  auto& list = *static_cast<std::vector<std::string>*>(messages);
  std::string message = on_one_line(entry->desc != nullptr ? entry->desc : "");
  if (!message.empty() && std::find(list.begin(), list.end(), message) == list.end())
    list.push_back(std::move(message));
  return 0;
}

int errno_in(const std::string& stack) {
  const std::string mark = "errno = ";
  const std::size_t at = stack.rfind(mark);
  return at == std::string::npos ? 0 : std::atoi(stack.c_str() + at + mark.size());
}

}  // namespace

Error::Error(const std::string& call, const std::string& stack, int system_error)
    : RunError({.what = call + " failed", .why = stack, .suggestion = {}, .file = {}}),
      stack_(stack),
      system_error_(system_error) {}

std::string library_version() {
  detail::initialise();
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  detail::check(H5get_libversion(&major, &minor, &release), "H5get_libversion");
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

namespace detail {

void initialise() noexcept {
  static const bool once = [] {
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return true;
  }();
  static_cast<void>(once);
}

void fail(const char* call) {
  std::vector<std::string> messages;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &messages);
  H5Eclear2(H5E_DEFAULT);
  const std::string stack = join(messages, ": ");
  throw Error(call, stack, errno_in(stack));
}

}  // namespace detail
}  // namespace lockstep::hdf5
