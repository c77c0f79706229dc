#include "harness/campaign/diagnosis.hpp"

#include <csignal>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "harness/core/text.hpp"

namespace lockstep::campaign {
namespace {

// Exit statuses of the rank program and of mpirun that have a meaning of their own.
constexpr int kBadInputStatus = 2;
constexpr int kRunFailedStatus = 5;
constexpr int kHostLostStatus = 205;
constexpr int kSignalBase = 128;
constexpr int kLastSignal = 64;

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The line that begins at `begin`, without surrounding white space.
std::string line_at(std::string_view text, std::size_t begin) {
  return std::string(trim(text.substr(begin, text.substr(begin).find('\n'))));
}

/// What follows `marker`, up to the end of its line; empty when the marker is not there.
std::string rest_after(std::string_view text, std::string_view marker) {
  const std::size_t at = text.find(marker);
  return at == std::string_view::npos ? std::string{} : line_at(text, at + marker.size());
}

std::string first_word(const std::string& text) {
  return text.substr(0, text.find_first_of(" :\t"));
}

std::optional<Diagnosis> diagnose_unreachable(const LaunchEnd& end) {
  const auto unreachable = [&end](const std::string& host, const std::string& why) {
    return Diagnosis{
        "launch",
        fmt::format("host {} cannot be reached ({}); check its name, the network and that ssh to it works "
                    "without a password",
                    host, why),
        end.stepped ? Consequence::data : Consequence::run_failed};
  };
  if (const std::string rest = rest_after(end.log, "Could not resolve hostname "); !rest.empty())
    return unreachable(first_word(rest), "its name does not resolve");
  if (const std::string rest = rest_after(end.log, "connect to host "); !rest.empty()) {
    const std::size_t colon = rest.rfind(": ");
    return unreachable(first_word(rest),
                       colon == std::string::npos ? "no connection" : rest.substr(colon + 2));
  }
  if (has(end.log, "Host key verification failed"))
    return unreachable("of this leg", "its ssh host key is not known");
  if (const std::size_t at = end.log.find("Permission denied ("); at != std::string_view::npos) {
    const std::size_t begin = end.log.rfind('\n', at);
    const std::string line = line_at(end.log, begin == std::string_view::npos ? 0 : begin + 1);
    return unreachable(first_word(line.substr(line.find('@') == std::string::npos ? 0 : line.find('@') + 1)),
                       "ssh: permission denied");
  }
  if (has(end.log, "unable to reliably start one or more daemons") ||
      has(end.log, "ORTE has lost communication with a remote daemon during startup")) {
    return Diagnosis{"launch",
                     fmt::format("mpirun could not start its daemon on every host of leg {}; see {}", end.leg,
                                 end.log_path),
                     end.stepped ? Consequence::data : Consequence::run_failed};
  }
  return std::nullopt;
}

/// Complaints of mpirun that come before any rank has run.
std::optional<Diagnosis> diagnose_refused_launch(const LaunchEnd& end) {
  if (has(end.log, "not enough slots available")) {
    return Diagnosis{
        "launch",
        fmt::format("leg {} asks for {} ranks and mpirun has fewer slots; lower the sites' slots, add hosts, "
                    "or put \"--oversubscribe\" into mpi.mpirun_args",
                    end.leg, end.ranks),
        Consequence::bad_input};
  }
  if (has(end.log, "binding more processes than cpus")) {
    return Diagnosis{
        "launch",
        fmt::format(
            "leg {} has more ranks on a host than it has cores to bind them to; lower the sites' slots "
            "or put \"--bind-to\", \"none\" into mpi.mpirun_args",
            end.leg),
        Consequence::bad_input};
  }
  if (const std::string option = rest_after(end.log, "Error: unknown option "); !option.empty()) {
    return Diagnosis{
        "launch",
        fmt::format("mpirun does not know the option {}; correct mpi.mpirun_args in the plan", option),
        Consequence::bad_input};
  }
  if (has(end.log, "or execute an executable") || has(end.log, "could not find an executable")) {
    const std::string node = rest_after(end.log, "Node:");
    return Diagnosis{
        "launch",
        fmt::format("{} cannot be executed on host {}; install it under the same path on every host",
                    rest_after(end.log, "Executable:"), node.empty() ? "(unnamed)" : node),
        Consequence::run_failed};
  }
  return diagnose_unreachable(end);
}

/// Complaints of srun that come before any rank has run.
std::optional<Diagnosis> diagnose_refused_step(const LaunchEnd& end) {
  if (const std::string why = rest_after(end.log, "srun: error: Unable to create step for job ");
      !why.empty()) {
    const std::size_t colon = why.find(": ");
    return Diagnosis{
        "launch",
        fmt::format("Slurm has no room for the {} ranks of leg {} ({}); ask for more tasks or hosts, "
                    "or lower the sites' slots",
                    end.ranks, end.leg, colon == std::string::npos ? why : why.substr(colon + 2)),
        Consequence::bad_input};
  }
  if (const std::string why = rest_after(end.log, " launch failed: "); !why.empty()) {
    return Diagnosis{
        "launch",
        fmt::format("srun could not start every rank of leg {} ({}); see {} and the log of slurmd", end.leg,
                    why, end.log_path),
        Consequence::run_failed};
  }
  return std::nullopt;
}

/// `process rank 1 with PID 812 on node n3 exited on signal 9 (Killed)`, when mpirun said so.
std::string victim(std::string_view log) {
  const std::string rest = rest_after(log, "noticed that process rank ");
  const std::size_t node = rest.find(" on node ");
  if (rest.empty() || node == std::string::npos)
    return "a process";
  return fmt::format("rank {} (as mpirun numbers it) on host {}", first_word(rest),
                     first_word(rest.substr(node + std::strlen(" on node "))));
}

}  // namespace

std::string last_error_line(std::string_view log) {
  constexpr std::string_view kMarker = "error: ";
  for (std::size_t at = log.rfind(kMarker); at != std::string_view::npos && at > 0;
       at = log.rfind(kMarker, at - 1)) {
    // srun tells of every task that ended, after what the task itself said.
    const std::size_t line = log.rfind('\n', at) + 1;  // npos + 1 is the beginning
    if (!log.substr(line).starts_with("srun: ") && !log.substr(line).starts_with("slurmstepd"))
      return line_at(log, at + kMarker.size());
  }
  return log.starts_with(kMarker) ? line_at(log, kMarker.size()) : std::string{};
}

std::string read_log_tail(const std::string& path) {
  constexpr std::streamoff kMost = 1 << 20;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file)
    return {};
  const std::streamoff size = file.tellg();
  const std::streamoff begin = size > kMost ? size - kMost : 0;
  std::string text(static_cast<std::size_t>(size - begin), '\0');
  file.seekg(begin);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::optional<Diagnosis> diagnose(const LaunchEnd& end) {
  const int status = end.exit_status;
  if (status == 0)
    return std::nullopt;
  const std::string error = last_error_line(end.log);
  if (status == kBadInputStatus && !error.empty())
    return Diagnosis{"launch", error, end.stepped ? Consequence::data : Consequence::bad_input};
  if (!end.stepped) {
    if (auto refused = diagnose_refused_launch(end))
      return refused;
    if (auto refused = diagnose_refused_step(end))
      return refused;
  }
  if (status == kHostLostStatus || has(end.log, "srun: error: Node failure on "))
    return Diagnosis{"host_lost", fmt::format("leg {} lost a host", end.leg), Consequence::data};
  if (status > kSignalBase && status <= kSignalBase + kLastSignal) {
    const int number = status - kSignalBase;
    const char* name = ::sigabbrev_np(number);
    return Diagnosis{"killed",
                     fmt::format("{} of leg {} was ended by SIG{}", victim(end.log), end.leg,
                                 name != nullptr ? name : std::to_string(number)),
                     Consequence::data};
  }
  if (status == kRunFailedStatus && !error.empty())
    return Diagnosis{"exit", error, end.stepped ? Consequence::data : Consequence::run_failed};
  return Diagnosis{"exit",
                   fmt::format("leg {} ended with status {}{}; see {}", end.leg, status,
                               error.empty() ? std::string{} : " (" + error + ")", end.log_path),
                   Consequence::data};
}

}  // namespace lockstep::campaign
