#include "harness/app/lab_session.hpp"

#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/log.hpp"
#include "harness/lab/lab_folder.hpp"
#include "harness/lab/privilege.hpp"
#include "harness/lab/server.hpp"
#include "harness/lab/wire.hpp"

namespace lockstep::app {
namespace {

constexpr const char* kInterface = "eth0";

std::string this_program() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

void check_hosts(const lab::LabSpec& spec, const plan::Plan& plan,
                 const std::vector<campaign::HostSlots>& hostfile) {
  if (plan.placement == plan::Placement::colocated)
    throw InputError(
        {.what = fmt::format("the plan {} puts every site on this machine", plan.name),
         .why = "a lab is there to keep them apart",
         .suggestion = fmt::format("take out placement = \"colocated\" and list hosts of {}", spec.path),
         .file = plan.path});
  for (const plan::Leg& leg : plan.legs) {
    for (const campaign::HostSlots& host : campaign::hosts_of_leg(plan, leg, hostfile)) {
      if (spec.has_host(host.host))
        continue;
      throw InputError({.what = fmt::format("the lab {} has no host \"{}\"", spec.name, host.host),
                        .why = fmt::format("leg {} of the plan needs it", leg.name),
                        .suggestion = fmt::format("add it to {}, or correct the plan's sites", spec.path),
                        .file = plan.path});
    }
  }
}

}  // namespace

LabSession::LabSession(const std::string& spec_path, const plan::Plan& plan,
                       const std::vector<campaign::HostSlots>& hostfile)
    : spec_(lab::load_spec(spec_path)), name_(fmt::format("{}-{}", spec_.name, ::getpid())) {
  check_hosts(spec_, plan, hostfile);
  // Now, before anything is written.
  if (auto problem = lab::why_no_lab())
    throw RunError(std::move(*problem));
}

void LabSession::bring_up(const std::string& results_folder, const campaign::Programs& programs) {
  const std::string program = this_program();
  // Whatever of these lies below /tmp would not be seen there otherwise.
  const std::vector<std::string> needed{std::filesystem::absolute(results_folder).string(),
                                        std::filesystem::path(program).parent_path().string(),
                                        std::filesystem::path(programs.rank_program).parent_path().string(),
                                        std::filesystem::current_path().string()};
  owner_ = lab::start_lab({spec_, name_, needed, program}, lab::Lifetime::attached);
}

campaign::LauncherPrefix LabSession::launcher_prefix() const {
  return [program = this_program(), name = name_](const std::vector<campaign::HostSlots>& hosts) {
    return std::vector<std::string>{program, "lab", "exec", "--lab", name, hosts.front().host, "--"};
  };
}

campaign::Surroundings LabSession::surroundings() const {
  campaign::Surroundings surroundings = campaign::this_machine();
  surroundings.emulated_hosts = true;
  surroundings.mca = {{"plm_rsh_agent", lab::LabFolder(name_).remote_shell()},
                      {"oob_tcp_if_include", kInterface},
                      {"btl_tcp_if_include", kInterface}};
  return surroundings;
}

void LabSession::let_launch(campaign::Options& options) const {
  options.launcher_prefix = launcher_prefix();
  options.surroundings = surroundings();
  // What a launch that ended badly left on other hosts would compute beside the next one.
  options.after_launch = [name = name_] {
    try {
      static_cast<void>(lab::ask(name, {{"do", "clear"}}));
    } catch (const std::runtime_error& error) {
      log_warning(fmt::format("the lab's hosts could not be cleared: {}", error.what()));
    }
  };
  options.provenance.emplace_back("lab", name_);
  options.provenance.emplace_back("lab.spec", spec_.text);
}

void LabSession::take_down(const std::string& results_folder) {
  try {
    const lab::LabFolder lab_folder(name_);
    write_text_file(results_folder + "/lab.toml", spec_.text);
    write_text_file(results_folder + "/lab-status.json", lab::ask(name_, {{"do", "status"}}).dump(2) + "\n");
    write_text_file(results_folder + "/lab-events.jsonl", read_text_file(lab_folder.events()));
    const lab::Conversation last = lab::converse(name_, {{"do", "down"}}, {});
    static_cast<void>(lab::receive_message(last.socket.get()));
  } catch (const std::runtime_error& error) {
    log_warning(fmt::format("the lab's own records are not complete: {}", error.what()));
  }
  owner_.reset();
}

}  // namespace lockstep::app
