#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/check.hpp"

namespace lockstep::plan {
namespace {

struct Target {
  const char* key;
  bool given;
};

/// What a kind of drill acts on.
std::vector<std::string_view> targets_of(DrillKind kind) {
  switch (kind) {
    case DrillKind::kill:
    case DrillKind::stop:
    case DrillKind::slow:
      return {"rank", "host"};
    case DrillKind::crash:
    case DrillKind::abort:
    case DrillKind::hang:
    case DrillKind::flip:
    case DrillKind::fill:
      return {"rank"};
    case DrillKind::cut:
    case DrillKind::degrade:
      return {"between"};
    case DrillKind::lose:
      return {"site"};
  }
  LOCKSTEP_EXPECT(false, "no such kind of drill");
}

class DrillCheck {
 public:
  DrillCheck(const Draft& draft, std::size_t index)
      : draft_(draft), drill_(draft.plan.drills[index]), path_(fmt::format("drill.{}", index)) {}

  void check() const {
    check_target();
    check_leg();
    check_names();
    check_extent();
  }

 private:
  [[noreturn]] void refuse(const std::string& key, std::string what, std::string why,
                           std::string suggestion) const {
    throw InputError(
        problem_at(draft_.place(path_ + "." + key), std::move(what), std::move(why), std::move(suggestion)));
  }
  [[nodiscard]] std::string kind() const { return to_string(drill_.kind); }

  void check_target() const {
    const std::array<Target, 4> all{{{"rank", drill_.rank.has_value()},
                                     {"host", !drill_.host.empty()},
                                     {"site", !drill_.site.empty()},
                                     {"between", !drill_.between.empty()}}};
    const auto wanted = targets_of(drill_.kind);
    std::vector<std::string> names(wanted.begin(), wanted.end());
    std::size_t found = 0;
    for (const Target& target : all) {
      if (!target.given)
        continue;
      ++found;
      if (std::find(wanted.begin(), wanted.end(), target.key) == wanted.end())
        refuse(target.key, fmt::format("a drill of kind \"{}\" has {}", kind(), target.key),
               "it acts on a " + join(names, " or a "), fmt::format("give {} instead", join(names, " or ")));
    }
    if (found != 1)
      refuse("kind", fmt::format("a drill of kind \"{}\" names {} targets", kind(), found),
             "it acts on one " + join(names, " or "), fmt::format("give it {}", join(names, " or ")));
  }

  void check_leg() const {
    std::vector<std::string> names;
    for (const Leg& leg : draft_.plan.legs)
      names.push_back(leg.name);
    if (std::find(names.begin(), names.end(), drill_.leg) == names.end()) {
      const auto near = nearest_match(drill_.leg, names);
      refuse("leg", fmt::format("a drill is for the unknown leg '{}'", drill_.leg),
             "valid: " + join(names, ", "), near ? fmt::format("did you mean \"{}\"?", *near) : "");
    }
    const Run& run = draft_.plan.run;
    if (drill_.round >= run.rounds)
      refuse("round", fmt::format("a drill is for round {}", drill_.round),
             fmt::format("run.rounds is {}, and they are counted from 0", run.rounds), "lower it");
    if (drill_.step >= run.steps + run.warmup_steps)
      refuse("step", fmt::format("a drill acts at step {}", drill_.step),
             fmt::format("a launch has {} steps, warm-up included, counted from 0",
                         run.steps + run.warmup_steps),
             "lower it, or raise run.steps");
  }

  [[nodiscard]] const Leg& leg() const {
    const auto& legs = draft_.plan.legs;
    return *std::find_if(legs.begin(), legs.end(), [this](const Leg& l) { return l.name == drill_.leg; });
  }

  void check_site(const std::string& key, const std::string& name) const {
    std::vector<std::string> names;
    for (const SiteId site : leg().sites)
      names.push_back(draft_.plan.sites[site.value()].name);
    if (std::find(names.begin(), names.end(), name) != names.end())
      return;
    const auto near = nearest_match(name, names);
    refuse(key, fmt::format("a drill names site '{}'", name),
           fmt::format("leg '{}' has {}", drill_.leg, join(names, ", ")),
           near ? fmt::format("did you mean \"{}\"?", *near) : "");
  }

  void check_names() const {
    if (!drill_.site.empty())
      check_site("site", drill_.site);
    for (const std::string& name : drill_.between)
      check_site("between", name);
    if (!drill_.between.empty() && (drill_.between.size() != 2 || drill_.between[0] == drill_.between[1]))
      refuse("between", fmt::format("a drill is between {} site(s)", drill_.between.size()),
             "a link lies between two", "write between = [\"A\", \"B\"]");
    const auto ranks = declared_ranks(draft_.plan, leg());
    if (drill_.rank && ranks && *drill_.rank >= *ranks)
      refuse("rank", fmt::format("a drill acts on rank {}", *drill_.rank),
             fmt::format("leg '{}' has {} ranks, counted from 0", drill_.leg, *ranks), "lower it");
    if (draft_.plan.placement == Placement::colocated &&
        (!drill_.host.empty() || !drill_.between.empty() || !drill_.site.empty()))
      refuse("kind", fmt::format("a drill of kind \"{}\" acts on more than a rank", kind()),
             "with placement = \"colocated\" all sites are one machine, which is this one",
             "give it a rank, or run the plan in a lab");
  }

  void check_extent() const {
    const bool slow = drill_.kind == DrillKind::slow;
    if (slow != draft_.was_given(path_ + ".factor"))
      refuse(slow ? "kind" : "factor",
             fmt::format("a drill of kind \"{}\" has {} factor", kind(), slow ? "no" : "a"),
             "it says how many times as long computing takes",
             slow ? "add factor = 3.0, for example" : "remove it");
    const bool degrade = drill_.kind == DrillKind::degrade;
    if (degrade == drill_.settings.empty())
      refuse(degrade ? "kind" : "settings",
             fmt::format("a drill of kind \"{}\" has {}settings", kind(), degrade ? "no " : ""),
             "they say what becomes of the link",
             degrade ? "add settings = [\"loss=1%\"], for example" : "remove them");
    const bool has_way = degrade || drill_.kind == DrillKind::cut;
    if (!has_way && draft_.was_given(path_ + ".one_way"))
      refuse("one_way", fmt::format("a drill of kind \"{}\" has one_way", kind()), "only a link has two ways",
             "remove it");
    const bool is_for_good = drill_.kind == DrillKind::kill || drill_.kind == DrillKind::crash ||
                             drill_.kind == DrillKind::abort || drill_.kind == DrillKind::flip ||
                             drill_.kind == DrillKind::lose;
    if (is_for_good && draft_.was_given(path_ + ".for_s"))
      refuse("for_s", fmt::format("a drill of kind \"{}\" has for_s", kind()), "it cannot be taken back",
             "remove it");
  }

  const Draft& draft_;
  const Drill& drill_;
  std::string path_;
};

}  // namespace

void resolve_drills(Draft& draft) {
  const auto& legs = draft.plan.legs;
  const auto joint =
      std::find_if(legs.begin(), legs.end(), [](const Leg& leg) { return leg.kind == LegKind::joint; });
  for (std::size_t i = 0; i < draft.plan.drills.size(); ++i) {
    Drill& drill = draft.plan.drills[i];
    if (!draft.was_given(fmt::format("drill.{}.leg", i)))
      drill.leg = joint->name;
    DrillCheck(draft, i).check();
  }
}

void check_recovery(const Draft& draft) {
  const Plan& plan = draft.plan;
  const bool has_spares =
      std::any_of(plan.sites.begin(), plan.sites.end(), [](const Site& s) { return !s.spares.empty(); });
  if (plan.recovery.policy == RestartPolicy::spare && !has_spares)
    throw InputError(problem_at(draft.place("recovery.policy"),
                                "recovery.policy is \"spare\", but no site has spares",
                                "hosts in reserve take the place of those that fail",
                                "add spares = [\"...\"] to a [[site]], or choose \"exclude\""));
  if (plan.recovery.policy != RestartPolicy::stop && plan.placement == Placement::colocated &&
      plan.recovery.policy != RestartPolicy::same)
    throw InputError(problem_at(
        draft.place("recovery.policy"),
        fmt::format("recovery.policy is \"{}\"", to_string(plan.recovery.policy)),
        "with placement = \"colocated\" there is one host, which can be neither left out nor replaced",
        "choose \"same\" or \"stop\""));
}

}  // namespace lockstep::plan
