#include <csignal>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/app/lab_session.hpp"
#include "harness/app/lockstep_commands.hpp"
#include "harness/app/lockstep_hosts.hpp"
#include "harness/app/lockstep_judge.hpp"
#include "harness/app/lockstep_prediction.hpp"
#include "harness/campaign/campaign.hpp"
#include "harness/campaign/stop_signals.hpp"
#include "harness/certify/certificate.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/log.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"
#include "harness/record/run_file.hpp"
#include "harness/report/progress.hpp"
#include "harness/report/verdict.hpp"

namespace lockstep::app {
namespace {

std::vector<double> expected_step_s(const plan::Plan& plan,
                                    const std::vector<campaign::HostSlots>& hostfile) {
  const Rates rates = rates_of_plan(plan);
  std::vector<double> seconds;
  seconds.reserve(plan.legs.size());
  for (const plan::Leg& leg : plan.legs) {
    const auto ranks = campaign::ranks_per_site(plan, leg, hostfile);
    const auto step = predict_step(plan, build_graph(plan, ranks), ranks, rates, 0);
    seconds.push_back(step ? step->step_s : 0.0);
  }
  return seconds;
}

ExitCode exit_code_of(const campaign::Result& result,
                      const std::optional<certify::Certificate>& certificate) {
  switch (result.ending) {
    case campaign::Ending::bad_input:
      return ExitCode::bad_input;
    case campaign::Ending::run_failed:
      return ExitCode::run_failed;
    case campaign::Ending::interrupted:
    case campaign::Ending::out_of_time:
      return ExitCode::inconclusive;
    case campaign::Ending::finished:
      break;
  }
  return certificate ? certify::exit_code(*certificate) : ExitCode::run_failed;
}

const char* name_of(campaign::Ending ending) {
  switch (ending) {
    case campaign::Ending::finished:
      return "finished";
    case campaign::Ending::interrupted:
      return "interrupted";
    case campaign::Ending::out_of_time:
      return "out_of_time";
    case campaign::Ending::bad_input:
      return "bad_input";
    case campaign::Ending::run_failed:
      return "run_failed";
  }
  return "";
}

std::string outcome_json(const campaign::Result& result, const campaign::ResultsFolder& folder,
                         const std::optional<certify::Certificate>& certificate, ExitCode code) {
  nlohmann::ordered_json document;
  document["results"] = folder.path();
  document["ending"] = name_of(result.ending);
  document["message"] = result.message;
  document["exit_code"] = static_cast<int>(code);
  document["certificate"] =
      certificate ? nlohmann::ordered_json::parse(certify::serialize(*certificate)) : nullptr;
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

campaign::ResultsFolder choose_folder(const CertifyRequest& request, const PlacedPlan& placed) {
  if (!request.resume.empty())
    return campaign::ResultsFolder::open(request.resume);
  if (placed.job && placed.job->restarts > 0)
    log_warning(
        "this job was requeued and begins anew: with --resume DIR it would go on in the folder of before");
  return campaign::ResultsFolder::create(request.out, placed.plan.name, utc_ns());
}

std::optional<std::int64_t> end_of_time_utc_ns(const CertifyRequest& request, const PlacedPlan& placed) {
  if (!request.time_limit.empty()) {
    // The command line has checked it.
    const double left_s = campaign::parse_time_s(request.time_limit).value_or(0.0);
    return utc_ns() + static_cast<std::int64_t>(left_s * kNsPerS);
  }
  return placed.job ? placed.job->end_utc_ns : std::nullopt;
}

}  // namespace

certify::Certificate judge(const campaign::ResultsFolder& folder) {
  const record::Evidence evidence = record::read_run_file(folder.run_file());
  certify::Certificate certificate = certify::make_certificate(evidence, sha256_file(folder.run_file()));
  write_text_file(folder.certificate_file(), certify::serialize(certificate));
  return certificate;
}

ExitCode run_certify(const CertifyRequest& request) {
  // A reader of our output that goes away, or a limit on file size, is an error of that write and not our
  // end.
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  static_cast<void>(std::signal(SIGXFSZ, SIG_IGN));
  PlacedPlan placed = place_plan(request.plan);
  const plan::Plan& plan = placed.plan;
  campaign::check_drills_allowed(plan, !request.lab.empty(), request.allow_drills);
  campaign::Options options;
  options.hostfile = std::move(placed.hostfile);
  if (!request.plan.hostfile.empty())
    options.provenance.emplace_back("hostfile", read_text_file(request.plan.hostfile));
  options.end_utc_ns = end_of_time_utc_ns(request, placed);
  options.programs = campaign::find_programs({request.plan.launcher, request.plan.rank_program});
  campaign::check_launcher(plan, options.programs.launcher, options.surroundings);
  campaign::check_launchable(plan, options.hostfile);
  options.expected_step_s = expected_step_s(plan, options.hostfile);
  std::optional<LabSession> lab;
  if (!request.lab.empty())
    lab.emplace(request.lab, plan, options.hostfile);

  // From here to the end a stop signal is read, never delivered: the verdict gets written however often it
  // comes.
  // Never destroyed: a signal between the verdict and the end of the process must not turn the exit code into
  // its own.
  static campaign::StopSignals& stop = *new campaign::StopSignals;
  const campaign::ResultsFolder folder = choose_folder(request, placed);
  if (lab) {
    lab->bring_up(folder.path(), options.programs);
    lab->let_launch(options);
    options.make_fault = lab->fault_maker(plan);
  }
  report::ProgressPrinter progress(stderr, report::style_of(STDERR_FILENO));
  const campaign::Result result = campaign::run(
      plan, options, folder, stop, [&progress](const campaign::Progress& now) { progress.tell(now); });
  progress.clear();
  if (lab)
    lab->take_down(folder.path());

  std::optional<certify::Certificate> certificate;
  if (result.evidence_is_whole)
    certificate = judge(folder);
  const ExitCode code = exit_code_of(result, certificate);
  if (result.ending == campaign::Ending::interrupted || result.ending == campaign::Ending::out_of_time)
    log_warning(result.message);
  else if (!result.message.empty())
    log_error(result.message);
  if (!certificate)
    log_info("no verdict; what was recorded is in " + folder.path());
  if (request.plan.form == OutputForm::json)
    print_out(outcome_json(result, folder, certificate, code));
  else if (certificate)
    print_out(report::verdict_text(*certificate, folder.path(), report::style_of(STDOUT_FILENO)));
  return code;
}

}  // namespace lockstep::app
