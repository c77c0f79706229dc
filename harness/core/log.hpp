#pragma once

#include <string>
#include <string_view>

namespace lockstep {

/// Names the speaker of every later line on standard error, e.g. `lockstep-rank 3 (site A)`. Call once,
/// early.
void set_log_name(std::string_view name);

/// One line on standard error each: `lockstep: warning: ...`. Thread-safe.
void log_info(std::string_view message);
void log_warning(std::string_view message);
void log_error(std::string_view message);

}  // namespace lockstep
