#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "harness/app/command_line.hpp"
#include "harness/app/lockstep_commands.hpp"
#include "harness/campaign/slurm_text.hpp"
#include "harness/core/error.hpp"
#include "harness/core/log.hpp"
#include "harness/core/version.hpp"

namespace {

using namespace lockstep;
using app::OutputForm;

constexpr const char* kDescription =
    "Can these sites train as one supercomputer? Lockstep runs a synthetic training job on each site alone "
    "and on all of "
    "them together, records every step, and judges the record.";

constexpr const char* kExitCodes =
    "Exit codes: 0 certified at the required grade, 2 bad input, 3 not certified (or a certificate that "
    "differs from its\n"
    "evidence), 4 inconclusive, 5 the run could not be completed.\n";

/// Everything that the command line can say.
struct Requests {
  app::CheckRequest check;
  app::CertifyRequest certify;
  app::ResumeRequest resume;
  app::CollectRequest collect;
  app::RecoverRequest recover;
  app::VerifyRequest verify;
  app::ShowRequest show;
  app::DoctorRequest doctor;
  app::ProbeRequest probe;
  bool json = false;
};

enum class PlanIs { required, optional };

void add_plan_options(CLI::App& command, app::PlanRequest& request, bool& json,
                      PlanIs plan_is = PlanIs::required) {
  command.add_option("PLAN", request.plan, "the plan file (TOML)")->required(plan_is == PlanIs::required);
  command.add_option("--set", request.sets, "override a key of the plan, e.g. run.steps=50; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  command
      .add_option("--hostfile", request.hostfile,
                  "hosts to use, one a line: NAME slots=N [the Slurm job's, or the plan's]")
      ->type_name("FILE");
  command
      .add_option("--launcher", request.launcher,
                  "mpirun, srun (inside a Slurm job), or the path of one [mpirun]")
      ->type_name("PROGRAM");
  command
      .add_option("--rank-program", request.rank_program,
                  "lockstep-rank to use [the one beside this program]")
      ->type_name("PROGRAM");
  command.add_flag("--json", json, "one JSON document on standard output");
}

/// A validator of the parser's kind: what is wrong, or nothing.
std::string is_positive_number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool good = !text.empty() && *end == '\0' && value > 0.0 && std::isfinite(value);
  return good ? std::string{} : "\"" + text + "\" is no number above 0";
}

std::string is_time(const std::string& text) {
  return campaign::parse_time_s(text) ? std::string{}
                                      : "\"" + text + "\" is no time such as 30:00 or 1-12:00:00";
}

void add_check(CLI::App& app, Requests& requests) {
  CLI::App& command = *app.add_subcommand("check", "validate a plan and print what would be launched");
  add_plan_options(command, requests.check.plan, requests.json);
  command
      .add_option(
          "--gemm-gflops", requests.check.gemm_gflops,
          "GEMM rate of one rank for the prediction, GFLOP/s [the plan's, or measured on this machine]")
      ->type_name("RATE")
      ->check(is_positive_number);
  command
      .add_option("--memory-gbps", requests.check.memory_gbps,
                  "memory rate of one rank for the prediction, GB/s (1e9) [the plan's, or 10]")
      ->type_name("RATE")
      ->check(is_positive_number);
  command.footer(
      "Examples:\n"
      "  lockstep check configs/two-sites.toml\n"
      "  lockstep check configs/two-sites.toml --set run.steps=50 --json\n");
}

void add_time_limit(CLI::App& command, std::string& time_limit) {
  command
      .add_option(
          "--time-limit", time_limit,
          "begin no launch that would not end in this time, e.g. 30:00 or 1-12:00:00 [the Slurm job's]")
      ->type_name("[D-]HH:MM:SS")
      ->check(is_time);
}

void add_certify(CLI::App& app, Requests& requests) {
  CLI::App& command =
      *app.add_subcommand("certify", "run every leg of a plan, judge the evidence, write the certificate");
  add_plan_options(command, requests.certify.plan, requests.json);
  command.add_option("--out", requests.certify.out, "folder for results [results]")->type_name("DIR");
  command
      .add_option("--lab", requests.certify.lab,
                  "rehearse: make the plan's hosts on this machine, as this specification says")
      ->type_name("SPEC");
  command.add_flag(
      "--allow-drills", requests.certify.allow_drills,
      "make the plan's drills on real hosts: they break ranks of this run on purpose (in a lab they "
      "need no leave)");
  command
      .add_option(
          "--resume", requests.certify.resume,
          "the results folder itself: made when it is not there; a run in it that was cut short goes on")
      ->type_name("DIR");
  add_time_limit(command, requests.certify.time_limit);
  command.footer(
      "Examples:\n"
      "  lockstep certify configs/two-sites.toml\n"
      "  lockstep certify configs/smoke.toml --out /tmp/results --json\n"
      "  lockstep certify --lab configs/lab/metro.toml configs/metro.toml\n"
      "  lockstep certify cluster.toml --hostfile hosts --set run.rounds=4\n"
      "\n"
      "Writes DIR/<plan>-<UTC time>/ with plan.toml, run.h5 (the evidence), certificate.json, journals/ and "
      "logs/.\n"
      "Ctrl-C ends the run: the evidence so far is kept, and the verdict is inconclusive. SIGUSR1 and "
      "SIGTERM "
      "do the same\n"
      "at the end of the step under way (within 60 s and 15 s). Both can be taken up again with --resume.\n"
      "Inside a Slurm job hosts, slots and time limit are the job's; scripts/slurm/ holds batch scripts.\n"
      "\n" +
      std::string(kExitCodes));
}

void add_doctor(CLI::App& app, Requests& requests) {
  CLI::App& command = *app.add_subcommand(
      "doctor", "preflight: look at the hosts of a plan and the network between them, or at this machine");
  add_plan_options(command, requests.doctor.plan, requests.json, PlanIs::optional);
  command.add_option("--out", requests.doctor.out, "folder that all hosts see, for the survey [results]")
      ->type_name("DIR");
  command.add_option("--seconds", requests.doctor.seconds, "length of each measurement of bandwidth [1]")
      ->type_name("S")
      ->check(is_positive_number);
  command
      .add_option("--lab", requests.doctor.lab,
                  "rehearse: make the plan's hosts on this machine, as this specification says")
      ->type_name("SPEC");
  command.add_flag("--full", requests.doctor.full, "measure bandwidth inside sites too");
  command.footer(
      "Examples:\n"
      "  lockstep doctor\n"
      "  lockstep doctor cluster.toml --hostfile hosts\n"
      "  lockstep doctor cluster.toml --full --seconds 5 --json\n"
      "  lockstep doctor --lab configs/lab/aged-metro.toml configs/metro.toml\n"
      "\n"
      "Starts a probe (no MPI program) on every host by the launcher, and measures by plain sockets: "
      "reachability in both\n"
      "directions, round trips, loss, MTU, clock offsets, bandwidth between sites. Checks the site map, "
      "software, limits\n"
      "and cores. Writes DIR/doctor-<plan>-<UTC time>/. Without PLAN it looks at this machine alone.\n"
      "\n"
      "Exit codes: 0 nothing is in the way of a run, 2 bad input, 3 a finding would break or spoil a run, 5 "
      "the preflight\n"
      "could not be made.\n");
}

/// Not in the help: doctor starts it on every host.
void add_probe(CLI::App& app, Requests& requests) {
  CLI::App& command = *app.add_subcommand("probe", "one host's part of doctor");
  command.group("");
  command.add_option("--folder", requests.probe.folder, "the survey's folder")->required();
  command.add_option("--index", requests.probe.index, "this host's number in the survey")->required();
}

void add_resume(CLI::App& app, Requests& requests) {
  CLI::App& command =
      *app.add_subcommand("resume", "go on with a run that was cut short, however that happened");
  command.add_option("DIR", requests.resume.folder, "a folder that certify made")->required();
  command.add_flag("--allow-drills", requests.resume.allow_drills, "as for certify");
  add_time_limit(command, requests.resume.time_limit);
  command.add_flag("--json", requests.json, "one JSON document on standard output");
  command.footer(
      "Examples:\n"
      "  lockstep resume results/two-sites-20260131T123456Z\n"
      "\n"
      "Takes plan, hosts, programs and lab from the folder. Launches that have ended are kept, the others "
      "are made "
      "again:\n"
      "certify --resume DIR with the plan of before does the same.\n"
      "\n" +
      std::string(kExitCodes));
}

void add_collect(CLI::App& app, Requests& requests) {
  CLI::App& command = *app.add_subcommand("collect", "merge journals that came late, and judge again");
  command.add_option("DIR", requests.collect.folder, "a folder that certify made")->required();
  command
      .add_option("--journals", requests.collect.journals,
                  "a folder with folders such as leg-002-joint-r0-a0, brought from another host")
      ->type_name("FROM");
  command.add_flag("--json", requests.json, "one JSON document on standard output");
  command.footer(
      "Examples:\n"
      "  scp -r b2:/scratch/run/journals from-b2 && lockstep collect results/pair-20260131T123456Z "
      "--journals "
      "from-b2\n"
      "\n"
      "Ranks of which nothing is known are listed. The run file as it was stays as run.before-N.h5.\n"
      "\n" +
      std::string(kExitCodes));
}

void add_recover(CLI::App& app, Requests& requests) {
  CLI::App& command = *app.add_subcommand("recover", "repair a run file whose writer was killed");
  command.add_option("RUN", requests.recover.path, "a run.h5, or the folder that it is in")->required();
  command.footer(
      "Examples:\n"
      "  lockstep recover results/two-sites-20260131T123456Z\n"
      "\n"
      "Writes all rows that can be read into a file that opens like any other; the file as it was stays as\n"
      "run.h5.left-open. `lockstep resume` and `collect` do this by themselves.\n");
}

void add_verify(CLI::App& app, Requests& requests) {
  CLI::App& command = *app.add_subcommand("verify", "recompute a certificate from its evidence and compare");
  command.add_option("DIR", requests.verify.folder, "a folder that certify wrote")->required();
  command.add_flag("--json", requests.json, "one JSON document on standard output");
  command.footer(
      "Examples:\n"
      "  lockstep verify results/two-sites-20260131T123456Z\n"
      "\n"
      "Exit codes: that of the certificate when it is exactly what the evidence gives, 3 when it differs, 2 "
      "when a file\n"
      "cannot be read.\n");
}

void add_show(CLI::App& app, Requests& requests) {
  CLI::App& command = *app.add_subcommand("show", "print a summary of a run file");
  command.add_option("RUN", requests.show.path, "a run.h5, or the folder that it is in")->required();
  command.add_option("--leg", requests.show.leg, "only the launch with this number")->type_name("N");
  command.add_flag("--json", requests.json, "one JSON document on standard output");
  command.footer(
      "Examples:\n"
      "  lockstep show results/two-sites-20260131T123456Z\n"
      "  lockstep show run.h5 --leg 2 --json\n");
}

ExitCode dispatch(const CLI::App& command, Requests& requests) {
  const OutputForm form = requests.json ? OutputForm::json : OutputForm::text;
  const std::string& name = command.get_name();
  if (name == "check") {
    requests.check.plan.form = form;
    return app::run_check(requests.check);
  }
  if (name == "certify") {
    requests.certify.plan.form = form;
    return app::run_certify(requests.certify);
  }
  if (name == "resume") {
    requests.resume.form = form;
    return app::run_resume(requests.resume);
  }
  if (name == "collect") {
    requests.collect.form = form;
    return app::run_collect(requests.collect);
  }
  if (name == "recover")
    return app::run_recover(requests.recover);
  if (name == "doctor") {
    requests.doctor.plan.form = form;
    return app::run_doctor(requests.doctor);
  }
  if (name == "probe")
    return app::run_probe(requests.probe);
  if (name == "verify") {
    requests.verify.form = form;
    return app::run_verify(requests.verify);
  }
  LOCKSTEP_EXPECT(name == "show", "a subcommand without an implementation");
  requests.show.form = form;
  return app::run_show(requests.show);
}

ExitCode run(int argc, char** argv) {
  // It has subcommands of its own, and passes words on that must not be read here.
  if (argc > 1 && std::string_view(argv[1]) == "lab")
    return app::run_lab(argc - 1, argv + 1);
  CLI::App parser(kDescription, "lockstep");
  parser.set_version_flag("--version", std::string("lockstep ") + version());
  parser.footer(
      "Examples:\n"
      "  lockstep check configs/two-sites.toml\n"
      "  lockstep doctor\n"
      "  lockstep certify configs/two-sites.toml\n"
      "  lockstep verify results/two-sites-20260131T123456Z\n"
      "  lockstep show results/two-sites-20260131T123456Z\n"
      "\n"
      "`lockstep SUBCOMMAND --help` tells more.\n"
      "\n" +
      std::string(kExitCodes));
  Requests requests;
  add_check(parser, requests);
  add_doctor(parser, requests);
  add_certify(parser, requests);
  add_resume(parser, requests);
  add_collect(parser, requests);
  add_recover(parser, requests);
  add_probe(parser, requests);
  add_verify(parser, requests);
  add_show(parser, requests);
  parser.add_subcommand("lab", "make campuses on this machine, with a real network between them");
  const CLI::App* command = app::parse_command_line(parser, argc, argv);
  return command == nullptr ? ExitCode::certified : dispatch(*command, requests);
}

}  // namespace

int main(int argc, char** argv) {
  set_log_name("lockstep");
  try {
    return static_cast<int>(run(argc, argv));
  } catch (const InputError& error) {
    log_error(error.problem().one_line());
    return static_cast<int>(ExitCode::bad_input);
  } catch (const RunError& error) {
    log_error(error.problem().one_line());
  } catch (const std::exception& error) {
    log_error(error.what());
  }
  return static_cast<int>(ExitCode::run_failed);
}
