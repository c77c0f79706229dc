#include "harness/fabric/fabric_facts.hpp"

#include <charconv>

#include <fmt/format.h>

#include "harness/core/text.hpp"
#include "harness/cuda/libraries.hpp"
#include "harness/cuda/nccl_api.hpp"
#include "harness/mpi/cuda_support.hpp"

namespace lockstep::fabric {

NcclState nccl_state() {
  return {cuda::nccl_version(), cuda::nccl_library().path, cuda::nccl_settings_of_this_process()};
}

FabricFacts describe_fabric(const plan::Fabric& fabric, const HierarchyPlan& layout, const NcclState& nccl,
                            const std::string& mpi_cuda_support) {
  FabricFacts facts;
  facts.description = plan::to_string(fabric.backend);
  const auto add = [&](const std::string& key, const std::string& value) {
    facts.details.push_back({key, value});
  };
  if (fabric.all_reduce == plan::AllReduce::hierarchical) {
    if (!layout.ops.empty())
      facts.description += ", hierarchical";
    std::size_t pieces = 0;
    for (const HierarchicalOp& op : layout.ops)
      pieces += op.pieces.size();
    add("fabric.hierarchical", fmt::format("{} all-reduces in {} pieces", layout.ops.size(), pieces));
    if (!layout.left_flat.empty())
      add("fabric.left_flat", join(layout.left_flat, "; "));
  }
  switch (fabric.backend) {
    case plan::FabricBackend::mpi:
      break;
    case plan::FabricBackend::cuda_aware:
    case plan::FabricBackend::host_staged:
      add("fabric.mpi_cuda_support", mpi_cuda_support);
      break;
    case plan::FabricBackend::nccl:
      add("nccl.version", nccl.version);
      add("nccl.library", nccl.path);
      add("nccl.tuning", cuda::nccl_tuning(nccl.settings));
      add("nccl.transport", cuda::nccl_transport(nccl.settings));
      add("nccl.share_gpu", fabric.share_gpu ? "allowed" : "refused");
      if (fabric.nccl_ctas > 0)
        add("nccl.most_ctas", std::to_string(fabric.nccl_ctas));
      for (const cuda::NcclSetting& setting : nccl.settings)
        add("nccl.setting." + setting.name, fmt::format("{} ({})", setting.value, setting.from));
      break;
  }
  return facts;
}

FabricFacts describe_fabric(const plan::Fabric& fabric, const HierarchyPlan& layout) {
  const bool nccl = fabric.backend == plan::FabricBackend::nccl;
  return describe_fabric(fabric, layout, nccl ? nccl_state() : NcclState{},
                         mpi::to_string(mpi::cuda_support()));
}

std::string nccl_obstacle(const std::vector<cuda::NcclSetting>& settings,
                          const std::string& device_connections, bool concurrent) {
  if (cuda::value_of(settings, "NCCL_COMM_BLOCKING") == "1")
    return "NCCL_COMM_BLOCKING=1 makes every NCCL call wait without a deadline; unset it";
  int connections = 0;
  const char* end = device_connections.data() + device_connections.size();
  const auto read = std::from_chars(device_connections.data(), end, connections);
  // With one hardware queue the streams of different communicators wait for each other.
  constexpr int kFewest = 4;
  if (concurrent && read.ec == std::errc() && connections < kFewest)
    return fmt::format(
        "CUDA_DEVICE_MAX_CONNECTIONS={} lets the phases of a hierarchical all-reduce block each other; unset "
        "it, or set fabric.all_reduce = \"flat\"",
        connections);
  return {};
}

}  // namespace lockstep::fabric
