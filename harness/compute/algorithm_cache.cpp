#include "harness/compute/algorithm_cache.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"

namespace lockstep::compute {
namespace {

constexpr const char* kProcedure = "lockstep matmul algorithms 1";  // change it when the search changes
constexpr std::int64_t kLongestAgeNs = 30LL * 24 * 3600 * 1'000'000'000;

std::string seal(const std::string& body) {
  return "sha256 " + sha256(body) + "\n";
}

std::string write_row(const std::string& product, const StoredAlgorithm& stored) {
  std::string row = fmt::format("{} {:.9e} {:.6f} {}", product, stored.seconds, stored.gain,
                                stored.algorithm.workspace_bytes);
  for (const std::uint64_t word : stored.algorithm.words)
    row += fmt::format(" {:016x}", word);
  return row + "\n";
}

/// False when the row is damaged.
bool read_row(const std::string& line, std::map<std::string, StoredAlgorithm>& entries) {
  std::istringstream fields(line);
  std::string product;
  StoredAlgorithm stored;
  fields >> product >> stored.seconds >> stored.gain >> stored.algorithm.workspace_bytes >> std::hex;
  for (std::uint64_t& word : stored.algorithm.words)
    fields >> word;
  std::string more;
  if (!fields || fields >> more || !(stored.seconds > 0.0))
    return false;
  return entries.emplace(product, stored).second;
}

}  // namespace

AlgorithmCache::AlgorithmCache(std::string folder, const AlgorithmKey& key, std::int64_t utc_ns)
    : folder_(std::move(folder)),
      key_(sha256(key.card + "\n" + key.library_version + "\n" + key.driver_version + "\n" + kProcedure)) {
  if (folder_.empty())
    return;
  path_ = folder_ + "/matmul-algorithms-" + key_.substr(0, 16) + ".txt";
  entries_ = read(utc_ns);
}

AlgorithmCache::Entries AlgorithmCache::read(std::int64_t utc_ns) const {
  std::ifstream file(path_, std::ios::binary);
  if (!file)
    return {};
  std::ostringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const std::size_t last = text.rfind("sha256 ");
  if (last == std::string::npos || text.substr(last) != seal(text.substr(0, last)))
    return {};
  std::istringstream lines(text.substr(0, last));
  std::string procedure;
  std::string key;
  std::string time;
  std::getline(lines, procedure);
  std::getline(lines, key);
  std::getline(lines, time);
  const std::int64_t age_ns = utc_ns - std::strtoll(time.c_str(), nullptr, 10);
  if (procedure != kProcedure || key != key_ || age_ns < 0 || age_ns > kLongestAgeNs)
    return {};
  Entries entries;
  for (std::string line; std::getline(lines, line);) {
    if (!read_row(line, entries))
      return {};
  }
  return entries;
}

std::optional<StoredAlgorithm> AlgorithmCache::find(const std::string& product) const {
  const auto found = entries_.find(product);
  if (found == entries_.end())
    return std::nullopt;
  return found->second;
}

void AlgorithmCache::put(const std::string& product, const StoredAlgorithm& algorithm) {
  entries_.insert_or_assign(product, algorithm);
  changed_ = true;
}

std::string AlgorithmCache::store(std::int64_t utc_ns) {
  if (!changed_ || path_.empty())
    return {};
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error)
    return "cannot create " + folder_ + ": " + error.message();
  for (auto& [product, algorithm] : read(utc_ns))
    entries_.emplace(product, algorithm);
  std::string body = fmt::format("{}\n{}\n{}\n", kProcedure, key_, utc_ns);
  for (const auto& [product, algorithm] : entries_)
    body += write_row(product, algorithm);
  try {
    write_text_file(path_, body + seal(body));
  } catch (const RunError& failure) {
    return failure.what();
  }
  changed_ = false;
  return {};
}

}  // namespace lockstep::compute
