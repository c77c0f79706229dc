#pragma once

namespace lockstep {

/// Version of this build, e.g. "0.1.0".
[[nodiscard]] const char* version() noexcept;

}  // namespace lockstep
