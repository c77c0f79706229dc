#pragma once

#include <string>
#include <vector>

#include "harness/plan/plan.hpp"

namespace lockstep::plan {

/// Parameters of a decoder-only transformer with an embedding and an output head of its own:
///
///   layers * (h(q + 2kv)d + qdh + (gated ? 3 : 2)hf + 2h) + 2Vh + h
///
/// with h hidden, f ffn, q heads, kv kv_heads, d head_dim, V vocab. The norms are counted (2h a layer, h at
/// the end), biases and learned positions are not, as the current models have none. A model that ties
/// embedding and head has Vh fewer.
[[nodiscard]] double parameters(const ModelShape& shape);

/// The shapes of workloads/models.toml, in its order, built in when Lockstep was compiled. Throws InputError
/// with that file and line when one of them is not valid.
[[nodiscard]] const std::vector<ModelShape>& builtin_models();

/// Text of workloads/models.toml as it was when Lockstep was compiled.
[[nodiscard]] const char* models_text() noexcept;

}  // namespace lockstep::plan
