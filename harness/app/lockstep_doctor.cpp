#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>

#include <unistd.h>

#include "harness/app/lab_session.hpp"
#include "harness/app/lockstep_commands.hpp"
#include "harness/app/lockstep_hosts.hpp"
#include "harness/campaign/finding.hpp"
#include "harness/campaign/host_facts.hpp"
#include "harness/campaign/local_machine.hpp"
#include "harness/campaign/probe_worker.hpp"
#include "harness/campaign/stop_signals.hpp"
#include "harness/campaign/survey.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/log.hpp"
#include "harness/core/posix.hpp"
#include "harness/lab/privilege.hpp"
#include "harness/report/doctor.hpp"

namespace lockstep::app {
namespace {

ExitCode exit_code_of(const std::vector<campaign::Finding>& findings) {
  const bool spoilt = std::any_of(findings.begin(), findings.end(), [](const campaign::Finding& finding) {
    return finding.severity == campaign::Severity::error;
  });
  return spoilt ? ExitCode::not_certified : ExitCode::certified;
}

ExitCode examine_this_machine(const PlanRequest& request) {
  campaign::LocalMachine machine = campaign::look_at_this_machine({request.launcher, request.rank_program});
  if (const auto problem = lab::why_no_lab())
    machine.lab_problem = problem->one_line();
  const auto findings = campaign::local_findings(machine);
  print_out(request.form == OutputForm::json
                ? report::local_json(machine, findings)
                : report::local_text(machine, findings, report::style_of(STDOUT_FILENO)));
  return exit_code_of(findings);
}

campaign::Survey survey_hosts(const DoctorRequest& request, const plan::Plan& plan,
                              const campaign::SurveyOptions& options, const campaign::SurveyFiles& files) {
  // Never destroyed: as in run_certify, a late signal must not change the exit code.
  static campaign::StopSignals& stop = *new campaign::StopSignals;
  return campaign::run_survey(plan, options, files, stop, [&request](const std::string& news) {
    if (request.plan.form == OutputForm::text)
      log_info(news);
  });
}

}  // namespace

ExitCode run_doctor(const DoctorRequest& request) {
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  if (request.plan.plan.empty() && !request.lab.empty()) {
    throw InputError({.what = "a lab without a plan",
                      .why = "the plan says which of the lab's hosts to look at",
                      .suggestion = "write lockstep doctor --lab SPEC PLAN",
                      .file = {}});
  }
  if (request.plan.plan.empty())
    return examine_this_machine(request.plan);
  PlacedPlan placed = place_plan(request.plan);
  const plan::Plan& plan = placed.plan;
  campaign::SurveyOptions options;
  options.hostfile = std::move(placed.hostfile);
  options.programs = campaign::find_programs({request.plan.launcher, request.plan.rank_program});
  options.probe_program = std::filesystem::read_symlink("/proc/self/exe").string();
  options.seconds = request.seconds;
  options.inside_sites = request.full;
  std::optional<LabSession> lab;
  if (!request.lab.empty())
    lab.emplace(request.lab, plan, options.hostfile);

  campaign::Survey survey;
  std::string folder;
  if (plan.placement == plan::Placement::colocated) {
    survey = campaign::survey_of_one_machine(
        plan, campaign::gather_host_facts(options.programs.launcher, options.programs.rank_program));
  } else {
    const std::size_t hosts = campaign::hosts_of_plan(plan, options.hostfile).size();
    const auto results = campaign::ResultsFolder::create(request.out, "doctor-" + plan.name, utc_ns());
    const auto files = campaign::make_survey_files(results, hosts);
    folder = files.folder;
    if (lab) {
      lab->bring_up(folder, options.programs);
      options.launcher_prefix = lab->launcher_prefix();
      options.surroundings = lab->surroundings();
    }
    survey = survey_hosts(request, plan, options, files);
    if (lab)
      lab->take_down(folder);
  }
  std::map<std::string, std::string> mca = plan.mpi.mca;
  mca.insert(options.surroundings.mca.begin(), options.surroundings.mca.end());
  const auto findings = campaign::findings_of({plan, survey, mca});
  const report::Preflight preflight{plan, survey, findings, folder};
  const std::string json = report::preflight_json(preflight);
  if (!folder.empty())
    write_text_file(folder + "/doctor.json", json);
  print_out(request.plan.form == OutputForm::json
                ? json
                : report::preflight_text(preflight, report::style_of(STDOUT_FILENO)));
  return exit_code_of(findings);
}

ExitCode run_probe(const ProbeRequest& request) {
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  campaign::run_probe(request.folder, request.index);
  return ExitCode::certified;
}

}  // namespace lockstep::app
