#include "harness/core/posix.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep {
namespace {

[[noreturn]] void fail(const std::string& what, int error, std::string suggestion = {}) {
  if (error == ENOSPC && suggestion.empty())
    suggestion = "free some space, or write the results to another disk with --out";
  throw RunError(
      {.what = what, .why = std::strerror(error), .suggestion = std::move(suggestion), .file = {}});
}

}  // namespace

void UniqueFd::reset() noexcept {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = -1;
}

void open_standard_streams() {
  int fd = -1;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    ::close(fd);
}

void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned from = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd < 0 || static_cast<unsigned>(fd) < from)
      continue;
    if (static_cast<unsigned>(fd) > from)
      ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  ::close_range(from, ~0U, 0);
}

MappedFile MappedFile::create(const std::string& path, std::size_t bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid())
    fail("cannot create " + path, errno);
  const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
  if (error != 0) {
    ::unlink(path.c_str());
    fail("cannot reserve " + std::to_string(bytes) + " bytes for " + path, error);
  }
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
  if (data == MAP_FAILED)
    fail("cannot map " + path, errno);
  return {static_cast<std::byte*>(data), bytes};
}

MappedFile MappedFile::open_readonly(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid())
    fail("cannot open " + path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    fail("cannot read the size of " + path, errno);
  const auto bytes = static_cast<std::size_t>(info.st_size);
  if (bytes == 0)
    return {};
  void* data = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED)
    fail("cannot map " + path, errno);
  return {static_cast<std::byte*>(data), bytes};
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr)
      ::munmap(data_, bytes_);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr)
    ::munmap(data_, bytes_);
}

std::string read_text_file(const std::string& path) {
  struct stat info {};
  const auto refuse = [&path](const char* why) {
    throw InputError({.what = "cannot read " + path, .why = why, .suggestion = "check the path", .file = {}});
  };
  if (::stat(path.c_str(), &info) != 0)
    refuse(std::strerror(errno));
  if (S_ISDIR(info.st_mode))
    refuse("it is a directory");
  std::ifstream file(path, std::ios::binary);
  if (!file)
    refuse(std::strerror(errno));
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad())
    refuse("read error");
  return text.str();
}

void write_text_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp" + std::to_string(::getpid());
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid())
    fail("cannot create " + temporary, errno);
  const auto give_up = [&](int error) {
    ::unlink(temporary.c_str());
    fail("cannot write " + path, error);
  };
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote < 0)
      give_up(errno);
    done += static_cast<std::size_t>(wrote);
  }
  if (::fsync(fd.get()) != 0)
    give_up(errno);
  fd.reset();
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    give_up(errno);
}

std::string short_host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0)
    return "unknown";
  const std::string full(name);
  return full.substr(0, full.find('.'));
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return 1;
}

}  // namespace lockstep
