#include "harness/fabric/make_fabric.hpp"

#include <algorithm>
#include <array>

#include "harness/core/error.hpp"
#include "harness/fabric/mpi_fabric.hpp"

namespace lockstep::fabric {
namespace {

using Maker = std::unique_ptr<step::FabricBackend> (*)(const step::StepGraph&, const mpi::Communicator&,
                                                       double);

struct Entry {
  plan::FabricBackend backend;
  Maker make;
};

std::unique_ptr<step::FabricBackend> make_mpi(const step::StepGraph& graph, const mpi::Communicator& leg,
                                              double set_up_deadline_s) {
  MpiFabric::Options options;
  options.set_up_deadline_s = set_up_deadline_s;
  return std::make_unique<MpiFabric>(graph, leg, options);
}

constexpr std::array kBackends{Entry{plan::FabricBackend::mpi, make_mpi}};

}  // namespace

std::unique_ptr<step::FabricBackend> make_fabric(const plan::Fabric& fabric, const step::StepGraph& graph,
                                                 const mpi::Communicator& leg, double set_up_deadline_s) {
  const auto* const found = std::find_if(kBackends.begin(), kBackends.end(),
                                         [&](const Entry& entry) { return entry.backend == fabric.backend; });
  if (found == kBackends.end()) {
    throw InputError({.what = std::string("fabric backend \"") + to_string(fabric.backend) +
                              "\" is not available in this version",
                      .why = {},
                      .suggestion = "use fabric.backend = \"mpi\"",
                      .file = {}});
  }
  return found->make(graph, leg, set_up_deadline_s);
}

}  // namespace lockstep::fabric
