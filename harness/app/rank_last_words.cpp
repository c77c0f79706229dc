#include "harness/app/rank_last_words.hpp"

#include <exception>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/log.hpp"
#include "harness/core/posix.hpp"
#include "harness/watch/standing.hpp"

namespace lockstep::app {
namespace {

/// Time for the other ranks to notice the same thing and to record it, before mpirun ends them all.
constexpr std::int64_t kLetOthersRecordNs = 500'000'000;

void write_beside_the_journals(const std::string& folder, const Fault& fault) {
  std::filesystem::create_directories(folder);
  const std::string name = fmt::format("{}/last-words-{}-{}.txt", folder, short_host_name(), ::getpid());
  write_text_file(name, fmt::format("{} {}: {}\n", format_utc(utc_ns()), fault.kind, fault.message));
}

}  // namespace

void end_beside_others(watch::RankExit code) noexcept {
  sleep_until_ns(monotonic_ns() + kLetOthersRecordNs);
  ::_exit(static_cast<int>(code));
}

void LastWords::set_folder(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  folder_ = folder;
}

void LastWords::set_journal(record::Journal* journal, const record::RankMeta* meta) {
  if (journal != nullptr)
    meta_ = meta;
  journal_.store(journal, std::memory_order_release);
}

void LastWords::say(const Fault& fault) noexcept {
  try {
    if (record::Journal* journal = journal_.load(std::memory_order_acquire))
      journal->add_failure(failure_row(*meta_, fault));
    log_error(fault.message);
    const std::lock_guard lock(mutex_);
    if (journal_.load(std::memory_order_acquire) == nullptr && !folder_.empty())
      write_beside_the_journals(folder_, fault);
  } catch (const std::exception& error) {
    log_error(error.what());
  }
}

void LastWords::say_and_end(const Fault& fault, watch::RankExit code) noexcept {
  say(fault);
  end_beside_others(code);
}

Fault LastWords::overdue(const watch::Expiry& expiry) {
  Fault fault{.kind = "deadline",
              .message = fmt::format("{} did not end within its deadline of {:g} s (waited {:.1f} s)",
                                     expiry.phase, expiry.allowed_s, expiry.waited_s)};
  fault.message += own_stop(expiry.stood_still_s);
  record::Journal* journal = journal_.load(std::memory_order_acquire);
  if (journal == nullptr)
    return fault;
  record::WhereAbouts& where = journal->where();
  if (where.phase.load() != record::RankPhase::stepping)
    return fault;
  const std::uint32_t step = where.step.load();
  const watch::Standing standing = watch::where_it_stands(*meta_, journal->recording(), step);
  fault.step = static_cast<std::int32_t>(step);
  if (const auto op = standing.op())
    fault.op = static_cast<std::int32_t>(*op);
  if (standing.ended)
    fault.message = fmt::format("after step {} the ranks did not agree on going on within {:g} s{}", step,
                                expiry.allowed_s, own_stop(expiry.stood_still_s));
  else
    fault.message += "; " + watch::describe(standing, monotonic_ns());
  return fault;
}

}  // namespace lockstep::app
