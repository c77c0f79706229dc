#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/plan/load.hpp"

namespace lockstep::campaign {

/// Two sites on this machine, two ranks each, and a model that costs nothing.
inline plan::Plan colocated_plan(std::vector<std::string> overrides = {}) {
  constexpr const char* kText = R"(
name = "sample"
placement = "colocated"

[[site]]
name = "A"
slots = 2

[[site]]
name = "B"
slots = 2

[workload]
sequence_length = 8
[workload.shape]
layers = 1
hidden = 8
ffn = 16
heads = 2
kv_heads = 2
head_dim = 4
vocab = 16

[compute]
backend = "paced"
paced_gflops = 1.0
paced_memory_gbps = 1.0

[run]
steps = 10
warmup_steps = 2
rounds = 2

[criteria]
min_steps = 20
)";
  return plan::parse_plan(kText, "sample.toml", overrides);
}

/// Two sites of two hosts with four slots each, found by name.
inline plan::Plan by_host_plan(std::vector<std::string> overrides = {}) {
  constexpr const char* kText = R"(
name = "hosts"

[[site]]
name = "A"
hosts = ["gpu-a[1-2]"]
slots = 4

[[site]]
name = "B"
hosts = ["gpu-b1", "gpu-b2"]
slots = 4

[workload]
sequence_length = 8
[workload.shape]
layers = 1
hidden = 8
ffn = 16
heads = 2
kv_heads = 2
head_dim = 4
vocab = 16
)";
  return plan::parse_plan(kText, "hosts.toml", overrides);
}

}  // namespace lockstep::campaign
