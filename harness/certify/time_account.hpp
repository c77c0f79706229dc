#pragma once

#include "harness/certify/launches.hpp"
#include "harness/certify/time_buckets.hpp"
#include "harness/record/evidence.hpp"

/// Internal to this room.
namespace lockstep::certify {

/// A step is kept when no later attempt runs it again: it lies before the first step of the next attempt, or
/// the round was completed, or a checkpoint of all ranks holds it.
[[nodiscard]] TimeAccount account_time(const Round& round, const record::Evidence& evidence);

}  // namespace lockstep::certify
