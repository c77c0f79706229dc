#include "harness/fabric/make_fabric.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"
#include "harness/cuda/device_identity.hpp"
#include "harness/cuda/nccl_api.hpp"
#include "harness/cuda/queue.hpp"
#include "harness/fabric/agree.hpp"
#include "harness/fabric/fabric_facts.hpp"
#include "harness/fabric/hierarchical_fabric.hpp"
#include "harness/fabric/host_staged_fabric.hpp"
#include "harness/fabric/mpi_fabric.hpp"
#include "harness/fabric/nccl_setup.hpp"
#include "harness/fabric/pinned_memory.hpp"
#include "harness/mpi/cuda_support.hpp"

namespace lockstep::fabric {
namespace {

using Made = std::unique_ptr<step::FabricBackend>;

/// Communication goes first where a matrix product wants the same thread blocks: it is what others wait for.
std::unique_ptr<cuda::Queue> make_queue(std::size_t marks) {
  return cuda::make_queue(std::max<std::size_t>(1, marks), cuda::StreamPriority::high);
}

std::size_t marks_of(const FabricNeeds& needs) {
  return needs.layout.graph.comm_ops().size();
}

Made make_mpi(const plan::Fabric& /*fabric*/, const FabricNeeds& needs) {
  MpiFabric::Options options;
  options.set_up_deadline_s = needs.deadline_s;
  return std::make_unique<MpiFabric>(needs.layout.graph, needs.leg, options);
}

/// An MpiFabric and the queue that it copies with.
class CudaAwareFabric final : public step::FabricBackend {
 public:
  CudaAwareFabric(const FabricNeeds& needs, std::unique_ptr<cuda::Queue> queue)
      : queue_(std::move(queue)), mpi_(needs.layout.graph, needs.leg, options(needs, *queue_)) {}
  Ticket start(const step::Comm& comm, const step::StepGraph& graph, step::BufferSet& buffers) override {
    return mpi_.start(comm, graph, buffers);
  }
  step::CommState test(Ticket ticket) override { return mpi_.test(ticket); }
  [[nodiscard]] std::string error_text(Ticket ticket) const override { return mpi_.error_text(ticket); }
  [[nodiscard]] std::string name() const override { return mpi_.name(); }

 private:
  static MpiFabric::Options options(const FabricNeeds& needs, cuda::Queue& queue) {
    MpiFabric::Options options;
    options.set_up_deadline_s = needs.deadline_s;
    options.queue = &queue;
    options.name = "cuda-aware";
    return options;
  }
  std::unique_ptr<cuda::Queue> queue_;
  MpiFabric mpi_;
};

bool has_collectives(const step::StepGraph& graph) {
  const std::vector<OpId> ops = graph.comm_ops();
  return std::any_of(ops.begin(), ops.end(), [&graph](OpId op) {
    const step::CommKind kind = std::get<step::Comm>(graph.op(op).work).kind;
    return kind != step::CommKind::send_recv && kind != step::CommKind::barrier;
  });
}

Made make_cuda_aware(const plan::Fabric& /*fabric*/, const FabricNeeds& needs) {
  if (mpi::cuda_support() == mpi::CudaSupport::no)
    throw InputError({.what = "fabric.backend is \"cuda-aware\", and this MPI takes no device memory",
                      .why = "it was built without CUDA",
                      .suggestion = "load an MPI built with CUDA, or use fabric.backend = \"host-staged\"",
                      .file = {}});
  if (!mpi::nonblocking_collectives_take_device_memory() && has_collectives(needs.layout.graph))
    throw InputError({.what = "fabric.backend is \"cuda-aware\", and the workload has collectives",
                      .why = "Open MPI takes device memory in sends and blocking collectives, but not in "
                             "the nonblocking ones that overlap with computing",
                      .suggestion = "use fabric.backend = \"nccl\" or \"host-staged\", or another MPI",
                      .file = {}});
  std::unique_ptr<cuda::Queue> queue;
  agree(needs.leg, needs.deadline_s, [&] { queue = make_queue(marks_of(needs)); });
  return std::make_unique<CudaAwareFabric>(needs, std::move(queue));
}

Made make_host_staged(const plan::Fabric& fabric, const FabricNeeds& needs) {
  const RankId self(static_cast<std::uint32_t>(needs.leg.rank()));
  HostStagedFabric::Parts parts;
  agree(needs.leg, needs.deadline_s, [&] {
    parts.host_memory = std::make_unique<PinnedHostMemory>();
    parts.host = std::make_unique<step::BufferSet>(needs.layout.graph, step::BufferSet::Need::communicated,
                                                   self, *parts.host_memory);
    parts.down = make_queue(marks_of(needs));
    parts.up = make_queue(marks_of(needs));
  });
  parts.inner = make_mpi(fabric, needs);
  return std::make_unique<HostStagedFabric>(needs.layout.graph, self, std::move(parts));
}

Made make_nccl(const plan::Fabric& fabric, const FabricNeeds& needs) {
  const cuda::NcclLibrary& library = cuda::nccl_library();
  const char* connections = std::getenv("CUDA_DEVICE_MAX_CONNECTIONS");  // NOLINT(concurrency-mt-unsafe)
  NcclNeeds nccl{.graph = needs.layout.graph, .leg = needs.leg, .memory = needs.memory};
  nccl.api = library.api;
  nccl.no_api_reason = library.reason;
  const std::vector<cuda::NcclSetting> settings = cuda::nccl_settings_of_this_process();
  nccl.obstacle =
      nccl_obstacle(settings, connections != nullptr ? connections : "", !needs.layout.ops.empty());
  // By the machine itself: ranks with an NCCL_HOSTID each hide from NCCL that they share a GPU.
  nccl.gpu = [&] { return needs.machine + " " + cuda::current_device_id(); };
  nccl.share_gpu = fabric.share_gpu;
  // On different ranks phases of different pieces begin in different orders.
  if (!needs.layout.ops.empty())
    nccl.order = NcclFabric::Order::within_groups;
  nccl.settings.most_ctas = static_cast<int>(fabric.nccl_ctas);
  nccl.make_queue = make_queue;
  nccl.deadline_s = needs.deadline_s;
  return meet_in_nccl(nccl);
}

struct Entry {
  plan::FabricBackend backend;
  Made (*make)(const plan::Fabric&, const FabricNeeds&);
};

constexpr std::array kBackends{Entry{plan::FabricBackend::mpi, make_mpi},
                               Entry{plan::FabricBackend::nccl, make_nccl},
                               Entry{plan::FabricBackend::cuda_aware, make_cuda_aware},
                               Entry{plan::FabricBackend::host_staged, make_host_staged}};

const Entry& entry_of(plan::FabricBackend backend) {
  const auto* const found = std::find_if(kBackends.begin(), kBackends.end(),
                                         [&](const Entry& entry) { return entry.backend == backend; });
  LOCKSTEP_EXPECT(found != kBackends.end(), "every backend is in the table");
  return *found;
}

}  // namespace

HierarchyPlan lay_out(const plan::Fabric& fabric, const step::StepGraph& graph,
                      const step::RankLayout& layout) {
  if (fabric.all_reduce == plan::AllReduce::hierarchical) {
    HierarchyOptions options;
    options.piece_bytes = std::uint64_t{fabric.piece_mib} << 20;
    return plan_hierarchy(graph, layout, options);
  }
  HierarchyPlan as_it_is;
  as_it_is.graph = graph;
  return as_it_is;
}

step::Memory& memory_for(const plan::Fabric& fabric, step::Memory& computes_in, step::Memory* gpu) {
  if (!plan::sends_from_gpu(fabric.backend)) {
    if (computes_in.on_host())
      return computes_in;
    throw InputError({.what = std::string("fabric.backend is \"") + to_string(fabric.backend) +
                              "\" and the gradients are on the GPU",
                      .why = "it sends from host memory",
                      .suggestion = "set fabric.backend = \"nccl\", or \"host-staged\"",
                      .file = {}});
  }
  if (!computes_in.on_host())
    return computes_in;
  LOCKSTEP_EXPECT(gpu != nullptr, "a fabric that sends from a GPU has memory there");
  return *gpu;
}

std::unique_ptr<step::FabricBackend> make_fabric(const plan::Fabric& fabric, const FabricNeeds& needs) {
  Made made = entry_of(fabric.backend).make(fabric, needs);
  if (needs.layout.ops.empty())
    return made;
  return std::make_unique<HierarchicalFabric>(needs.layout, std::move(made));
}

double set_up_allowance_s(const plan::Fabric& fabric, double deadline_s) {
  // Each group's communicator has its deadline in MPI; NCCL has two meetings, and agreements about them.
  return fabric.backend == plan::FabricBackend::nccl ? 5.0 * deadline_s + 60.0 : 3.0 * deadline_s;
}

}  // namespace lockstep::fabric
