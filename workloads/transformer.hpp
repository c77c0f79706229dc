#pragma once

#include "harness/plan/plan.hpp"
#include "harness/step/graph.hpp"

namespace lockstep::workloads {

/// One training step of a decoder-only transformer, data parallel over all replicas and tensor parallel
/// inside each.
///
/// Per micro-batch of T tokens and tensor-parallel degree t, each layer multiplies (m x n x k, row-major):
/// QKV T x (q+2kv)d/t x h, scores s x s x d and context s x d x s for each head, projection T x h x qd/t,
/// gate and up T x 2f/t x h (one f for a plain MLP), down T x h x f/t; then logits T x V/t x h. Backward
/// computes the gradient of every product's two inputs, so it takes twice the FLOPs of forward. With t > 1
/// the outputs of projection and down, and in backward the input gradients of QKV and gate/up, are summed
/// over the tensor-parallel group.
///
/// Gradients lie in buckets in the order in which backward completes them (head first, embedding last). A
/// bucket closes once it holds `bucket_parameters` (0: max(40M, 1M x data-parallel ranks), Megatron-LM's
/// default) and is all-reduced over the data-parallel group when its last gradient of the last micro-batch is
/// there; without `overlap`, after the whole backward pass. With `gradient_clipping`
/// the optimizer's one pass over all parameters waits for all of them, since it scales by the norm of the
/// whole gradient; without, each bucket's part is updated once that bucket is reduced, after the backward
/// pass.
///
/// Not modelled: element-wise work (norms, softmax, activation, embedding look-up). Norm weights and the
/// embedding have gradients that are communicated, and no GEMM.
///
/// In 16 bits, weights and activations are 16-bit, while gradients are made, added up and communicated in
/// f32, and the optimizer updates weights in f32 and writes a 16-bit copy (as Megatron-LM does by default).
/// In fp8, the linear layers multiply 8-bit operands with k contiguous in both, as the tensor cores of Hopper
/// ask: real programs keep a second, transposed copy of what both passes read, and here each product simply
/// reads its operand in the order that it needs. The casts to fp8 are not modelled.
///
/// `layout` gives the ranks of each site of the leg; t divides each of them.
[[nodiscard]] step::StepGraph build_transformer(const plan::Workload& workload,
                                                const step::RankLayout& layout);

/// Parameters that one rank holds: matrices split by t, norms whole. Includes embedding and head.
[[nodiscard]] double parameters_per_rank(const plan::Workload& workload);

}  // namespace lockstep::workloads
