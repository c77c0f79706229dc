#pragma once

namespace lockstep::stats {

/// Upper confidence bound of a failure rate after `incidents` in `exposure` (any unit: hours, node-days; the
/// bound is per that unit): chi2(confidence; 2*incidents + 2) / (2*exposure), one-sided and exact for a
/// Poisson process (Garwood, Biometrika 28, 1936). Without any incident and at 95 % it is 3.0/exposure.
/// Count incidents, not the ranks that each one took down. `exposure` > 0, 0 < confidence < 1.
[[nodiscard]] double failure_rate_upper_bound(unsigned incidents, double exposure, double confidence = 0.95);

}  // namespace lockstep::stats
