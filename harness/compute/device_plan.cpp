#include "harness/compute/device_plan.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

constexpr std::uint64_t kAlignment = 256;
constexpr std::uint32_t kMostCopies = 7;

std::uint64_t rounded(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// The largest parts first, for the message.
std::string parts_of(const step::StepGraph& graph) {
  struct Part {
    const char* name = nullptr;
    std::uint64_t bytes = 0;
  };
  std::vector<Part> parts;
  for (const step::BufferRole role :
       {step::BufferRole::weights, step::BufferRole::gradients, step::BufferRole::reduced,
        step::BufferRole::optimizer_state, step::BufferRole::activations}) {
    Part part{to_string(role), 0};
    for (const step::Buffer& buffer : graph.buffers)
      part.bytes += buffer.role == role ? rounded(buffer.bytes()) : 0;
    parts.push_back(part);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.bytes > b.bytes; });
  std::string text;
  for (const Part& part : parts) {
    if (part.bytes > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part.name, gib(part.bytes));
  }
  return text;
}

}  // namespace

std::string gib(std::uint64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / static_cast<double>(std::uint64_t{1} << 30));
}

std::vector<BufferId> only_read(const step::StepGraph& graph) {
  std::vector<bool> read(graph.buffers.size(), false);
  std::vector<bool> written(graph.buffers.size(), false);
  const auto write = [&written](BufferId id) { written[id.value()] = true; };
  for (const step::Op& op : graph.ops) {
    if (const auto* gemm = std::get_if<step::Gemm>(&op.work)) {
      read[gemm->a.buffer.value()] = true;
      read[gemm->b.buffer.value()] = true;
      write(gemm->c.buffer);
    } else if (const auto* update = std::get_if<step::Update>(&op.work)) {
      write(update->parameters.buffer);
      write(update->first_moment.buffer);
      write(update->second_moment.buffer);
      if (update->copy)
        write(update->copy->buffer);
    } else if (const auto* comm = std::get_if<step::Comm>(&op.work);
               comm != nullptr && comm->kind != step::CommKind::barrier) {
      write(comm->to.buffer);
      write(comm->from.buffer);  // the known pattern is planted there
    }
  }
  std::vector<BufferId> found;
  for (std::uint32_t i = 0; i < graph.buffers.size(); ++i) {
    if (read[i] && !written[i])
      found.emplace_back(i);
  }
  return found;
}

DevicePlan plan_device(const step::StepGraph& graph, const DeviceLimits& limits) {
  DevicePlan plan;
  plan.workspace_bytes = limits.workspace_bytes;
  plan.reserve_bytes = limits.reserve_bytes;
  plan.fabric_bytes = limits.fabric_bytes;
  for (const step::Buffer& buffer : graph.buffers)
    plan.buffer_bytes += rounded(buffer.bytes());
  if (plan.total_bytes() > limits.free_bytes) {
    throw InputError(
        {.what = fmt::format("the workload needs {} on each GPU, and {} are free", gib(plan.total_bytes()),
                             gib(limits.free_bytes)),
         .why = fmt::format("{}; workspace {}, reserve {}, the fabric's buffers {}", parts_of(graph),
                            gib(plan.workspace_bytes), gib(plan.reserve_bytes), gib(plan.fabric_bytes)),
         .suggestion =
             "use a smaller model or sequence, more tensor-parallel ranks, or a narrower workload.dtype",
         .file = {}});
  }
  for (const BufferId id : only_read(graph)) {
    const std::uint64_t bytes = rounded(graph.buffer(id).bytes());
    if (bytes == 0 || bytes > 2 * limits.l2_bytes)
      continue;
    const std::uint64_t wanted = std::min<std::uint64_t>(kMostCopies, 2 * limits.l2_bytes / bytes);
    const std::uint64_t room = (limits.free_bytes - plan.total_bytes()) / bytes;
    const auto copies = static_cast<std::uint32_t>(std::min(wanted, room));
    if (copies == 0)
      continue;
    plan.rotations.push_back({id, copies});
    plan.rotation_bytes += copies * bytes;
  }
  return plan;
}

}  // namespace lockstep::compute
