#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "harness/campaign/hosts.hpp"
#include "harness/campaign/schedule.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::campaign {

/// The command that runs the launcher elsewhere, for a launch on these hosts. Unset: it runs here.
using LauncherPrefix = std::function<std::vector<std::string>(const std::vector<HostSlots>&)>;

struct EnvironmentVariable {
  std::string name;
  std::string value;
};

/// A program with its arguments, and what is set in its environment beyond what it inherits.
struct Command {
  std::vector<std::string> argv;
  std::vector<EnvironmentVariable> environment;
};

/// Where the parts of a launch are. All paths are absolute once resolve_programs() made it.
struct LaunchPaths {
  std::vector<std::string> launcher_prefix;  ///< a command that runs the launcher elsewhere; usually empty
  std::string launcher = "mpirun";
  std::string rank_program;     ///< lockstep-rank
  std::string plan_file;        ///< the copy in the results folder
  std::string journals_folder;  ///< of this launch
  std::string hosts_file;  ///< where the launch's hosts are written when they are too many for a command line
};

/// Above this many hosts they are passed in a file: one argument of a command line holds 128 KiB.
constexpr std::size_t kMaxListedHosts = 256;

/// What a launch depends on besides the plan, so that the command is a pure function.
struct Surroundings {
  std::uint32_t usable_cpus = 1;
  bool is_root = false;
  bool emulated_hosts = false;  ///< every host is a part of this machine: its cores are all there are
  std::map<std::string, std::string> mca;  ///< how ranks reach each other here; the plan's own come on top
  bool in_slurm_job = false;
  std::string slurm_host;  ///< this machine as Slurm names it, inside a job; else empty
};
[[nodiscard]] Surroundings this_machine();

/// Which command line a launcher takes: srun's when the program is named so, else mpirun's.
enum class LauncherKind { mpirun, srun };
[[nodiscard]] LauncherKind launcher_kind(const std::string& launcher);

/// The command of one launch, for the launcher of `paths`.
[[nodiscard]] Command launch_command(const plan::Plan& plan, const Launch& launch,
                                     const std::vector<HostSlots>& hosts, const LaunchPaths& paths,
                                     const Surroundings& surroundings);
/// What `paths.hosts_file` has to hold for that command; empty when it is not needed.
[[nodiscard]] std::string hosts_file_text(const std::string& launcher, const std::vector<HostSlots>& hosts);
/// Throws InputError when the plan asks for something that the launcher cannot do.
void check_launcher(const plan::Plan& plan, const std::string& launcher, const Surroundings& surroundings);

/// The mpirun command of one launch.
///
/// Binding: ranks of a colocated plan share the machine's cores, so they are not bound (`--bind-to none`) and
/// may be more than the cores (`--oversubscribe`). On separate hosts every leg is bound to sockets: mpirun's
/// own default binds to one core up to two ranks and to a socket above, so that a small baseline and a large
/// joint leg would compute differently, and a core of its own is too little for a rank's compute and
/// communication threads. A `--bind-to` or `--map-by` among the plan's mpirun arguments replaces this.
///
/// Root gets OMPI_ALLOW_RUN_AS_ROOT: mpirun refuses to start otherwise. Inside a Slurm job colocated ranks
/// are held on this machine by name: mpirun would spread them over the job's hosts.
[[nodiscard]] Command mpirun_command(const plan::Plan& plan, const Launch& launch,
                                     const std::vector<HostSlots>& hosts, const LaunchPaths& paths,
                                     const Surroundings& surroundings);

/// The srun command of one launch, a job step inside the job that this process runs in. Open MPI's ranks find
/// each other by PMIx (`--mpi=pmix`); MCA parameters go through the environment, as OMPI_MCA_*.
///
/// `--overlap`: launches follow each other, and one that was ended may still be held by Slurm for a moment.
/// Without `--exact` a step has all of the job's CPUs on its hosts, so ranks are bound as with mpirun: to
/// sockets on separate hosts, not at all where they share cores (`--overcommit` there, since there may be
/// more ranks than cores). `--kill-on-bad-exit=1`: the others of a dead rank are ended, as mpirun does it.
///
/// Hosts with equal slots are listed (`--ntasks-per-node`). Different slots take an arbitrary distribution,
/// for which srun reads a line for each rank from the file named by SLURM_HOSTFILE; so do hosts that are too
/// many for a command line.
[[nodiscard]] Command srun_command(const plan::Plan& plan, const Launch& launch,
                                   const std::vector<HostSlots>& hosts, const LaunchPaths& paths,
                                   const Surroundings& surroundings);

/// The command as one line that a shell understands.
[[nodiscard]] std::string shell_line(const Command& command);

/// Which programs the user asked for; empty: the usual ones.
struct ProgramChoice {
  std::string launcher;      ///< a path, or a name looked up in PATH
  std::string rank_program;  ///< a path
};
struct Programs {
  std::string launcher;
  std::string rank_program;
};
/// Finds the launcher (mpirun unless another is named) in PATH and lockstep-rank beside the running program,
/// as absolute paths. Throw InputError when a chosen program, RunError when a usual one, does not exist or
/// cannot be executed.
[[nodiscard]] std::string find_launcher(const std::string& chosen);
[[nodiscard]] std::string find_rank_program(const std::string& chosen);
[[nodiscard]] Programs find_programs(const ProgramChoice& choice);

}  // namespace lockstep::campaign
