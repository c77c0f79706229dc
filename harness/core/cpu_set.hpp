#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace lockstep {

/// CPUs that a process may run on.
class CpuSet {
 public:
  CpuSet() = default;
  explicit CpuSet(std::set<int> cpus) : cpus_(std::move(cpus)) {}
  /// The affinity mask of the calling thread.
  [[nodiscard]] static CpuSet of_this_thread();
  /// Linux's list format: `0-3,8`. nullopt when malformed.
  [[nodiscard]] static std::optional<CpuSet> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::size_t size() const { return cpus_.size(); }
  [[nodiscard]] bool empty() const { return cpus_.empty(); }
  void add(const CpuSet& other) { cpus_.insert(other.cpus_.begin(), other.cpus_.end()); }
  /// CPUs that are in this set and in `other`.
  [[nodiscard]] CpuSet common(const CpuSet& other) const;
  [[nodiscard]] const std::set<int>& numbers() const { return cpus_; }
  bool operator==(const CpuSet&) const = default;

 private:
  std::set<int> cpus_;
};

}  // namespace lockstep
