#pragma once

#include <cstdint>
#include <string>

#include "harness/record/evidence.hpp"

namespace lockstep::campaign {

/// Where one run's files are: `<base>/<plan>-<UTC>/{plan.toml, run.h5, certificate.json, journals/, logs/}`.
class ResultsFolder {
 public:
  /// Makes the folder. A name that is taken gets -2, -3, ... Throws InputError when it cannot be made or
  /// written to, RunError when the disk is full.
  static ResultsFolder create(const std::string& base, const std::string& plan_name, std::int64_t utc_ns);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string plan_file() const { return path_ + "/plan.toml"; }
  [[nodiscard]] std::string run_file() const { return path_ + "/run.h5"; }
  [[nodiscard]] std::string certificate_file() const { return path_ + "/certificate.json"; }
  [[nodiscard]] std::string journals_folder(const record::LegRow& leg) const;
  [[nodiscard]] std::string log_file(const record::LegRow& leg) const;
  [[nodiscard]] std::string hosts_file(const record::LegRow& leg) const;
  /// Makes the folder of one launch's journals. Throws RunError.
  void make_journals_folder(const record::LegRow& leg) const;

 private:
  explicit ResultsFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace lockstep::campaign
