#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/compute/kernel_measurement.hpp"
#include "harness/core/posix.hpp"

/// Remembers measurements, so that only the first run on a kind of machine pays for them.
namespace lockstep::compute {

/// $XDG_CACHE_HOME/lockstep, else ~/.cache/lockstep, else empty (no cache).
[[nodiscard]] std::string default_cache_folder();

/// What a measurement depends on: the CPU's model and flags, each library's path, size and time of change,
/// the list of kernels, and the version of the procedure. Equal keys: the old measurement holds. 64
/// hexadecimal digits.
[[nodiscard]] std::string cache_key(const CpuFeatures& features, const std::vector<BlasLibrary>& libraries,
                                    const std::vector<CatalogEntry>& entries);

/// One file for each key. Files are written beside and renamed, so that readers see an old one, a new one or
/// none; what is damaged, foreign or older than 30 days counts as not there.
class KernelCache {
 public:
  /// `folder` is created at the first store. Empty: nothing is ever found or stored.
  KernelCache(std::string folder, std::string key);

  /// The stored rows, with their kernels taken from `entries`; nothing when there is none that holds.
  [[nodiscard]] std::optional<std::vector<KernelMeasurement>> load(const std::vector<CatalogEntry>& entries,
                                                                   std::int64_t utc_ns) const;

  /// Why it could not be stored; empty when it was.
  [[nodiscard]] std::string store(const std::vector<KernelMeasurement>& rows, std::int64_t utc_ns) const;

  /// Waits until no other process of this machine measures for the same key, `wait_s` at most. The lock is
  /// held while the result lives; an invalid one (no folder, or the time is up) means: go on alone.
  [[nodiscard]] UniqueFd lock(double wait_s) const;

 private:
  std::string folder_;
  std::string path_;
  std::string key_;
};

}  // namespace lockstep::compute
