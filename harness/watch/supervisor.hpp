#pragma once

#include <cstdint>
#include <string>

#include <sys/types.h>

namespace lockstep::watch {

/// What supervise() shares between the two processes. Internal.
struct SupervisorPage;

/// A supervised process's line to its supervisor.
class Supervised {
 public:
  explicit Supervised(SupervisorPage* page) : page_(page) {}
  /// From now on the state of this process is in `folder`/proc-HOST-PID.state (record::ProcessState), also
  /// after its end. Does not wait for the file, and there is none when the folder cannot be written.
  void announce_folder(const std::string& folder) noexcept;
  /// When this process stops next, it is made to go on after so long.
  void resume_after(double seconds) noexcept;
  /// A write has failed for lack of space: told beside the end of this process.
  void note_disk_full() noexcept;

 private:
  SupervisorPage* page_;
};

/// Splits this process in two: returns in the child, which goes on as the program; the parent stays behind as
/// its supervisor and never returns. The supervisor sleeps until the child ends, stops or goes on, or until
/// it gets a signal, which it passes on, or to give a sign of life twice a second. It notes at once what
/// became of the child, and then ends in the same way, so that whoever started it sees no difference. When it
/// is killed, the child is killed by the kernel.
///
/// Call it before there is any thread; handlers that are installed by then hold in the child. Where no
/// process can be made, it returns all the same, and nobody supervises.
[[nodiscard]] Supervised supervise();

/// Kills for lack of memory that this process's control group has counted; 0 when it cannot be told.
/// `cgroup` is the text of /proc/self/cgroup (v1 and v2), `root` where control groups are mounted.
[[nodiscard]] std::int64_t out_of_memory_kills(const std::string& cgroup,
                                               const std::string& root = "/sys/fs/cgroup");

}  // namespace lockstep::watch
