#pragma once

#include <cstdint>
#include <string>

#include "harness/core/posix.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::campaign {

/// Where one run's files are: `<base>/<plan>-<UTC>/{plan.toml, run.h5, certificate.json, journals/, logs/}`.
class ResultsFolder {
 public:
  /// Makes the folder. A name that is taken gets -2, -3, ... Throws InputError when it cannot be made or
  /// written to, RunError when the disk is full.
  static ResultsFolder create(const std::string& base, const std::string& plan_name, std::int64_t utc_ns);
  /// The folder `path` itself, made when it is not there: to begin or to go on with a run under a name that
  /// is known beforehand. Throws as create() does, and InputError when another process is at work in it.
  static ResultsFolder open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string plan_file() const { return path_ + "/plan.toml"; }
  [[nodiscard]] std::string run_file() const { return path_ + "/run.h5"; }
  /// run.h5 as it was before it was replaced for the `number`-th time, from 1.
  [[nodiscard]] std::string earlier_run_file(std::uint32_t number) const;
  /// Journals and logs of launches that were made again when it was replaced for the `number`-th time.
  [[nodiscard]] std::string aside_folder(std::uint32_t number) const;
  /// The first number under which nothing is kept yet.
  [[nodiscard]] std::uint32_t next_number() const;
  [[nodiscard]] std::string certificate_file() const { return path_ + "/certificate.json"; }
  /// A file that is there as long as launches are missing.
  [[nodiscard]] std::string unfinished_file() const { return path_ + "/unfinished"; }
  [[nodiscard]] std::string journals_folder(const record::LegRow& leg) const;
  [[nodiscard]] std::string log_file(const record::LegRow& leg) const;
  [[nodiscard]] std::string hosts_file(const record::LegRow& leg) const;
  /// Makes the folder of one launch's journals. Throws RunError.
  void make_journals_folder(const record::LegRow& leg) const;

 private:
  explicit ResultsFolder(std::string path);
  std::string path_;
  UniqueFd lock_;  ///< of the folder, held while this lives
};

}  // namespace lockstep::campaign
