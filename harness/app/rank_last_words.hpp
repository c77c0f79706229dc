#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "harness/app/rank_faults.hpp"
#include "harness/record/journal.hpp"
#include "harness/watch/watchdog.hpp"

namespace lockstep::app {

/// Ends the process without a word to the transport, when the other ranks have had time to notice the same
/// thing and to record it.
[[noreturn]] void end_beside_others(watch::RankExit code) noexcept;

/// What a rank still says before it ends itself: in its journal once there is one, and before that in a small
/// file `last-words-HOST-PID.txt` in the folder of the journals, where that is known; on standard error in
/// either case. Any thread.
class LastWords {
 public:
  /// `folder`: of the journals; empty: not known yet.
  explicit LastWords(std::string folder) : folder_(std::move(folder)) {}
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

  void set_folder(const std::string& folder);
  /// Both outlive their use; null: there is no journal any more.
  void set_journal(record::Journal* journal, const record::RankMeta* meta);

  /// Leaves the record.
  void say(const Fault& fault) noexcept;
  /// Leaves it and ends the process beside the others.
  [[noreturn]] void say_and_end(const Fault& fault, watch::RankExit code) noexcept;
  /// What a phase that did not end within its deadline amounts to, with where the rank stands.
  [[nodiscard]] Fault overdue(const watch::Expiry& expiry);

 private:
  std::mutex mutex_;
  std::string folder_;
  const record::RankMeta* meta_ = nullptr;
  std::atomic<record::Journal*> journal_{nullptr};
};

}  // namespace lockstep::app
