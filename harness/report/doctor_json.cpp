#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/campaign/survey_view.hpp"
#include "harness/report/doctor.hpp"

namespace lockstep::report {
namespace {

using Json = nlohmann::ordered_json;
using campaign::HostFacts;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json findings_json(const std::vector<campaign::Finding>& findings) {
  Json list = Json::array();
  for (const campaign::Finding& finding : findings) {
    list.push_back({{"severity", campaign::to_string(finding.severity)},
                    {"kind", finding.kind},
                    {"hosts", finding.hosts},
                    {"sites", finding.sites},
                    {"what", finding.what},
                    {"why", finding.why},
                    {"advice", finding.advice}});
  }
  return list;
}

Json gpus_json(const HostFacts& facts) {
  Json gpus = Json::array();
  for (const campaign::HostGpu& gpu : facts.gpus) {
    gpus.push_back({{"bus_id", gpu.bus_id},
                    {"model", gpu.model},
                    {"cpus", gpu.cpus},
                    {"nics", gpu.nics},
                    {"visible", gpu.visible}});
  }
  return gpus;
}

Json facts_json(const HostFacts& facts) {
  Json addresses = Json::array();
  for (const watch::InterfaceAddress& entry : facts.addresses)
    addresses.push_back({{"interface", entry.interface}, {"address", entry.address}, {"mtu", entry.mtu}});
  return {{"host_name", facts.host_name},
          {"boot_id", facts.boot_id},
          {"addresses", addresses},
          {"usable_cpus", facts.usable_cpus},
          {"cpu_list", facts.cpu_list},
          {"cgroup_cpus", facts.cgroup_cpus},
          {"load_average", facts.load_average},
          {"memory_bytes", facts.memory_bytes},
          {"cgroup_memory_bytes", facts.cgroup_memory_bytes},
          {"memlock_bytes", facts.memlock_bytes},
          {"open_files", facts.open_files},
          {"tcp_rmem_max", facts.tcp_rmem_max},
          {"tcp_wmem_max", facts.tcp_wmem_max},
          {"core_rmem_max", facts.core_rmem_max},
          {"core_wmem_max", facts.core_wmem_max},
          {"congestion_control", facts.congestion_control},
          {"clock_source", facts.clock_source},
          {"clock_state", facts.clock_state},
          {"gpus", gpus_json(facts)},
          {"software", facts.software},
          {"missing_libraries", facts.missing_libraries}};
}

Json hosts_json(const Preflight& preflight) {
  Json hosts = Json::array();
  for (const campaign::SurveyedHost& host : preflight.survey.hosts) {
    hosts.push_back({{"name", host.name},
                     {"site", preflight.plan.sites[host.site.value()].name},
                     {"slots", host.slots},
                     {"trouble", host.trouble},
                     {"facts", host.facts ? facts_json(*host.facts) : Json(nullptr)}});
  }
  return hosts;
}

Json paths_json(const Preflight& preflight, const campaign::SurveyView& view) {
  Json paths = Json::array();
  for (const campaign::PathReport& path : preflight.survey.paths) {
    Json attempts = Json::array();
    for (const watch::Attempt& attempt : path.attempts)
      attempts.push_back({{"address", attempt.address}, {"error", attempt.error}});
    Json one = {{"from", view.host(path.from)},
                {"to", view.host(path.to)},
                {"address", path.address.empty() ? Json(nullptr) : Json(path.address)},
                {"attempts", attempts}};
    if (path.trips) {
      one["round_trip_min_s"] = path.trips->min_s;
      one["round_trip_p50_s"] = path.trips->p50_s;
      one["round_trip_p99_s"] = or_null(path.trips->p99_s);
      one["exchanges"] = path.trips->exchanges;
      one["clock_offset_s"] = path.trips->clock_offset_s;
      one["clock_bound_s"] = path.trips->clock_bound_s;
    }
    if (path.train) {
      one["datagrams_sent"] = path.train->sent;
      one["datagrams_received"] = path.train->received;
    }
    if (path.mtu) {
      one["interface"] = path.mtu->interface;
      one["interface_mtu"] = path.mtu->interface_mtu;
      one["path_mtu"] = path.mtu->path_mtu;
    }
    paths.push_back(std::move(one));
  }
  return paths;
}

Json streams_json(const Preflight& preflight, const campaign::SurveyView& view) {
  Json streams = Json::array();
  for (const campaign::StreamReport& stream : preflight.survey.streams) {
    streams.push_back({{"from", view.host(stream.from)},
                       {"to", view.host(stream.to)},
                       {"streams", stream.rate.streams},
                       {"bytes_per_s", stream.rate.bytes_per_s},
                       {"seconds", stream.rate.seconds},
                       {"retransmits", stream.rate.retransmits},
                       {"error", stream.rate.error}});
  }
  return streams;
}

Json sites_json(const Preflight& preflight, const campaign::SurveyView& view) {
  Json sites = Json::array();
  for (const campaign::SiteDirection& direction : campaign::site_directions(view, preflight.survey)) {
    sites.push_back({{"from", view.site(direction.from)},
                     {"to", view.site(direction.to)},
                     {"pairs", direction.pairs},
                     {"reachable", direction.reachable},
                     {"round_trip_min_s", or_null(direction.min_s)},
                     {"round_trip_p50_s", or_null(direction.p50_s)},
                     {"round_trip_p99_s", or_null(direction.p99_s)},
                     {"datagrams_sent", direction.sent},
                     {"datagrams_received", direction.received},
                     {"path_mtu", or_null(direction.path_mtu)},
                     {"one_stream_bytes_per_s", or_null(direction.one_stream_bytes_per_s)},
                     {"streams_bytes_per_s", or_null(direction.streams_bytes_per_s)}});
  }
  return sites;
}

/// What hosts say about themselves need not be UTF-8.
std::string dump(const Json& document) {
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string preflight_json(const Preflight& preflight) {
  const campaign::SurveyView view(preflight.plan, preflight.survey);
  return dump({{"plan", preflight.plan.name},
               {"path", preflight.plan.path},
               {"folder", preflight.folder.empty() ? Json(nullptr) : Json(preflight.folder)},
               {"hosts", hosts_json(preflight)},
               {"sites", sites_json(preflight, view)},
               {"paths", paths_json(preflight, view)},
               {"streams", streams_json(preflight, view)},
               {"findings", findings_json(preflight.findings)}});
}

std::string local_json(const campaign::LocalMachine& machine,
                       const std::vector<campaign::Finding>& findings) {
  return dump({{"facts", facts_json(machine.facts)},
               {"launcher", machine.programs.launcher},
               {"rank_program", machine.programs.rank_program},
               {"gpus", machine.gpus},
               {"lab_problem", machine.lab_problem},
               {"findings", findings_json(findings)}});
}

}  // namespace lockstep::report
