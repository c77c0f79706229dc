#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/ids.hpp"
#include "harness/watch/interfaces.hpp"
#include "harness/watch/probe_client.hpp"

/// What a survey finds out about the hosts of a plan and the network between them. Data only; what it means
/// is worked out by findings_of().
namespace lockstep::campaign {

/// A GPU of a host, by its PCI address.
struct HostGpu {
  std::string bus_id;
  std::string model;    ///< empty where no driver tells
  std::string cpus;     ///< near it, such as "0-31"; empty where the machine does not say
  std::string nics;     ///< nearest to it, such as "mlx5_0 (same PCI switch)"; empty: none
  bool visible = true;  ///< to a process that is started as the probe was
};

/// What one host says about itself. 0 and empty texts: not known there.
struct HostFacts {
  std::string host_name;          ///< as gethostname gives it, cut at the first dot
  std::string boot_id;            ///< equal values: one kernel, one machine
  std::string network_namespace;  ///< with boot_id, tells two hosts from one under two names
  std::vector<watch::InterfaceAddress> addresses;
  std::uint16_t tcp_port = 0;  ///< of its probe server
  std::uint16_t udp_port = 0;

  std::uint32_t usable_cpus = 0;  ///< of the affinity mask
  std::string cpu_list;           ///< such as "0-3,8"
  double cgroup_cpus = 0.0;       ///< 0: no limit
  double load_average = 0.0;      ///< over one minute
  std::uint64_t memory_bytes = 0;
  std::uint64_t cgroup_memory_bytes = 0;  ///< 0: no limit
  std::uint64_t memlock_bytes = 0;        ///< RLIMIT_MEMLOCK; the largest number: no limit
  std::uint64_t open_files = 0;           ///< RLIMIT_NOFILE

  std::uint64_t tcp_rmem_max = 0;   ///< bytes, net.ipv4.tcp_rmem's third figure
  std::uint64_t tcp_wmem_max = 0;   ///< bytes, net.ipv4.tcp_wmem's third figure
  std::uint64_t core_rmem_max = 0;  ///< bytes, net.core.rmem_max
  std::uint64_t core_wmem_max = 0;
  std::string congestion_control;

  std::string clock_source;
  std::string clock_state;  ///< "synchronised", "not synchronised", or empty where the kernel does not say

  /// What should be equal everywhere: "lockstep version", "lockstep-rank sha256", "Open MPI" ...
  std::map<std::string, std::string> software;
  std::vector<std::string> missing_libraries;  ///< that lockstep-rank needs and the loader does not find
  std::string rank_program_error;              ///< why lockstep-rank cannot be executed here; else empty

  std::vector<HostGpu> gpus;      ///< of NVIDIA, by ascending bus id
  std::uint32_t gpus_usable = 0;  ///< entries of CUDA_VISIBLE_DEVICES that name one, or all GPUs
  std::string gpu_problem;        ///< of CUDA_VISIBLE_DEVICES or with the reading of the host; else empty
};

/// One host of the plan. `facts` without a value: it did not answer, and `trouble` says why.
struct SurveyedHost {
  std::string name;  ///< as the plan or the hostfile has it
  SiteId site;
  std::uint32_t slots = 1;
  std::optional<HostFacts> facts;
  std::string trouble;
};

/// One direction between two hosts, by index in Survey::hosts.
struct PathReport {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::vector<watch::Attempt> attempts;  ///< each address of `to`, tried from `from`
  std::string address;                   ///< that was measured; empty: none answered
  std::optional<watch::RoundTrips> trips;
  std::optional<watch::DatagramTrain> train;
  std::optional<watch::PathMtu> mtu;
  std::string error;  ///< not empty: the probe did not report
};

struct StreamReport {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  watch::StreamRate rate;
};

struct Survey {
  std::vector<SurveyedHost> hosts;
  std::vector<PathReport> paths;      ///< of pairs of different hosts that both answered
  std::vector<StreamReport> streams;  ///< one host pair of each pair of sites, both directions
};

/// Hosts that answered and are no second name of one before, by index.
[[nodiscard]] std::vector<std::uint32_t> distinct_hosts(const Survey& survey);

}  // namespace lockstep::campaign
