#pragma once

#include <string>
#include <utility>

#include "harness/step/graph.hpp"

namespace lockstep::compute::testing {

inline step::Buffer buffer(std::string name, std::uint64_t elements,
                           step::BufferRole role = step::BufferRole::activations) {
  step::Buffer made;
  made.name = std::move(name);
  made.role = role;
  made.elements = elements;
  return made;
}

/// Buffers 0..2 are A, B and C of one product that fills them exactly.
inline step::StepGraph product_graph(step::Gemm gemm) {
  step::StepGraph graph;
  graph.buffers = {buffer("a", gemm.m * gemm.k * gemm.batch), buffer("b", gemm.k * gemm.n * gemm.batch),
                   buffer("c", gemm.m * gemm.n * gemm.batch)};
  gemm.a = {BufferId{0}, 0};
  gemm.b = {BufferId{1}, 0};
  gemm.c = {BufferId{2}, 0};
  step::Op op;
  op.name = "product";
  op.work = gemm;
  graph.ops = {op};
  return graph;
}

inline step::Gemm gemm_of(std::uint64_t m, std::uint64_t n, std::uint64_t k) {
  step::Gemm gemm;
  gemm.m = m;
  gemm.n = n;
  gemm.k = k;
  return gemm;
}

/// Buffers 0 and 1 are gradients of 3 and 5 elements; 2, 3 and 4 parameters and moments.
inline step::StepGraph update_graph() {
  step::StepGraph graph;
  graph.buffers = {buffer("g0", 3, step::BufferRole::reduced), buffer("g1", 5, step::BufferRole::reduced),
                   buffer("p", 8, step::BufferRole::weights),
                   buffer("m", 8, step::BufferRole::optimizer_state),
                   buffer("v", 8, step::BufferRole::optimizer_state)};
  step::Update update;
  update.elements = 8;
  update.gradients = {BufferId{0}, BufferId{1}};
  update.parameters = {BufferId{2}, 0};
  update.first_moment = {BufferId{3}, 0};
  update.second_moment = {BufferId{4}, 0};
  step::Op op;
  op.name = "optimizer";
  op.work = update;
  graph.ops = {op};
  return graph;
}

}  // namespace lockstep::compute::testing
