#include <unistd.h>

#include "harness/app/lockstep_commands.hpp"
#include "harness/certify/verify.hpp"
#include "harness/report/verdict.hpp"

namespace lockstep::app {

ExitCode run_verify(const VerifyRequest& request) {
  const certify::FolderVerification found = certify::verify_folder(request.folder);
  print_out(request.form == OutputForm::json
                ? report::verification_json(found, request.folder)
                : report::verification_text(found, request.folder, report::style_of(STDOUT_FILENO)));
  return found.verification.equal() ? certify::exit_code(found.recomputed) : ExitCode::not_certified;
}

}  // namespace lockstep::app
