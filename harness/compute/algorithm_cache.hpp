#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "harness/cuda/blaslt.hpp"

/// Remembers which algorithm was the fastest for a product, so that only the first run on a kind of card
/// searches.
namespace lockstep::compute {

/// What a choice depends on besides the product: equal keys, equal choices.
struct AlgorithmKey {
  std::string card;             ///< name, such as "NVIDIA H200"
  std::string library_version;  ///< of cuBLASLt: an algorithm's words mean something to one version only
  std::string driver_version;
};

struct StoredAlgorithm {
  cuda::MatmulAlgorithm algorithm;
  double seconds = 0.0;  ///< that it took
  double gain = 0.0;     ///< the heuristic's favourite took so many times as long; 0 when it did not run
  bool operator==(const StoredAlgorithm&) const = default;
};

/// One small text file for each key. It is written beside and renamed; what is damaged, foreign or older than
/// 30 days counts as not there.
class AlgorithmCache {
 public:
  /// `folder` is created at the first store. Empty: nothing is ever found or stored. Reads what there is.
  AlgorithmCache(std::string folder, const AlgorithmKey& key, std::int64_t utc_ns);

  /// By the product's name (cuda::name_of).
  [[nodiscard]] std::optional<StoredAlgorithm> find(const std::string& product) const;
  void put(const std::string& product, const StoredAlgorithm& algorithm);
  /// Writes when something was put. Why it could not; empty when it could or need not. What another process
  /// stored meanwhile is kept where this one has nothing of its own.
  [[nodiscard]] std::string store(std::int64_t utc_ns);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  using Entries = std::map<std::string, StoredAlgorithm>;
  [[nodiscard]] Entries read(std::int64_t utc_ns) const;

  std::string folder_;
  std::string path_;
  std::string key_;
  Entries entries_;
  bool changed_ = false;
};

}  // namespace lockstep::compute
