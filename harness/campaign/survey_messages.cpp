#include "harness/campaign/survey_messages.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"

namespace nlohmann {
/// Absent values are null.
template <class T>
struct adl_serializer<std::optional<T>> {
  static void to_json(json& j, const std::optional<T>& value) {
    if (value)
      j = *value;
    else
      j = nullptr;
  }
  static void from_json(const json& j, std::optional<T>& value) {
    if (j.is_null())
      value.reset();
    else
      value = j.get<T>();
  }
};
}  // namespace nlohmann

namespace lockstep::watch {
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(InterfaceAddress, interface, address, mtu, loopback)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Attempt, address, error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Peer, token, place, addresses, tcp_port, udp_port)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(RoundTrips, exchanges, min_s, p50_s, p99_s, clock_offset_s,
                                                clock_bound_s, error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(DatagramTrain, sent, received, error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PathMtu, interface, interface_mtu, path_mtu)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(StreamRate, streams, bytes_per_s, seconds, retransmits, error)
}  // namespace lockstep::watch

namespace lockstep::campaign {
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PathPair, from, to)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PathReport, from, to, attempts, address, trips, train, mtu,
                                                error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(StreamReport, from, to, rate)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SurveyBegin, token, hosts, launcher, rank_program, lifetime_s)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HostGpu, bus_id, model, cpus, nics, visible)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HostFacts, host_name, boot_id, network_namespace, addresses,
                                                tcp_port, udp_port, usable_cpus, cpu_list, cgroup_cpus,
                                                load_average, memory_bytes, cgroup_memory_bytes,
                                                memlock_bytes, open_files, tcp_rmem_max, tcp_wmem_max,
                                                core_rmem_max, core_wmem_max, congestion_control,
                                                clock_source, clock_state, software, missing_libraries,
                                                rank_program_error, gpus, gpus_usable, gpu_problem)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ProbeAnswer, number, facts, path, stream)
NLOHMANN_JSON_SERIALIZE_ENUM(SurveyOrder::Kind, {{SurveyOrder::Kind::begin, "begin"},
                                                 {SurveyOrder::Kind::peers, "peers"},
                                                 {SurveyOrder::Kind::paths, "paths"},
                                                 {SurveyOrder::Kind::streams, "streams"},
                                                 {SurveyOrder::Kind::end, "end"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SurveyOrder, kind, number, begin, peers, pairs, exchanges,
                                                datagrams, streams, seconds)

namespace {

template <class T>
std::string line_of(const T& value) {
  // What a host says about itself need not be UTF-8.
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class T>
T parse_line(const std::string& line) {
  try {
    return nlohmann::json::parse(line).get<T>();
  } catch (const nlohmann::json::exception& error) {
    throw RunError({.what = "a line of the survey cannot be read",
                    .why = error.what(),
                    .suggestion = "install one version of lockstep on every host",
                    .file = {}});
  }
}

}  // namespace

std::string to_line(const SurveyOrder& order) {
  return line_of(order);
}
std::string to_line(const ProbeAnswer& answer) {
  return line_of(answer);
}
SurveyOrder order_of(const std::string& line) {
  return parse_line<SurveyOrder>(line);
}
ProbeAnswer answer_of(const std::string& line) {
  return parse_line<ProbeAnswer>(line);
}

std::string SurveyFiles::answers(std::uint32_t host) const {
  return fmt::format("{}/answers/{:04}.jsonl", folder, host);
}

std::string SurveyFiles::log(std::uint32_t host) const {
  return fmt::format("{}/logs/{:04}.log", folder, host);
}

void append_line(const std::string& path, const std::string& line) {
  const auto fail = [&path](int error) {
    throw RunError({.what = "cannot write to " + path,
                    .why = std::strerror(error),
                    .suggestion = "name a folder that every host sees with --out DIR",
                    .file = {}});
  };
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd.valid())
    fail(errno);
  const std::string text = line + "\n";
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR)
      fail(errno);
    if (wrote > 0)
      done += static_cast<std::size_t>(wrote);
  }
}

std::vector<std::string> LineReader::poll() {
  // Opened anew each time: that is when a network file system looks for what is new.
  const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid())
    return {};
  std::vector<std::string> lines;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = ::pread(fd.get(), buffer.data(), buffer.size(), offset_);
    if (got <= 0)
      break;
    offset_ += got;
    partial_.append(buffer.data(), static_cast<std::size_t>(got));
  }
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = partial_.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(partial_.substr(begin, end - begin));
  partial_.erase(0, begin);
  return lines;
}

}  // namespace lockstep::campaign
