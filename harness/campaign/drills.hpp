#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/plan/plan.hpp"
#include "harness/record/evidence.hpp"

namespace lockstep::campaign {

/// Makes a fault that no rank can make itself (a cut link, a host that is switched off), or takes it back.
/// Returns how, for the evidence. Throws RunError when it cannot.
enum class FaultAction { make, take_back };
using FaultMaker = std::function<std::string(const plan::Drill&, FaultAction)>;

/// Whether ranks make this fault themselves.
[[nodiscard]] bool is_made_by_ranks(const plan::Drill& drill);
/// Throws InputError when the plan has drills that may not be made here: outside of a lab only those that act
/// on Lockstep's own ranks can be, and only when they were allowed.
void check_drills_allowed(const plan::Plan& plan, bool in_lab, bool allowed);

/// The drills of one leg and round, over all its attempts: each is made once.
class Drills {
 public:
  Drills(const plan::Plan& plan, const std::string& leg, std::uint32_t round);

  /// Those that the ranks of the next attempt are to make, by index in the plan.
  [[nodiscard]] std::vector<std::uint32_t> of_ranks() const;
  /// Training steps that some rank has completed: faults made by ranks at earlier steps have been made.
  void note_progress(std::uint32_t training_steps);
  /// Makes and takes back what is due by now; the rows tell what was done. `step` of a row is in the
  /// numbering of the launch that began at `first_step`. A fault that cannot be made is told as a row, too.
  [[nodiscard]] std::vector<record::DrillRow> act(const FaultMaker& make, std::uint32_t leg_index,
                                                  std::uint32_t training_steps, std::uint32_t first_step,
                                                  std::int64_t now_ns, std::int64_t now_utc_ns);
  /// Takes back everything that is still there: the leg and round are over. Rows of what was taken back.
  [[nodiscard]] std::vector<record::DrillRow> take_back_all(const FaultMaker& make, std::int64_t now_utc_ns);

 private:
  struct Entry {
    std::uint32_t index = 0;
    const plan::Drill* drill = nullptr;
    std::optional<std::int64_t> step_seen_ns;
    bool made = false;
    bool taken_back = false;
    std::int64_t made_ns = 0;
    record::DrillRow row;
  };
  void take_back(Entry& entry, const FaultMaker& make, std::int64_t now_utc_ns,
                 std::vector<record::DrillRow>& rows);

  std::vector<Entry> entries_;
};

}  // namespace lockstep::campaign
