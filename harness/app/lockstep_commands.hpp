#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/error.hpp"

/// The subcommands of `lockstep`. Each throws InputError or RunError for what it cannot do, and returns the
/// exit code for what it found.
namespace lockstep::app {

enum class OutputForm { text, json };

/// What `check`, `certify` and `doctor` share: a plan, and how it is launched.
struct PlanRequest {
  std::string plan;               ///< path
  std::vector<std::string> sets;  ///< dotted.key=value
  std::string launcher;           ///< a name or path; empty: mpirun
  std::string rank_program;       ///< empty: lockstep-rank beside this program
  std::string hostfile;           ///< empty: the plan's hosts
  OutputForm form = OutputForm::text;
};

struct CheckRequest {
  PlanRequest plan;
  std::optional<double> gemm_gflops;  ///< of one rank; nullopt: the plan's, or measured here
  double memory_gbps = 10.0;          ///< of one rank, where the plan does not say
};
[[nodiscard]] ExitCode run_check(const CheckRequest& request);

struct CertifyRequest {
  PlanRequest plan;
  std::string lab;  ///< a lab's specification; empty: the plan's hosts are real
  std::string out = "results";
  std::string resume;         ///< the results folder itself; empty: a new one below `out`
  bool allow_drills = false;  ///< the plan's drills may break its own ranks, outside of a lab
  std::string time_limit;     ///< from now on, as Slurm writes it; empty: the Slurm job's
};
[[nodiscard]] ExitCode run_certify(const CertifyRequest& request);

/// Goes on with a run that was cut short: with the plan, the programs and the lab that its folder names.
struct ResumeRequest {
  std::string folder;
  bool allow_drills = false;
  std::string time_limit;  ///< as for CertifyRequest
  OutputForm form = OutputForm::text;
};
[[nodiscard]] ExitCode run_resume(const ResumeRequest& request);

/// Merges journals that came late, and judges again.
struct CollectRequest {
  std::string folder;
  std::string journals;  ///< a folder of journals brought from elsewhere; empty: none
  OutputForm form = OutputForm::text;
};
[[nodiscard]] ExitCode run_collect(const CollectRequest& request);

/// Repairs a run file whose writer was killed.
struct RecoverRequest {
  std::string path;  ///< run.h5, or the folder that it is in
};
[[nodiscard]] ExitCode run_recover(const RecoverRequest& request);

struct VerifyRequest {
  std::string folder;
  OutputForm form = OutputForm::text;
};
[[nodiscard]] ExitCode run_verify(const VerifyRequest& request);

struct ShowRequest {
  std::string path;                  ///< run.h5, or the folder that it is in
  std::optional<std::uint32_t> leg;  ///< index of one launch
  OutputForm form = OutputForm::text;
};
[[nodiscard]] ExitCode run_show(const ShowRequest& request);

/// `lockstep lab ...`: `argv[0]` is "lab".
[[nodiscard]] ExitCode run_lab(int argc, char** argv);

struct DoctorRequest {
  PlanRequest plan;  ///< without a plan: this machine alone
  std::string lab;   ///< as in CertifyRequest
  std::string out = "results";
  double seconds = 1.0;  ///< of each stream of bandwidth
  bool full = false;     ///< bandwidth inside sites too
};
[[nodiscard]] ExitCode run_doctor(const DoctorRequest& request);

/// One host's part of `doctor`, started by it on every host.
struct ProbeRequest {
  std::string folder;
  std::uint32_t index = 0;
};
[[nodiscard]] ExitCode run_probe(const ProbeRequest& request);

/// Writes to standard output. Throws RunError when that is full or closed.
void print_out(const std::string& text);

}  // namespace lockstep::app
