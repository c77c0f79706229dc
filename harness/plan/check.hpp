#pragma once

#include "harness/plan/draft.hpp"

/// What the key table cannot say: whether the parts of a plan fit together. Internal to this room. All throw
/// InputError.
namespace lockstep::plan {

/// Resolves the model and the legs, then checks everything.
void check_draft(Draft& draft);

/// The model's shape by itself.
void check_shape(const Draft& draft);

/// Each host in one site only, hosts where they are needed and nowhere else. Returns nothing; a plan that
/// passes can be asked for declared_ranks().
void check_hosts(const Draft& draft);

/// Drills by themselves and against legs, sites and the run; a drill without a leg gets the joint one. After
/// the legs.
void resolve_drills(Draft& draft);
/// The restart policy has what it needs.
void check_recovery(const Draft& draft);

/// The workload's dtype against its shape, the compute and the fabric backend.
void check_dtype(const Draft& draft);

}  // namespace lockstep::plan
