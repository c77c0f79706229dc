#include "harness/campaign/ballast.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {

Ballast::Ballast(std::string path, std::size_t bytes) : path_(std::move(path)) {
  const UniqueFd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const int error = fd.valid() ? ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)) : errno;
  if (error == 0)
    return;
  drop();
  throw RunError({.what = "cannot reserve " + format_bytes(static_cast<double>(bytes)) + " beside " + path_,
                  .why = std::strerror(error),
                  .suggestion = "free some space, or write the results to another disk with --out",
                  .file = {}});
}

void Ballast::drop() noexcept {
  if (!path_.empty())
    ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace lockstep::campaign
