#pragma once

#include <optional>
#include <string>
#include <vector>

namespace lockstep::lab {

/// Where a running lab keeps its socket, its log and the files that its hosts see:
/// /run/lockstep-lab/NAME for root, else below $XDG_RUNTIME_DIR or /var/tmp. The lab's process removes it
/// when it ends in order; what a killed one leaves is told by its socket, which refuses connections.
class LabFolder {
 public:
  explicit LabFolder(std::string name);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string socket() const { return path() + "/control.sock"; }
  [[nodiscard]] std::string events() const { return path() + "/events.jsonl"; }
  [[nodiscard]] std::string hosts() const { return path() + "/hosts"; }
  /// A program that runs a command on a host, as ssh does: for mpirun, pdsh and the like.
  [[nodiscard]] std::string remote_shell() const { return path() + "/rsh"; }
  [[nodiscard]] std::string log() const { return path() + "/log"; }

  [[nodiscard]] bool exists() const;
  /// Whether a process answers on its socket.
  [[nodiscard]] bool is_live() const;
  /// Makes it anew, after what a dead lab of that name left is gone. Throws RunError.
  void create() const;
  void remove() const noexcept;

 private:
  std::string name_;
  std::string path_;
};

/// The folder above those of all labs of this user.
[[nodiscard]] std::string labs_folder();
constexpr const char* kLabsFolderVariable = "LOCKSTEP_LABS";

/// Names of the labs that are up, sorted. Cleans nothing.
[[nodiscard]] std::vector<std::string> live_labs();
/// Names of folders whose lab is dead, sorted.
[[nodiscard]] std::vector<std::string> dead_labs();

/// The lab that is meant: `asked`, or $LOCKSTEP_LAB, or the only one that is up. Throws InputError.
[[nodiscard]] std::string choose_lab(const std::string& asked);

}  // namespace lockstep::lab
