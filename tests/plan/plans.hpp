#pragma once

#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/plan/load.hpp"

/// Plans to start from, and what the loader says about a changed one.
namespace lockstep::plan {

/// Two sites found by their hosts. Line numbers in expected messages count from its first line.
inline const std::string kByHost = R"(name = "pair"
[[site]]
name = "A"
hosts = ["a[1-4]"]
slots = 2
[[site]]
name = "B"
hosts = ["b[1-2]"]
slots = 4
[workload]
model = "tiny"
sequence_length = 128
[run]
steps = 100
rounds = 2
)";

/// The same on one machine, paced.
inline const std::string kColocated = R"(name = "pair"
placement = "colocated"
[[site]]
name = "A"
slots = 2
[[site]]
name = "B"
slots = 2
[workload]
model = "nano"
sequence_length = 64
[compute]
backend = "paced"
paced_gflops = 10.0
paced_memory_gbps = 5.0
)";

/// `text` with the first `from` replaced by `to`; fails the test when there is none.
inline std::string edited(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) {
    ADD_FAILURE() << "the text to edit has no '" << from << "'";
    return text;
  }
  return text.replace(at, from.size(), to);
}

/// The loader's complaint, or "accepted".
inline std::string complaint(const std::string& text, std::span<const std::string> overrides = {}) {
  try {
    static_cast<void>(parse_plan(text, "plan.toml", overrides));
    return "accepted";
  } catch (const InputError& error) {
    return error.what();
  }
}

inline std::string complaint_about_set(const std::string& text, const std::string& assignment) {
  const std::vector<std::string> overrides{assignment};
  return complaint(text, overrides);
}

}  // namespace lockstep::plan
