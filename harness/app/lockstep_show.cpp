#include <filesystem>

#include <unistd.h>

#include "harness/app/lockstep_commands.hpp"
#include "harness/record/run_file.hpp"
#include "harness/report/summary.hpp"

namespace lockstep::app {

ExitCode run_show(const ShowRequest& request) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(request.path, ignored);
  const std::string path =
      is_folder ? (std::filesystem::path(request.path) / "run.h5").string() : request.path;
  const record::Evidence evidence = record::read_run_file(path);
  const report::RunSummary summary = report::summarize_run(evidence, path, request.leg);
  print_out(request.form == OutputForm::json
                ? report::summary_json(summary)
                : report::summary_text(summary, report::style_of(STDOUT_FILENO)));
  return ExitCode::certified;
}

}  // namespace lockstep::app
