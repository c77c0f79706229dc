#pragma once

namespace lockstep::lab {

/// After a fork: signal actions and mask as a new program expects them. Allocates nothing.
void reset_signals();

}  // namespace lockstep::lab
