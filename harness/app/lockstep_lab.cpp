#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/app/command_line.hpp"
#include "harness/app/lockstep_commands.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/lab/client.hpp"
#include "harness/lab/lab_folder.hpp"
#include "harness/lab/link_text.hpp"
#include "harness/lab/privilege.hpp"
#include "harness/lab/quantity.hpp"
#include "harness/lab/server.hpp"
#include "harness/lab/slurm.hpp"
#include "harness/lab/wire.hpp"
#include "harness/report/table.hpp"

namespace lockstep::app {
namespace {

using Json = nlohmann::ordered_json;

struct LabRequest {
  std::string spec;
  std::string name;  ///< for `up`
  std::string lab;   ///< empty: see lab::choose_lab()
  std::string host;
  std::vector<std::string> words;  ///< positional words of link, cut and heal
  std::vector<std::string> shared;
  bool one_way = false;
  bool slurm = false;
  std::uint32_t cpus = 4;  ///< of each host, as Slurm sees it
  bool json = false;
};

std::string this_program() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

/// Takes `for TIME` off the end of the words; empty when it is not there.
std::string take_for(std::vector<std::string>& words) {
  if (words.size() < 2 || words[words.size() - 2] != "for")
    return {};
  std::string time = words.back();
  words.resize(words.size() - 2);
  static_cast<void>(lab::parse_duration_ns(time));
  return time;
}

[[noreturn]] void refuse(const char* what, const char* form) {
  throw InputError(
      {.what = what, .why = {}, .suggestion = std::string("write lockstep lab ") + form, .file = {}});
}

void take_down(const std::string& name) {
  const lab::Conversation last = lab::converse(name, {{"do", "down"}}, {});
  static_cast<void>(lab::receive_message(last.socket.get()));  // it ends when the lab has
}

ExitCode up(const LabRequest& request) {
  lab::LabSpec spec = lab::load_spec(request.spec);
  const std::string name = request.name.empty() ? spec.name : request.name;
  lab::ServerSettings settings{std::move(spec), name, request.shared, this_program()};
  for (std::string& folder : settings.shared) {
    folder = std::filesystem::absolute(folder).lexically_normal().string();
    if (!std::filesystem::is_directory(folder))
      throw InputError({.what = folder + " cannot be shared with the lab's hosts",
                        .why = "there is no such folder",
                        .suggestion = {},
                        .file = {}});
  }
  if (request.slurm)
    lab::add_login_host(settings.spec);
  static_cast<void>(lab::start_lab(settings, lab::Lifetime::until_down));
  if (request.slurm) {
    try {
      lab::start_slurm(settings.spec, lab::LabFolder(name), request.cpus);
    } catch (const std::exception&) {
      take_down(name);
      throw;
    }
  }
  std::size_t hosts = 0;
  for (const lab::LabSite& site : settings.spec.sites)
    hosts += site.hosts.size();
  print_out(
      fmt::format("lab {} is up: {} hosts in {} sites\n"
                  "  lockstep lab exec {} -- hostname    runs a program on a host\n"
                  "  lockstep lab down                  takes it down\n",
                  name, hosts, settings.spec.sites.size(), settings.spec.sites.front().hosts.front()));
  if (request.slurm)
    print_out("  lockstep lab exec login -- sbatch --nodelist=HOSTS scripts/slurm/acceptance.sbatch PLAN\n");
  return ExitCode::certified;
}

std::string drops_text(const Json& counters) {
  std::vector<std::string> parts;
  for (const auto& [key, name] : {std::pair<const char*, const char*>{"lost_at_random", "random"},
                                  {"lost_in_burst", "burst"},
                                  {"dropped_queue_full", "queue"},
                                  {"dropped_link_down", "down"}}) {
    if (counters.at(key) > 0)
      parts.push_back(fmt::format("{} {}", counters.at(key).get<std::uint64_t>(), name));
  }
  return parts.empty() ? "0" : join(parts, ", ");
}

std::string status_text(const Json& status, const report::Style& style) {
  std::string text =
      fmt::format("lab {} ({}), up since {}\n", status.at("lab").get<std::string>(),
                  status.at("spec").get<std::string>(), status.at("up_since").get<std::string>());
  if (const std::string description = status.at("description"); !description.empty())
    text += description + "\n";
  report::Table hosts({{"host"}, {"site"}, {"address"}, {"state"}, {"processes", report::Align::right}});
  for (const Json& host : status.at("hosts")) {
    const std::string state = host.at("state");
    hosts.add({{host.at("name").get<std::string>()},
               {host.at("site").get<std::string>()},
               {host.at("address").get<std::string>()},
               {state, state == "running" ? report::Emphasis::plain : report::Emphasis::warning},
               {std::to_string(host.at("processes").get<std::size_t>())}});
  }
  report::Table links({{"link"},
                       {"settings"},
                       {"packets", report::Align::right},
                       {"bytes", report::Align::right},
                       {"dropped", report::Align::right},
                       {"queue max", report::Align::right}});
  for (const Json& link : status.at("links")) {
    const Json& counters = link.at("counters");
    const bool is_down = link.at("is_down");
    links.add(
        {{fmt::format("{} -> {}", link.at("from").get<std::string>(), link.at("to").get<std::string>())},
         {link.at("settings").get<std::string>() + (is_down ? " DOWN" : ""),
          is_down ? report::Emphasis::warning : report::Emphasis::plain},
         {std::to_string(counters.at("packets_offered").get<std::uint64_t>())},
         {format_bytes(counters.at("bytes_offered").get<double>())},
         {drops_text(counters)},
         {format_bytes(counters.at("queue_high_water_bytes").get<double>())}});
  }
  const Json& relay = status.at("relay");
  return text + "\n" + hosts.render(style) + "\n" + links.render(style) +
         fmt::format(
             "\nrelay: scheduled {}; {} packets delivered over 1 ms late (worst {} us), {} refused, {} "
             "beyond memory, {} without a route, {} dropped by queues of this machine's kernel\n",
             relay.at("scheduling").get<std::string>(), relay.at("late_over_1ms").get<std::uint64_t>(),
             relay.at("worst_late_us").get<std::int64_t>(), relay.at("refused").get<std::uint64_t>(),
             relay.at("overflowed").get<std::uint64_t>(), relay.at("unroutable").get<std::uint64_t>(),
             relay.at("kernel_dropped").get<std::uint64_t>());
}

ExitCode status(const LabRequest& request) {
  const Json answer = lab::ask(lab::choose_lab(request.lab), {{"do", "status"}});
  print_out(request.json ? answer.dump(2) + "\n" : status_text(answer, report::style_of(STDOUT_FILENO)));
  return ExitCode::certified;
}

ExitCode list(const LabRequest& /*request*/) {
  for (const std::string& name : lab::live_labs())
    print_out(name + "\n");
  for (const std::string& name : lab::dead_labs())
    print_out(fmt::format("{0} (dead; `lockstep lab down --lab {0}` clears its folder)\n", name));
  return ExitCode::certified;
}

/// Never returns: the exit status is the program's, whatever it means.
[[noreturn]] void execute(const LabRequest& request, const std::vector<std::string>& argv) {
  if (argv.empty())
    refuse("a program is missing", "exec HOST -- PROGRAM [ARGUMENT...]");
  ::_exit(lab::run_on_host(lab::choose_lab(request.lab), request.host, argv));
}

ExitCode link(LabRequest request) {
  const std::string for_time = take_for(request.words);
  if (request.words.size() < 3)
    refuse("two sites and a setting are needed", "link A B rtt=20ms [KEY=VALUE...] [for 2s]");
  const std::vector<std::string> changes(request.words.begin() + 2, request.words.end());
  for (const std::string& word : changes)
    static_cast<void>(lab::parse_link_word(word));
  static_cast<void>(lab::ask(lab::choose_lab(request.lab), {{"do", "link"},
                                                            {"a", request.words[0]},
                                                            {"b", request.words[1]},
                                                            {"one_way", request.one_way},
                                                            {"changes", changes},
                                                            {"for", for_time}}));
  return ExitCode::certified;
}

ExitCode cut(LabRequest request) {
  const std::string for_time = take_for(request.words);
  if (request.words.size() != 2)
    refuse("two sites are needed", "cut A B [for 500ms]");
  static_cast<void>(lab::ask(lab::choose_lab(request.lab), {{"do", "cut"},
                                                            {"a", request.words[0]},
                                                            {"b", request.words[1]},
                                                            {"one_way", request.one_way},
                                                            {"for", for_time}}));
  return ExitCode::certified;
}

ExitCode down(const LabRequest& request) {
  if (request.lab.empty() && lab::live_labs().empty()) {
    // What a killed lab left.
    for (const std::string& name : lab::dead_labs())
      static_cast<void>(lab::LabFolder(name).remove_if_dead());
    return ExitCode::certified;
  }
  const std::string name = lab::choose_lab(request.lab);
  if (lab::LabFolder(name).remove_if_dead())
    return ExitCode::certified;
  take_down(name);
  return ExitCode::certified;
}

ExitCode check(const LabRequest& request) {
  if (!request.spec.empty()) {
    const lab::LabSpec spec = lab::load_spec(request.spec);
    std::string text = fmt::format("{}: {} sites\n", spec.name, spec.sites.size());
    for (std::size_t from = 0; from < spec.sites.size(); ++from) {
      for (std::size_t to = 0; to < spec.sites.size(); ++to) {
        if (from != to)
          text += fmt::format("  {} -> {}: {}\n", spec.sites[from].name, spec.sites[to].name,
                              lab::describe(spec.links[from][to]));
      }
    }
    print_out(text);
  }
  if (auto problem = lab::why_no_lab())
    throw RunError(std::move(*problem));
  print_out("a lab can be made here\n");
  return ExitCode::certified;
}

void add_lab_option(CLI::App& command, LabRequest& request) {
  command.add_option("--lab", request.lab, "the lab that is meant [the only one that is up]")
      ->type_name("NAME");
}

std::string link_keys_text() {
  std::string text = "Keys of a link:\n";
  for (const lab::LinkKey& key : lab::link_keys())
    text += fmt::format("  {:<26} {}\n", std::string(key.name) + "=" + key.example, key.meaning);
  return text;
}

}  // namespace

ExitCode run_lab(int argc, char** argv) {
  // What runs on a host gets this process's streams, and a lab replaces its own.
  open_standard_streams();
  LabRequest request;
  CLI::App parser(
      "Campuses on this machine: every host a set of namespaces, every site a subnet, and between the sites "
      "a "
      "network with the delay, rate and faults that its specification asks for.",
      "lockstep lab");
  parser.footer(
      "Examples:\n"
      "  lockstep lab up configs/lab/metro.toml\n"
      "  lockstep lab exec a1 -- ping -c 3 b1\n"
      "  lockstep lab link a b loss=0.1% for 10s\n"
      "  lockstep lab down\n"
      "  lockstep certify --lab configs/lab/metro.toml configs/metro.toml\n");

  CLI::App& up_command = *parser.add_subcommand("up", "bring a lab up, in the background");
  up_command.add_option("SPEC", request.spec, "a specification, such as configs/lab/metro.toml")->required();
  up_command.add_option("--name", request.name, "what to call it [the specification's name]")
      ->type_name("NAME");
  up_command
      .add_option("--share", request.shared,
                  "a folder below /tmp that its hosts see; they have a /tmp of their own")
      ->type_name("DIR")
      ->expected(1)
      ->take_all();

  up_command.add_flag(
      "--slurm", request.slurm,
      "start munge, slurmctld and a slurmd on every host, and a host \"login\" to submit from");
  up_command.add_option("--cpus", request.cpus, "CPUs of each host as Slurm sees it [4]")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));

  CLI::App& status_command = *parser.add_subcommand("status", "print hosts, links and their counters");
  add_lab_option(status_command, request);
  status_command.add_flag("--json", request.json, "one JSON document on standard output");

  parser.add_subcommand("list", "print the labs that are up");

  CLI::App& exec_command = *parser.add_subcommand("exec", "run a program on a host");
  add_lab_option(exec_command, request);
  exec_command.add_option("HOST", request.host, "where")->required();
  exec_command.prefix_command();
  exec_command.footer(
      "Examples:\n"
      "  lockstep lab exec a1 -- ping -c 3 b1\n"
      "\n"
      "The exit status is the program's; 255 when its host went away.\n");

  CLI::App& rsh_command = *parser.add_subcommand(
      "rsh", "run a shell command on a host as ssh does, for mpirun's plm_rsh_agent and pdsh");
  add_lab_option(rsh_command, request);
  rsh_command.add_option("HOST", request.host, "where")->required();
  rsh_command.prefix_command();

  CLI::App& link_command = *parser.add_subcommand("link", "change what lies between two sites");
  add_lab_option(link_command, request);
  link_command.add_option("WORDS", request.words, "A B KEY=VALUE... [for TIME]");
  link_command.add_flag("--one-way", request.one_way, "from A to B only");
  link_command.footer(
      "Examples:\n"
      "  lockstep lab link a b rtt=20ms rate=500Mb/s\n"
      "  lockstep lab link a b burst_loss=0.05%:20 for 30s\n"
      "\n" +
      link_keys_text());

  CLI::App& cut_command = *parser.add_subcommand("cut", "let nothing through between two sites");
  add_lab_option(cut_command, request);
  cut_command.add_option("WORDS", request.words, "A B [for TIME]");
  cut_command.add_flag("--one-way", request.one_way, "from A to B only");

  CLI::App& heal_command = *parser.add_subcommand(
      "heal", "undo changes: links as specified, frozen hosts go on, killed hosts boot");
  add_lab_option(heal_command, request);
  heal_command.add_option("NAMES", request.words,
                          "hosts; a site, for all its links; two sites, for theirs [all]");

  CLI::App& freeze_command =
      *parser.add_subcommand("freeze", "stop every process of a host and take it off the network");
  add_lab_option(freeze_command, request);
  freeze_command.add_option("HOST", request.host, "which")->required();

  CLI::App& kill_command = *parser.add_subcommand("kill", "end a host as a loss of power does");
  add_lab_option(kill_command, request);
  kill_command.add_option("HOST", request.host, "which")->required();

  CLI::App& down_command = *parser.add_subcommand("down", "end a lab and all that runs in it");
  add_lab_option(down_command, request);

  CLI::App& check_command =
      *parser.add_subcommand("check", "say whether a lab can be made here, and what a specification means");
  check_command.add_option("SPEC", request.spec, "a specification");

  const CLI::App* command = parse_command_line(parser, argc, argv);
  if (command == nullptr)
    return ExitCode::certified;
  const std::string& name = command->get_name();
  // What follows `--` belongs to nobody yet, what follows the host to the subcommand: both are passed on.
  if (name == "up")
    return up(request);
  if (name == "status")
    return status(request);
  if (name == "list")
    return list(request);
  if (name == "exec")
    execute(request, parser.remaining(true));
  if (name == "rsh")
    execute(request, {"/bin/sh", "-c", join(parser.remaining(true), " ")});
  if (name == "link")
    return link(request);
  if (name == "cut")
    return cut(request);
  if (name == "down")
    return down(request);
  if (name == "check")
    return check(request);
  const std::string lab_name = lab::choose_lab(request.lab);
  if (name == "heal")
    static_cast<void>(lab::ask(lab_name, {{"do", "heal"}, {"names", request.words}}));
  else
    static_cast<void>(lab::ask(lab_name, {{"do", name}, {"host", request.host}}));
  return ExitCode::certified;
}

}  // namespace lockstep::app
