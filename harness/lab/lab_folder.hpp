#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/core/posix.hpp"

namespace lockstep::lab {

/// Whether a lab, a site or a host can be called this: it becomes a host name and a part of paths.
[[nodiscard]] bool is_name(std::string_view text);

/// Where a running lab keeps its socket, its log and the files that its hosts see:
/// /run/lockstep-lab/NAME for root, else below $XDG_RUNTIME_DIR or /var/tmp. The lab's process removes it
/// when it ends in order; what a killed one leaves is told by its socket, which refuses connections.
class LabFolder {
 public:
  /// Throws InputError when it is no name: it could otherwise lead to any folder, which would be removed.
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
  /// Whoever holds this is the only one to make or remove folders of labs. Makes the folder above them.
  /// Throws RunError, also when that folder is another user's.
  [[nodiscard]] UniqueFd lock() const;
  /// Makes it anew, after what a dead lab of that name left is gone; call it under lock(). Throws RunError.
  void create() const;
  void remove() const noexcept;
  /// Removes what a dead lab left. Returns false when the lab is up or there is nothing.
  bool remove_if_dead() const;

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
