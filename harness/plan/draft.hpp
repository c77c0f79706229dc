#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/plan/place.hpp"
#include "harness/plan/plan.hpp"

/// A plan while it is being read. Internal to this room.
namespace lockstep::plan {

/// A leg as written: sites by name.
struct LegDraft {
  std::string name;
  LegKind kind = LegKind::baseline;
  std::vector<std::string> sites;
};

struct Draft {
  Plan plan;
  std::string model_name;        ///< workload.model; empty when not given
  StandsFor stands_for;          ///< becomes the plan's when [stands_for] is given
  std::string stands_for_model;  ///< stands_for.model; empty when not given
  std::vector<LegDraft> legs;    ///< empty when the plan lists none
  /// Of everything that was written, by dotted path; entries of `[[site]]` and `[[leg]]` by index
  /// (`site.0.slots`).
  std::map<std::string, Place> places;

  [[nodiscard]] bool was_given(const std::string& path) const { return places.contains(path); }
  /// Of the path itself, or of the nearest thing around it that was written.
  [[nodiscard]] Place place(std::string path) const;
};

}  // namespace lockstep::plan
