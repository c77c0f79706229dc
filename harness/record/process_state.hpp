#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/core/posix.hpp"

/// How the process of a rank is, as its supervisor sees it: a small mapped file beside the journals, which
/// others may read at any time. RankRow::host and ::pid tie it to a rank.
namespace lockstep::record {

enum class ProcessCondition : std::uint32_t { running, stopped, exited, killed };
[[nodiscard]] const char* to_string(ProcessCondition condition);

struct ProcessState {
  std::string host;  ///< short name
  std::int64_t pid = 0;
  std::int64_t supervisor_pid = 0;
  std::int64_t started_utc_ns = 0;
  std::int64_t changed_utc_ns = 0;  ///< since when it is as it is
  /// `running` is what the supervisor saw last: when it was killed itself, or the host was lost, it stays so.
  ProcessCondition condition = ProcessCondition::running;
  std::int32_t signal = 0;  ///< that stopped or killed it
  std::int32_t exit_code = 0;
  bool core_dumped = false;
  bool out_of_memory = false;  ///< killed by SIGKILL while its control group counted an out-of-memory kill
  bool disk_full = false;      ///< a write of its own had failed for lack of space
  std::uint64_t beats = 0;     ///< raised by its supervisor again and again, as long as that lives
  bool operator==(const ProcessState&) const = default;
};

/// `killed by SIGKILL, out of memory`, `stopped by SIGSTOP`, `exited with 40`, `running`
[[nodiscard]] std::string describe(const ProcessState& state);

/// `proc-HOST-PID.state`
[[nodiscard]] std::string process_state_file_name(const std::string& host, std::int64_t pid);

/// Writer. After create() nothing calls the system: a file system that hangs does not hold it up.
class ProcessStateFile {
 public:
  /// Makes `folder` too where it is missing. Throws RunError.
  static ProcessStateFile create(const std::string& folder, const ProcessState& state);
  /// Everything but host, the two pids and the beats.
  void update(const ProcessState& state) noexcept;
  /// A sign of life.
  void beat() noexcept;

 private:
  explicit ProcessStateFile(MappedFile file) : file_(std::move(file)) {}
  MappedFile file_;
};

/// Throws InputError when the file is none of ours, is still being made, or cannot be read.
[[nodiscard]] ProcessState read_process_state(const std::string& path);
/// All in a folder that can be read, in order of their names.
[[nodiscard]] std::vector<ProcessState> read_process_states(const std::string& folder);

}  // namespace lockstep::record
