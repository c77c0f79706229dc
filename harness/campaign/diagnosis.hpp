#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep::campaign {

/// What a failed launch means for the campaign.
enum class Consequence {
  data,        ///< it is evidence: the other launches still run
  bad_input,   ///< the plan or the command line has to be changed first: exit code 2
  run_failed,  ///< the machine cannot run it at all: exit code 5
};

struct Diagnosis {
  std::string kind;     ///< of the FailureRow: killed, host_lost, launch, deadline, exit
  std::string message;  ///< one line
  Consequence consequence = Consequence::data;
};

/// What is known of a launch that has ended.
struct LaunchEnd {
  int exit_status = 0;      ///< of the launcher, as a shell gives it
  std::string_view log{};   ///< what launcher and ranks printed
  std::string log_path{};   ///< for messages
  std::string leg{};        ///< name, for messages
  std::uint32_t ranks = 0;  ///< asked for
  bool stepped = false;     ///< some rank reached its first step
};

/// Why a launch ended as it did, from the launcher's exit status and the complaints that Open MPI, srun and
/// ssh are known for. nullopt when the status is 0, which says nothing: with --enable-recovery mpirun exits 0
/// after losing a rank.
[[nodiscard]] std::optional<Diagnosis> diagnose(const LaunchEnd& end);

/// The text after the last `error: ` in the log that is not srun's own; empty when there is none.
[[nodiscard]] std::string last_error_line(std::string_view log);

/// The last MiB of a file, and nothing when it cannot be read.
[[nodiscard]] std::string read_log_tail(const std::string& path);

}  // namespace lockstep::campaign
