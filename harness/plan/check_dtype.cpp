#include <string>
#include <utility>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/plan/check.hpp"

namespace lockstep::plan {
namespace {

[[noreturn]] void refuse(const Place& place, std::string what, std::string why, std::string suggestion = {}) {
  throw InputError(problem_at(place, std::move(what), std::move(why), std::move(suggestion)));
}

/// Tensor cores take fp8 operands in rows of 16.
void check_fp8(const Draft& draft) {
  constexpr std::uint64_t kRow = 16;
  const Workload& workload = draft.plan.workload;
  const ModelShape& model = workload.model;
  const std::uint64_t t = workload.tensor_parallel;
  struct Extent {
    const char* name;
    std::uint64_t value;
  };
  for (const Extent& extent :
       {Extent{"tokens in a micro-batch",
               static_cast<std::uint64_t>(workload.sequences) * workload.sequence_length},
        Extent{"hidden", model.hidden}, Extent{"ffn / tensor_parallel", model.ffn / t},
        Extent{"heads x head_dim / tensor_parallel",
               static_cast<std::uint64_t>(model.heads) * model.head_dim / t},
        Extent{"(heads + 2 kv_heads) x head_dim / tensor_parallel",
               (model.heads + 2ULL * model.kv_heads) * model.head_dim / t}}) {
    if (extent.value % kRow != 0)
      refuse(draft.place("workload.dtype"),
             fmt::format("workload.dtype is \"fp8\" and {} is {}", extent.name, extent.value),
             "tensor cores take fp8 in multiples of 16", "change the shape, or use \"bf16\"");
  }
}

}  // namespace

void check_dtype(const Draft& draft) {
  const Plan& plan = draft.plan;
  const WorkloadDtype dtype = plan.workload.dtype;
  if (dtype == WorkloadDtype::f32)
    return;
  const std::string given = fmt::format("workload.dtype is \"{}\"", to_string(dtype));
  if (plan.compute.backend == ComputeBackend::cpu)
    refuse(draft.place("workload.dtype"), given + " and compute.backend \"cpu\"",
           "the cpu backend multiplies in f32 only",
           "set workload.dtype = \"f32\", or use \"cuda\" or \"paced\"");
  const bool narrow = dtype != WorkloadDtype::tf32;
  if (narrow && plan.workload.tensor_parallel > 1 && plan.fabric.backend != FabricBackend::nccl)
    refuse(draft.place("workload.dtype"),
           given + fmt::format(", workload.tensor_parallel {} and fabric.backend \"{}\"",
                               plan.workload.tensor_parallel, to_string(plan.fabric.backend)),
           "tensor-parallel ranks add up 16-bit activations, and MPI has no sum of those",
           "set fabric.backend = \"nccl\", or workload.tensor_parallel = 1");
  if (dtype == WorkloadDtype::fp8)
    check_fp8(draft);
}

}  // namespace lockstep::plan
