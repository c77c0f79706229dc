#include "harness/compute/kernel_cache.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/text.hpp"

namespace lockstep::compute {
namespace {

// Raised whenever the procedure changes, so that rows of the old one are measured anew.
constexpr const char* kProcedure = "lockstep gemm kernels 1";
constexpr std::int64_t kLongestAgeNs = std::int64_t{30} * 24 * 3600 * 1'000'000'000;
constexpr std::size_t kFields = 6;

constexpr KernelStatus kStatuses[] = {KernelStatus::measured, KernelStatus::wrong_result,
                                      KernelStatus::crashed,  KernelStatus::timed_out,
                                      KernelStatus::failed,   KernelStatus::skipped};

/// A field must not look like the end of one.
std::string plain(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  return text;
}

std::string write_row(const KernelMeasurement& row) {
  return fmt::format("{}\t{}\t{}\t{:.3f}\t{}\t{}\n", plain(row.kernel.name), to_string(row.status),
                     row.extent, row.gflops, plain(row.kernel.core_name), plain(row.detail));
}

std::optional<KernelMeasurement> read_row(const std::string& line, const std::vector<CatalogEntry>& entries) {
  const std::vector<std::string> fields = split(line, '\t');
  if (fields.size() != kFields)
    return std::nullopt;
  const auto entry = std::find_if(entries.begin(), entries.end(), [&fields](const CatalogEntry& known) {
    return known.kernel.name == fields[0];
  });
  const auto* status = std::find_if(std::begin(kStatuses), std::end(kStatuses),
                                    [&fields](KernelStatus known) { return fields[1] == to_string(known); });
  if (entry == entries.end() || status == std::end(kStatuses))
    return std::nullopt;
  KernelMeasurement row;
  row.kernel = entry->kernel;
  row.kernel.core_name = fields[4];
  row.status = *status;
  row.detail = fields[5];
  std::istringstream numbers(fields[2] + " " + fields[3]);
  numbers >> row.extent >> row.gflops;
  if (!numbers || (row.status == KernelStatus::measured) != (row.gflops > 0.0))
    return std::nullopt;
  return row;
}

std::string seal(const std::string& body) {
  return "sha256 " + sha256(body) + "\n";
}

}  // namespace

std::string default_cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/')
    return std::string(cache) + "/lockstep";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.cache/lockstep" : std::string{};
}

std::string cache_key(const CpuFeatures& features, const std::vector<BlasLibrary>& libraries,
                      const std::vector<CatalogEntry>& entries) {
  std::string text = std::string(kProcedure) + "\n" + features.model + "\n";
  for (const std::string& flag : features.flags)
    text += flag + " ";
  for (const BlasLibrary& library : libraries) {
    struct stat info {};
    ::stat(library.path.c_str(), &info);
    text += fmt::format("\n{} {} {}.{:09d}", library.path, info.st_size, info.st_mtim.tv_sec,
                        info.st_mtim.tv_nsec);
  }
  for (const CatalogEntry& entry : entries)
    text += "\n" + entry.kernel.name;
  return sha256(text);
}

KernelCache::KernelCache(std::string folder, std::string key)
    : folder_(std::move(folder)), key_(std::move(key)) {
  if (!folder_.empty())
    path_ = folder_ + "/gemm-kernels-" + key_.substr(0, 16) + ".txt";
}

std::optional<std::vector<KernelMeasurement>> KernelCache::load(const std::vector<CatalogEntry>& entries,
                                                                std::int64_t utc_ns) const {
  if (path_.empty())
    return std::nullopt;
  std::ifstream file(path_, std::ios::binary);
  if (!file)
    return std::nullopt;
  std::ostringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const std::size_t last = text.rfind("sha256 ");
  if (last == std::string::npos || text.substr(last) != seal(text.substr(0, last)))
    return std::nullopt;

  std::istringstream lines(text.substr(0, last));
  std::string procedure;
  std::string key;
  std::string time;
  std::getline(lines, procedure);
  std::getline(lines, key);
  std::getline(lines, time);
  const std::int64_t age_ns = utc_ns - std::strtoll(time.c_str(), nullptr, 10);
  if (procedure != kProcedure || key != key_ || age_ns < 0 || age_ns > kLongestAgeNs)
    return std::nullopt;
  std::vector<KernelMeasurement> rows;
  bool usable = false;
  for (std::string line; std::getline(lines, line);) {
    const std::optional<KernelMeasurement> row = read_row(line, entries);
    if (!row)
      return std::nullopt;
    usable = usable || row->status == KernelStatus::measured;
    rows.push_back(*row);
  }
  if (!usable)
    return std::nullopt;
  return rows;
}

std::string KernelCache::store(const std::vector<KernelMeasurement>& rows, std::int64_t utc_ns) const {
  if (path_.empty())
    return "no cache folder";
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error)
    return "cannot create " + folder_ + ": " + error.message();
  std::string body = fmt::format("{}\n{}\n{}\n", kProcedure, key_, utc_ns);
  for (const KernelMeasurement& row : rows)
    body += write_row(row);
  try {
    write_text_file(path_, body + seal(body));
  } catch (const RunError& failure) {
    return failure.what();
  }
  return {};
}

UniqueFd KernelCache::lock(double wait_s) const {
  if (path_.empty())
    return {};
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  UniqueFd fd(::open((path_ + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid())
    return {};
  const std::int64_t until_ns = monotonic_ns() + static_cast<std::int64_t>(wait_s * 1e9);
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (monotonic_ns() >= until_ns)
      return {};
    sleep_until_ns(monotonic_ns() + 20'000'000);
  }
  return fd;
}

}  // namespace lockstep::compute
