#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/record/evidence.hpp"

/// run.h5: the evidence of one run in one HDF5 file, one extensible table a row type, described in
/// results/README.md.
namespace lockstep::record {

/// The one writer of a run file. Every object is made before the first row; from then on the file is in SWMR
/// mode, so that others can follow it and a killed writer leaves it readable. Single-threaded.
class RunFileWriter {
 public:
  /// Throws InputError when `path` exists or its folder cannot be written, RunError when the disk is full.
  RunFileWriter(const std::string& path, const std::string& plan_text, const std::string& created_utc);
  ~RunFileWriter();  ///< closes; never throws
  RunFileWriter(RunFileWriter&&) noexcept;
  RunFileWriter& operator=(RunFileWriter&&) noexcept;

  void append(std::span<const LegRow> rows);
  void append(std::span<const LegEndRow> rows);
  void append(std::span<const RankRow> rows);
  void append(std::span<const GraphRow> rows);
  void append(std::span<const StepRow> rows);
  void append(std::span<const CommRow> rows);
  void append(std::span<const OpRow> rows);
  void append(std::span<const ClockRow> rows);
  void append(std::span<const StallRow> rows);
  void append(std::span<const FailureRow> rows);
  void append(std::span<const IncidentRow> rows);
  void append(std::span<const CheckpointRow> rows);
  void append(std::span<const ProbeRow> rows);
  void append(std::span<const DeviceRow> rows);
  void append(std::span<const HealthRow> rows);
  void append(std::span<const DrillRow> rows);
  void append(std::span<const EventRow> rows);
  void append(std::span<const ProvenanceRow> rows);
  /// Makes all that was appended visible to readers.
  void flush();
  /// Flushes, leaves SWMR mode and closes, so that the file's bytes are final. Throws RunError.
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Reads a whole run file, also one whose writer was killed. Throws InputError when it is truncated, is no
/// HDF5 file or not one of ours, with what to try.
[[nodiscard]] Evidence read_run_file(const std::string& path);

/// Whether a writer is at work on the file, or was killed: it does not open like an ordinary file then. False
/// for what cannot be read at all.
[[nodiscard]] bool was_left_open(const std::string& path);

/// One column of one table, for results/README.md and its test.
struct ColumnInfo {
  std::string table;
  std::string column;
  std::string type;  ///< uint32, int64, float64, string[N]
  std::string unit;  ///< ns, byte, flop, 1 ...; empty for text and identifiers
  std::string meaning;
};
[[nodiscard]] std::vector<ColumnInfo> schema();

}  // namespace lockstep::record
