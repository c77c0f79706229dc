#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/app/lockstep_commands.hpp"
#include "harness/app/lockstep_judge.hpp"
#include "harness/campaign/collect.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/record/run_file.hpp"
#include "harness/report/verdict.hpp"

namespace lockstep::app {
namespace {

namespace fs = std::filesystem;

campaign::ResultsFolder folder_with_a_run(const std::string& path) {
  if (!fs::exists(path + "/run.h5"))
    throw InputError({.what = "there is no run in " + path,
                      .why = "it has no run.h5",
                      .suggestion = "name a folder that certify made",
                      .file = {}});
  return campaign::ResultsFolder::open(path);
}

/// Facts of the whole run, as the controller noted them.
std::string noted(const record::Evidence& evidence, const std::string& key) {
  for (const record::ProvenanceRow& row : evidence.provenance) {
    if (row.leg < 0 && row.key == key)
      return row.value;
  }
  return {};
}

}  // namespace

ExitCode run_collect(const CollectRequest& request) {
  const campaign::ResultsFolder folder = folder_with_a_run(request.folder);
  const campaign::Collected collected = campaign::collect_evidence(folder, request.journals, utc_ns());
  const certify::Certificate certificate = judge(folder);
  const ExitCode code = certify::exit_code(certificate);
  if (request.form == OutputForm::json) {
    const nlohmann::ordered_json document{
        {"results", folder.path()},
        {"merged", collected.merged},
        {"missing", collected.missing},
        {"replaced", collected.replaced},
        {"exit_code", static_cast<int>(code)},
        {"certificate", nlohmann::ordered_json::parse(certify::serialize(certificate))}};
    print_out(document.dump(2) + "\n");
    return code;
  }
  std::string text = collected.merged.empty() ? "No journal was there that run.h5 does not hold already.\n"
                                              : "Merged: " + join(collected.merged, ", ") + "\n";
  if (collected.replaced && collected.merged.empty())
    text += "run.h5 had been left open by its writer and was written anew.\n";
  if (!collected.missing.empty())
    text += "Still missing: " + join(collected.missing, ", ") + "\n";
  print_out(text + "\n" + report::verdict_text(certificate, folder.path(), report::style_of(STDOUT_FILENO)));
  return code;
}

ExitCode run_recover(const RecoverRequest& request) {
  const std::string path = fs::is_directory(request.path) ? request.path + "/run.h5" : request.path;
  const fs::path parent = fs::path(path).parent_path();
  // A run that is at work in its folder is writing this very file.
  std::optional<campaign::ResultsFolder> folder;
  if (fs::exists(parent / "plan.toml"))
    folder.emplace(campaign::ResultsFolder::open(parent.empty() ? "." : parent.string()));
  if (!record::was_left_open(path)) {
    static_cast<void>(record::read_run_file(path));  // says what is wrong with it
    print_out(path + " was closed by its writer: there is nothing to recover\n");
    return ExitCode::certified;
  }
  const std::string kept = path + ".left-open";
  campaign::recover_run_file(path, kept);
  std::error_code error;
  fs::remove(parent / "certificate.json", error);  // of the file as it was
  const record::Evidence evidence = record::read_run_file(path);
  print_out(fmt::format("{}: {} launches, {} ended, {} rows of steps; the file as it was is {}\n", path,
                        evidence.legs.size(), evidence.leg_ends.size(), evidence.steps.size(), kept));
  return ExitCode::certified;
}

ExitCode run_resume(const ResumeRequest& request) {
  const std::string run_file = request.folder + "/run.h5";
  if (!fs::exists(request.folder + "/plan.toml"))
    throw InputError({.what = "there is no plan in " + request.folder,
                      .why = "it has no plan.toml",
                      .suggestion = "name a folder that certify made",
                      .file = {}});
  CertifyRequest certify;
  certify.plan.plan = request.folder + "/plan.toml";
  certify.plan.form = request.form;
  certify.resume = request.folder;
  certify.allow_drills = request.allow_drills;
  certify.time_limit = request.time_limit;
  if (fs::exists(run_file)) {
    const record::Evidence evidence = record::read_run_file(run_file);
    certify.plan.launcher = noted(evidence, "launcher");
    certify.plan.rank_program = noted(evidence, "rank_program");
    if (const std::string hosts = noted(evidence, "hostfile"); !hosts.empty()) {
      certify.plan.hostfile = request.folder + "/hostfile";
      write_text_file(certify.plan.hostfile, hosts);
    }
    if (const std::string spec = noted(evidence, "lab.spec"); !spec.empty()) {
      certify.lab = request.folder + "/lab.toml";
      write_text_file(certify.lab, spec);
    }
  }
  return run_certify(certify);
}

}  // namespace lockstep::app
