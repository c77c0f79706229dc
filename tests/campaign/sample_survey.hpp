#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "harness/campaign/finding.hpp"
#include "harness/campaign/survey.hpp"
#include "harness/campaign/survey_data.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {

constexpr double kInsideS = 50e-6;
constexpr double kBetweenS = 10e-3;

inline HostFacts healthy_facts(std::uint32_t index) {
  HostFacts facts;
  facts.host_name = fmt::format("host{}", index);
  facts.boot_id = fmt::format("boot-{}", index);
  facts.network_namespace = "net:[1]";
  facts.addresses = {{"lo", "127.0.0.1", 65536, true},
                     {"eth0", fmt::format("10.0.0.{}", index + 1), 9000, false}};
  facts.usable_cpus = 8;
  facts.cpu_list = "0-7";
  facts.load_average = 0.1;
  facts.open_files = 1 << 20;
  facts.tcp_rmem_max = 1ULL << 30;
  facts.tcp_wmem_max = 1ULL << 30;
  facts.clock_source = "tsc";
  facts.clock_state = "synchronised";
  facts.software = {{"lockstep version", "0.1.0"},
                    {"lockstep sha256", "aa"},
                    {"lockstep-rank sha256", "bb"},
                    {"Open MPI", "4.1.4"},
                    {"libmpi sha256", "cc"},
                    {"HDF5", "1.10.8"},
                    {"kernel", "6.1"}};
  return facts;
}

inline PathReport healthy_path(std::uint32_t from, std::uint32_t to, double round_trip_s) {
  PathReport path;
  path.from = from;
  path.to = to;
  path.address = fmt::format("10.0.0.{}", to + 1);
  path.attempts = {{path.address, ""}};
  path.trips = watch::RoundTrips{.exchanges = 100,
                                 .min_s = round_trip_s,
                                 .p50_s = round_trip_s * 1.01,
                                 .p99_s = round_trip_s * 1.1,
                                 .clock_offset_s = 0.0,
                                 .clock_bound_s = round_trip_s / 2,
                                 .error = {}};
  path.train = watch::DatagramTrain{400, 400, {}};
  path.mtu = watch::PathMtu{"eth0", 9000, 9000};
  return path;
}

/// Sites as truly placed: `places[i]` is where host i sits. Round trips follow from that.
inline Survey survey_of(const plan::Plan& plan, const std::vector<SiteId>& declared,
                        const std::vector<std::uint32_t>& places) {
  Survey survey;
  for (std::uint32_t i = 0; i < declared.size(); ++i) {
    SurveyedHost host;
    host.name = fmt::format("h{}", i);
    host.site = declared[i];
    host.slots = plan.sites[declared[i].value()].slots;
    host.facts = healthy_facts(i);
    survey.hosts.push_back(host);
  }
  for (std::uint32_t i = 0; i < declared.size(); ++i) {
    for (std::uint32_t j = 0; j < declared.size(); ++j) {
      if (i != j)
        survey.paths.push_back(healthy_path(i, j, places[i] == places[j] ? kInsideS : kBetweenS));
    }
  }
  return survey;
}

/// h0 and h1 in A, h2 and h3 in B, 10 ms apart, nothing wrong.
inline Survey healthy_survey(const plan::Plan& plan) {
  return survey_of(plan, {SiteId(0), SiteId(0), SiteId(1), SiteId(1)}, {0, 0, 1, 1});
}

inline PathReport& path_of(Survey& survey, std::uint32_t from, std::uint32_t to) {
  return *std::find_if(survey.paths.begin(), survey.paths.end(),
                       [&](const PathReport& path) { return path.from == from && path.to == to; });
}

/// What a firewall that drops packets looks like.
inline void block(Survey& survey, std::uint32_t from, std::uint32_t to) {
  PathReport& path = path_of(survey, from, to);
  path = PathReport{};
  path.from = from;
  path.to = to;
  path.attempts = {{fmt::format("10.0.0.{}", to + 1), "no answer in time"}};
}

inline void add_stream(Survey& survey, std::uint32_t from, std::uint32_t to, std::uint32_t streams,
                       double bytes_per_s) {
  StreamReport& stream = survey.streams.emplace_back();
  stream.from = from;
  stream.to = to;
  stream.rate.streams = streams;
  stream.rate.bytes_per_s = bytes_per_s;
  stream.rate.seconds = 0.7;
}

/// A plan whose eager limit fits a wide-area link, as a careful operator writes it.
inline plan::Plan careful_plan(std::vector<std::string> overrides = {}) {
  overrides.emplace_back("mpi.mca.btl_tcp_eager_limit=8388608");
  return by_host_plan(overrides);
}

inline std::vector<Finding> examine(const plan::Plan& plan, const Survey& survey) {
  return findings_of({plan, survey, plan.mpi.mca});
}

inline std::vector<Finding> of_kind(const std::vector<Finding>& findings, const std::string& kind) {
  std::vector<Finding> found;
  std::copy_if(findings.begin(), findings.end(), std::back_inserter(found),
               [&](const Finding& finding) { return finding.kind == kind; });
  return found;
}

}  // namespace lockstep::campaign
