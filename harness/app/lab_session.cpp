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
#include "harness/plan/sites.hpp"

namespace lockstep::app {
namespace {

constexpr const char* kInterface = "eth0";

std::string this_program() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

/// Every host of the site, spares too.
std::vector<std::string> hosts_of_site(const plan::Plan& plan, const std::string& name) {
  std::vector<std::string> hosts;
  for (const plan::Site& site : plan.sites) {
    if (site.name != name)
      continue;
    for (const auto& patterns : {site.hosts, site.spares}) {
      for (const std::string& pattern : patterns) {
        for (std::string& host : plan::expand_hosts(pattern))
          hosts.push_back(std::move(host));
      }
    }
  }
  return hosts;
}

/// Spares and the hosts of drills have to be there too.
void check_reserve(const lab::LabSpec& spec, const plan::Plan& plan) {
  std::vector<std::string> needed;
  for (const plan::Site& site : plan.sites) {
    for (const std::string& pattern : site.spares) {
      for (std::string& host : plan::expand_hosts(pattern))
        needed.push_back(std::move(host));
    }
  }
  for (const plan::Drill& drill : plan.drills) {
    if (!drill.host.empty())
      needed.push_back(drill.host);
  }
  for (const std::string& host : needed) {
    if (!spec.has_host(host))
      throw InputError({.what = fmt::format("the lab {} has no host \"{}\"", spec.name, host),
                        .why = "the plan names it as a spare or in a drill",
                        .suggestion = fmt::format("add it to {}, or correct the plan", spec.path),
                        .file = plan.path});
  }
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
  check_reserve(spec_, plan);
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

campaign::FaultMaker LabSession::fault_maker(const plan::Plan& plan) const {
  return [&plan, name = name_](const plan::Drill& drill, campaign::FaultAction action) {
    std::vector<nlohmann::ordered_json> requests;
    const auto on_hosts = [&requests](const char* what, const std::vector<std::string>& hosts) {
      for (const std::string& host : hosts)
        requests.push_back({{"do", what}, {"host", host}});
    };
    std::vector<std::string> hosts{drill.host};
    if (drill.kind == plan::DrillKind::lose)
      hosts = hosts_of_site(plan, drill.site);
    if (action == campaign::FaultAction::take_back) {
      requests.push_back({{"do", "heal"}, {"names", drill.between.empty() ? hosts : drill.between}});
    } else if (drill.kind == plan::DrillKind::cut) {
      requests.push_back(
          {{"do", "cut"}, {"a", drill.between[0]}, {"b", drill.between[1]}, {"one_way", drill.one_way}});
    } else if (drill.kind == plan::DrillKind::degrade) {
      requests.push_back({{"do", "link"},
                          {"a", drill.between[0]},
                          {"b", drill.between[1]},
                          {"one_way", drill.one_way},
                          {"changes", drill.settings}});
    } else if (drill.kind == plan::DrillKind::stop) {
      on_hosts("freeze", hosts);
    } else {
      on_hosts("kill", hosts);
    }
    for (const nlohmann::ordered_json& request : requests)
      static_cast<void>(lab::ask(name, request));
    return fmt::format("the lab's {}", requests.front().at("do").get<std::string>());
  };
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
