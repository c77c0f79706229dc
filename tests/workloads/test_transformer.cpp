#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <gtest/gtest.h>

#include "workloads/transformer.hpp"

namespace lockstep::workloads {
namespace {

using step::Comm;
using step::Gemm;
using step::Phase;
using step::StepGraph;

plan::ModelShape small_model(bool gated) {
  return {.name = "test",
          .layers = 3,
          .hidden = 64,
          .ffn = 96,
          .heads = 8,
          .kv_heads = 4,
          .head_dim = 8,
          .vocab = 160,
          .gated_mlp = gated};
}

plan::Workload workload_of(const plan::ModelShape& model) {
  plan::Workload workload;
  workload.model = model;
  workload.sequence_length = 32;
  workload.sequences = 2;
  workload.micro_batches = 3;
  workload.bucket_parameters = 20'000;
  return workload;
}

/// FLOPs of one token after PaLM (Chowdhery et al. 2022, appendix B): 6 N + 12 L H Q T, without discount for
/// the causal mask, with N the parameters that are multiplied: all matrices and the head, not the embedding
/// look-up and the norms.
double palm_flops_per_token(const plan::Workload& workload) {
  const plan::ModelShape& m = workload.model;
  const double per_layer = 1.0 * m.hidden * (m.heads + 2.0 * m.kv_heads) * m.head_dim +
                           1.0 * m.heads * m.head_dim * m.hidden +
                           (m.gated_mlp ? 3.0 : 2.0) * m.hidden * m.ffn;
  const double multiplied = m.layers * per_layer + 1.0 * m.hidden * m.vocab;
  return 6.0 * multiplied + 12.0 * m.layers * m.heads * m.head_dim * workload.sequence_length;
}

double phase_flops(const StepGraph& graph, Phase phase) {
  double sum = 0;
  for (const auto& op : graph.ops)
    sum += op.phase == phase ? op.flops() : 0.0;
  return sum;
}

struct ShapeCase {
  const char* name;
  plan::Workload workload;
  step::RankLayout layout;
};

class TransformerShapes : public testing::TestWithParam<ShapeCase> {};

TEST_P(TransformerShapes, FlopsMatchTheClosedFormula) {
  const auto& [name, workload, layout] = GetParam();
  const StepGraph graph = build_transformer(workload, layout);
  const double tokens = 1.0 * workload.sequences * workload.sequence_length * workload.micro_batches;
  EXPECT_DOUBLE_EQ(graph.flops(), palm_flops_per_token(workload) * tokens / workload.tensor_parallel);
  EXPECT_DOUBLE_EQ(phase_flops(graph, Phase::backward), 2.0 * phase_flops(graph, Phase::forward));
  EXPECT_DOUBLE_EQ(graph.tokens_per_rank, tokens / workload.tensor_parallel);
}

TEST_P(TransformerShapes, EveryParameterIsReducedOnceAndUpdatedOnce) {
  const auto& [name, workload, layout] = GetParam();
  const StepGraph graph = build_transformer(workload, layout);
  std::uint64_t reduced = 0;
  const std::vector<OpId>& awaited = graph.ops.back().after;
  for (const OpId id : graph.comm_ops()) {
    const auto& comm = std::get<Comm>(graph.op(id).work);
    if (graph.group(comm.group).name == "data_parallel") {
      reduced += comm.elements;
      EXPECT_TRUE(comm.validated);
      EXPECT_EQ(std::count(awaited.begin(), awaited.end(), id), 1) << "the optimizer waits for it";
    }
  }
  EXPECT_DOUBLE_EQ(static_cast<double>(reduced), parameters_per_rank(workload));
  const auto& update = std::get<step::Update>(graph.ops.back().work);
  EXPECT_EQ(update.elements, reduced);
  EXPECT_EQ(std::set<BufferId>(update.gradients.begin(), update.gradients.end()).size(),
            update.gradients.size());
}

TEST_P(TransformerShapes, ABucketWaitsForItsLastGradient) {
  const auto& [name, workload, layout] = GetParam();
  const StepGraph graph = build_transformer(workload, layout);
  std::map<std::uint32_t, std::uint32_t> last_writer;  // gradient buffer -> last op that writes into it
  for (std::uint32_t i = 0; i < graph.ops.size(); ++i) {
    if (const auto* gemm = std::get_if<Gemm>(&graph.ops[i].work))
      last_writer[gemm->c.buffer.value()] = i;
  }
  for (const OpId id : graph.comm_ops()) {
    const auto& comm = std::get<Comm>(graph.op(id).work);
    if (!comm.validated || !last_writer.contains(comm.from.buffer.value()))
      continue;
    ASSERT_EQ(graph.op(id).after.size(), 1U);
    EXPECT_GE(graph.op(id).after[0].value(), last_writer[comm.from.buffer.value()]) << graph.op(id).name;
  }
}

TEST_P(TransformerShapes, GradientsTileTheirBuckets) {
  const auto& [name, workload, layout] = GetParam();
  const StepGraph graph = build_transformer(workload, layout);
  std::map<std::uint32_t, std::map<std::uint64_t, std::uint64_t>> extents;  // buffer -> offset -> elements
  std::map<std::uint64_t, int> writes;
  for (const auto& op : graph.ops) {
    const auto* gemm = std::get_if<Gemm>(&op.work);
    if (gemm == nullptr || graph.buffer(gemm->c.buffer).role != step::BufferRole::gradients)
      continue;
    const auto [entry, fresh] =
        extents[gemm->c.buffer.value()].try_emplace(gemm->c.offset, gemm->m * gemm->n);
    EXPECT_EQ(entry->second, gemm->m * gemm->n);
    EXPECT_EQ(gemm->accumulate, !fresh) << "the first micro-batch overwrites, later ones add";
  }
  for (const auto& [buffer, pieces] : extents) {
    std::uint64_t end = 0;
    for (const auto& [offset, elements] : pieces) {
      EXPECT_GE(offset, end) << "two gradients overlap";
      end = offset + elements;
    }
  }
}

plan::Workload with_dtype(plan::WorkloadDtype dtype) {
  plan::Workload workload = workload_of(small_model(true));
  workload.dtype = dtype;
  return workload;
}

const step::Buffer& result_of(const StepGraph& graph, const Gemm& gemm) {
  return graph.buffer(gemm.c.buffer);
}

TEST(TransformerDtypes, TheWorkIsTheSameInEveryOne) {
  const StepGraph f32 = build_transformer(with_dtype(plan::WorkloadDtype::f32), {{2}});
  for (const plan::WorkloadDtype dtype : {plan::WorkloadDtype::tf32, plan::WorkloadDtype::bf16,
                                          plan::WorkloadDtype::f16, plan::WorkloadDtype::fp8}) {
    const StepGraph graph = build_transformer(with_dtype(dtype), {{2}});
    ASSERT_EQ(graph.ops.size(), f32.ops.size());
    EXPECT_DOUBLE_EQ(graph.flops(), f32.flops());
    for (std::size_t i = 0; i < graph.ops.size(); ++i) {
      EXPECT_EQ(graph.ops[i].name, f32.ops[i].name);
      EXPECT_EQ(graph.ops[i].after, f32.ops[i].after);
    }
  }
}

TEST(TransformerDtypes, Tf32IsF32ButForTheProducts) {
  const StepGraph graph = build_transformer(with_dtype(plan::WorkloadDtype::tf32), {{2}});
  for (const step::Op& op : graph.ops) {
    if (const auto* gemm = std::get_if<Gemm>(&op.work)) {
      EXPECT_STREQ(gemm->precision(), "tf32");
    }
  }
  for (const step::Buffer& buffer : graph.buffers)
    EXPECT_EQ(buffer.dtype, step::Dtype::f32);
}

TEST(TransformerDtypes, In16BitsGradientsAndTheOptimizerStayWide) {
  for (const auto& [dtype, narrow] : {std::pair{plan::WorkloadDtype::bf16, step::Dtype::bf16},
                                      std::pair{plan::WorkloadDtype::f16, step::Dtype::f16}}) {
    const StepGraph graph = build_transformer(with_dtype(dtype), {{2}});
    for (const step::Op& op : graph.ops) {
      if (const auto* gemm = std::get_if<Gemm>(&op.work)) {
        EXPECT_EQ(gemm->dtype, narrow);
        const bool gradient = result_of(graph, *gemm).role == step::BufferRole::gradients;
        EXPECT_EQ(result_of(graph, *gemm).dtype, gradient ? step::Dtype::f32 : narrow) << op.name;
      } else if (const auto* comm = std::get_if<Comm>(&op.work)) {
        EXPECT_EQ(comm->dtype, step::Dtype::f32) << op.name;
      } else {
        const auto& update = std::get<step::Update>(op.work);
        EXPECT_EQ(graph.buffer(update.parameters.buffer).dtype, step::Dtype::f32);
        ASSERT_TRUE(update.copy);
        EXPECT_EQ(graph.buffer(update.copy->buffer).name, "weights");
        EXPECT_EQ(update.copy_bytes, 2U);
      }
    }
  }
}

TEST(TransformerDtypes, TensorParallelSumsAreAsWideAsTheActivations) {
  plan::Workload workload = with_dtype(plan::WorkloadDtype::bf16);
  workload.tensor_parallel = 2;
  const StepGraph graph = build_transformer(workload, {{2}});
  int sums = 0;
  for (const OpId id : graph.comm_ops()) {
    const auto& comm = std::get<Comm>(graph.op(id).work);
    const bool tensor = graph.group(comm.group).name == "tensor_parallel";
    sums += tensor ? 1 : 0;
    EXPECT_EQ(comm.dtype, tensor ? step::Dtype::bf16 : step::Dtype::f32);
    EXPECT_EQ(graph.buffer(comm.from.buffer).dtype, comm.dtype);
  }
  EXPECT_GT(sums, 0);
}

TEST(TransformerDtypes, InFp8LinearLayersAreFp8AndTheRestIsNot) {
  const StepGraph graph = build_transformer(with_dtype(plan::WorkloadDtype::fp8), {{2}});
  for (const step::Op& op : graph.ops) {
    const auto* gemm = std::get_if<Gemm>(&op.work);
    if (gemm == nullptr)
      continue;
    const step::Dtype a = graph.buffer(gemm->a.buffer).dtype;
    const step::Dtype b = graph.buffer(gemm->b.buffer).dtype;
    const bool linear = gemm->batch == 1 && op.name.find("head") == std::string::npos;
    if (!linear) {
      EXPECT_EQ(a, step::Dtype::bf16) << op.name;
      continue;
    }
    EXPECT_EQ(gemm->layout, Gemm::Layout::nt) << op.name << ": k contiguous in both";
    if (op.phase == Phase::forward) {
      EXPECT_EQ(a, step::Dtype::e4m3) << op.name;
      EXPECT_EQ(b, step::Dtype::e4m3) << op.name;
    } else {
      EXPECT_NE(a == step::Dtype::e5m2, b == step::Dtype::e5m2) << op.name << ": one of them is a gradient";
    }
  }
  const auto& update = std::get<step::Update>(graph.ops.back().work);
  EXPECT_EQ(graph.buffer(update.copy->buffer).dtype, step::Dtype::e4m3);
  EXPECT_EQ(update.copy_bytes, 1U);
}

TEST_P(TransformerShapes, NamesAreUnique) {
  const auto& [name, workload, layout] = GetParam();
  const StepGraph graph = build_transformer(workload, layout);
  std::set<std::string> names;
  for (const auto& op : graph.ops)
    EXPECT_TRUE(names.insert(op.name).second) << op.name;
}

plan::Workload tensor_parallel_workload() {
  plan::Workload workload = workload_of(small_model(true));
  workload.tensor_parallel = 2;
  return workload;
}

INSTANTIATE_TEST_SUITE_P(Shapes, TransformerShapes,
                         testing::Values(ShapeCase{"gated", workload_of(small_model(true)), {{2, 2}}},
                                         ShapeCase{"plain", workload_of(small_model(false)), {{1, 1, 1}}},
                                         ShapeCase{"tensor_parallel", tensor_parallel_workload(), {{2, 4}}}),
                         [](const auto& entry) { return std::string(entry.param.name); });

TEST(Transformer, OverlapDecidesWhenBucketsAreSent) {
  plan::Workload workload = workload_of(small_model(true));
  const StepGraph overlapped = build_transformer(workload, {{2, 2}});
  workload.overlap = false;
  const StepGraph serial = build_transformer(workload, {{2, 2}});
  ASSERT_GT(overlapped.comm_ops().size(), 2U);
  EXPECT_EQ(overlapped.comm_ops().size(), serial.comm_ops().size());
  const auto first = [](const StepGraph& graph) { return graph.op(graph.comm_ops()[0]).after[0].value(); };
  EXPECT_LT(first(overlapped), first(serial));
  EXPECT_DOUBLE_EQ(overlapped.flops(), serial.flops());
}

TEST(Transformer, WithoutClippingEachBucketIsUpdatedOnItsOwn) {
  plan::Workload workload = workload_of(small_model(true));
  const StepGraph whole = build_transformer(workload, {{2, 2}});
  workload.gradient_clipping = false;
  const StepGraph parts = build_transformer(workload, {{2, 2}});
  const std::vector<OpId> reductions = parts.comm_ops();
  ASSERT_GT(reductions.size(), 2U);
  ASSERT_EQ(parts.ops.size(), whole.ops.size() + reductions.size() - 1);
  std::uint64_t updated = 0;
  for (std::size_t i = 0; i < reductions.size(); ++i) {
    const step::Op& op = parts.ops[parts.ops.size() - reductions.size() + i];
    const auto& update = std::get<step::Update>(op.work);
    EXPECT_EQ(op.after, std::vector<OpId>{reductions[i]});
    EXPECT_EQ(update.gradients,
              std::vector<BufferId>{std::get<Comm>(parts.op(reductions[i]).work).to.buffer});
    for (const step::BufferRef& ref : {update.parameters, update.first_moment, update.second_moment})
      EXPECT_EQ(ref.offset, updated) << "parameters lie in the order of their buckets";
    updated += update.elements;
  }
  EXPECT_EQ(updated, std::get<step::Update>(whole.ops.back().work).elements);
}

TEST(Transformer, BucketsFollowTheAskedSize) {
  plan::Workload workload = workload_of(small_model(true));
  const auto buckets = [&workload] { return build_transformer(workload, {{2, 2}}).comm_ops().size(); };
  workload.bucket_parameters = 1;
  EXPECT_EQ(buckets(), 2U + 3 * 5 + 1) << "one per weight";
  workload.bucket_parameters = 0;  // 40M: everything in one
  EXPECT_EQ(buckets(), 1U);
}

TEST(Transformer, GroupsFollowTheLayout) {
  const StepGraph graph = build_transformer(tensor_parallel_workload(), {{2, 4}});
  const auto ranks = [](std::initializer_list<std::uint32_t> values) {
    std::vector<RankId> made;
    for (const auto value : values)
      made.emplace_back(value);
    return made;
  };
  EXPECT_EQ(graph.groups[0].name, "data_parallel");
  EXPECT_TRUE(graph.groups[0].spans_sites);
  EXPECT_EQ(graph.groups[0].parts, (std::vector<std::vector<RankId>>{ranks({0, 2, 4}), ranks({1, 3, 5})}));
  EXPECT_EQ(graph.groups[1].name, "tensor_parallel");
  EXPECT_FALSE(graph.groups[1].spans_sites);
  EXPECT_EQ(graph.groups[1].parts,
            (std::vector<std::vector<RankId>>{ranks({0, 1}), ranks({2, 3}), ranks({4, 5})}));
  EXPECT_FALSE(build_transformer(tensor_parallel_workload(), {{4}}).groups[0].spans_sites);
}

TEST(Transformer, TensorParallelSumsTwiceForwardAndTwiceBackwardPerLayer) {
  const plan::Workload workload = tensor_parallel_workload();
  const StepGraph graph = build_transformer(workload, {{2, 2}});
  std::uint32_t sums = 0;
  for (const OpId id : graph.comm_ops()) {
    const auto& comm = std::get<Comm>(graph.op(id).work);
    if (graph.group(comm.group).name != "tensor_parallel")
      continue;
    ++sums;
    EXPECT_EQ(comm.elements, 2U * 32 * 64) << "tokens x hidden";
  }
  EXPECT_EQ(sums, 4 * workload.model.layers * workload.micro_batches);
}

}  // namespace
}  // namespace lockstep::workloads
