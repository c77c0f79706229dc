#pragma once

#include <vector>

#include <sys/types.h>

namespace lockstep::campaign {

/// Living processes below `ancestor`, whatever session or process group they moved to. Zombies do not count.
/// Reads /proc: a process that starts meanwhile may be missed, so whoever must leave none asks again until
/// there are none.
[[nodiscard]] std::vector<pid_t> descendants_of(pid_t ancestor);

}  // namespace lockstep::campaign
