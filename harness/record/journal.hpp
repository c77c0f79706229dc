#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/core/posix.hpp"
#include "harness/record/evidence.hpp"
#include "harness/step/stamps.hpp"

/// One rank's evidence while it is being made: a file mapped into memory, so that what was stored survives
/// SIGKILL.
namespace lockstep::record {

/// What is known of a rank before its first step.
struct RankMeta {
  LegRow leg;
  RankRow rank;
  std::vector<GraphRow> graph;
  /// For every group that `graph` names: the ranks of the part that this rank belongs to, ascending, itself
  /// among them. See describe.hpp, which makes both from a step graph.
  std::map<std::string, std::vector<std::uint32_t>> parts;
  std::vector<ProvenanceRow> provenance;
  std::vector<DeviceRow> devices;  ///< that it watches
  bool operator==(const RankMeta&) const = default;
};

/// Where a rank is, updated by plain stores so that another process can look.
enum class RankPhase : std::uint32_t {
  starting,
  mpi_init,
  set_up,
  clock_sync,
  checkpoint,  ///< between two steps, or before the first
  stepping,
  collecting,
  finalizing,
  done
};
[[nodiscard]] const char* to_string(RankPhase phase);

struct WhereAbouts {
  std::atomic<RankPhase> phase{RankPhase::starting};
  std::atomic<std::uint32_t> step{0};
  std::atomic<std::uint32_t> completed_steps{0};  ///< raised by the executor's caller after each step
  std::atomic<std::int64_t> since_ns{0};
  std::atomic<std::int64_t> allowed_ns{0};  ///< time from since_ns on that the rank gives this phase or step
};

/// Rows that a journal has room for beside failures and clocks; further ones are dropped and counted.
struct JournalRoom {
  std::uint32_t drills = 16;
  std::uint32_t checkpoints = 64;
  std::uint32_t probes = 64;
  std::uint32_t health = 0;
};

struct JournalHeader;

/// Writer, one per rank. Its size is fixed when it is made; nothing allocates or calls the system afterwards.
/// What recording() and where() give stays valid when the journal is moved, and ends with it.
class Journal {
 public:
  /// Reserves the whole file: `steps` counts all of them, warm-up included. Throws RunError when the disk is
  /// full or the folder cannot be written. `steps` and `kept_steps` are at least 1, and `meta.parts` holds
  /// every group of `meta.graph`.
  static Journal create(const std::string& path, const RankMeta& meta, std::uint32_t steps,
                        std::uint32_t kept_steps, std::uint32_t ops_per_step, std::uint32_t comms_per_step,
                        const JournalRoom& room = {});
  [[nodiscard]] step::Recording recording();
  [[nodiscard]] WhereAbouts& where();
  /// Up to 64 rows; further ones are dropped and counted. Any thread.
  void add_clock(const ClockRow& row) noexcept;
  /// Up to 256 rows; further ones are dropped and counted. Texts are cut to their field. Any thread.
  void add_failure(const FailureRow& row) noexcept;
  /// Up to JournalRoom::drills rows; returns its place, for end_drill(); nullopt when it was dropped. Any
  /// thread.
  std::optional<std::uint32_t> add_drill(const DrillRow& row) noexcept;
  /// The drill of that place was taken back.
  void end_drill(std::uint32_t place, std::int64_t utc_ns) noexcept;
  /// Up to JournalRoom::checkpoints, ::probes and ::health rows. Any thread.
  void add_checkpoint(const CheckpointRow& row) noexcept;
  void add_probe(const ProbeRow& row) noexcept;
  void add_health(const HealthRow& row) noexcept;
  /// Marks the journal complete: everything planned was run and recorded.
  void complete() noexcept;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Journal(std::string path, MappedFile file) : path_(std::move(path)), file_(std::move(file)) {}
  [[nodiscard]] JournalHeader& header();
  std::string path_;
  MappedFile file_;
};

/// Reads a journal, finished or not, also while it is being written.
///
/// Sharp edge: a journal that is shortened while it is open here ends this process with SIGBUS. Copies of
/// journals must appear under their name only when they are whole (copy, then rename).
class JournalReader {
 public:
  /// Throws InputError when the file is no journal, is cut short, is damaged or cannot be read. The stamps
  /// themselves carry no checksum: they may be any values.
  static JournalReader open(const std::string& path);
  [[nodiscard]] const RankMeta& meta() const { return meta_; }
  [[nodiscard]] bool is_complete() const;
  [[nodiscard]] std::uint32_t planned_steps() const;  ///< that it has room for
  /// Steps 0, 1, ... up to here are complete.
  [[nodiscard]] std::uint32_t completed_steps() const;
  [[nodiscard]] RankPhase phase() const;
  /// When phase or step last changed, on the clock of the rank's host.
  [[nodiscard]] std::int64_t since_ns() const;
  /// What the rank gives its present phase or step, from since_ns() on.
  [[nodiscard]] std::int64_t allowed_ns() const;
  /// Stamps of a step; nullopt when it was not begun. end_ns is 0 while it is not complete.
  [[nodiscard]] std::optional<step::StepStamp> step(std::uint32_t index) const;
  /// Those begun, in order.
  [[nodiscard]] std::vector<step::CommStamp> comms(std::uint32_t step) const;
  /// All stamps still kept, in order of step and op. A slot belongs to the step that its stamp names: beside
  /// a step under way lie the ops that it has not reached yet, of the step before in the same slots.
  [[nodiscard]] std::vector<step::OpStamp> ops() const;
  [[nodiscard]] std::vector<ClockRow> clock() const;
  [[nodiscard]] std::vector<FailureRow> failures() const;
  [[nodiscard]] std::vector<DrillRow> drills() const;
  [[nodiscard]] std::vector<CheckpointRow> checkpoints() const;
  [[nodiscard]] std::vector<ProbeRow> probes() const;
  [[nodiscard]] std::vector<HealthRow> health() const;
  [[nodiscard]] std::uint32_t dropped_clock_rows() const;
  [[nodiscard]] std::uint32_t dropped_failures() const;
  /// Drills, checkpoints and health.
  [[nodiscard]] std::uint32_t dropped_others() const;
  [[nodiscard]] std::uint32_t dropped_probes() const;

 private:
  JournalReader(std::string path, MappedFile file, RankMeta meta)
      : path_(std::move(path)), file_(std::move(file)), meta_(std::move(meta)) {}
  [[nodiscard]] const JournalHeader& header() const;
  std::string path_;
  MappedFile file_;
  RankMeta meta_;
};

/// `rank-00012.journal`
[[nodiscard]] std::string journal_file_name(std::uint32_t rank);
/// `leg-003-joint-r1-a0`: the folder of one launch's journals.
[[nodiscard]] std::string leg_folder_name(const LegRow& leg);

}  // namespace lockstep::record
