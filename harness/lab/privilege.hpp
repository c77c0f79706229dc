#pragma once

#include <optional>

#include "harness/core/error.hpp"

namespace lockstep::lab {

/// Why no lab can be made here: what is missing, and what would help. nullopt when one can. Tries it in a
/// child process that leaves nothing.
[[nodiscard]] std::optional<Problem> why_no_lab();

/// Gives this process every capability in a user namespace of its own when it is not root, with the user
/// mapped to root there. Call it while there is one thread. Throws RunError.
void gain_privilege();

}  // namespace lockstep::lab
