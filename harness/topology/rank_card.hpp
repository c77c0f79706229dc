#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/mpi/communicator.hpp"
#include "harness/plan/plan.hpp"

namespace lockstep::topology {

/// What each rank tells all others about itself before anything else is done together.
struct RankCard {
  std::uint32_t world_rank = 0;        ///< as mpirun numbered it
  std::string host;                    ///< as gethostname gives it
  std::vector<std::string> addresses;  ///< numeric IPv4/IPv6 addresses of its interfaces, without loopback
  std::string boot_id;                 ///< of the kernel it runs on
  std::string clock_domain;            ///< ranks with equal values read the same CLOCK_MONOTONIC
  std::int64_t pid = 0;
  std::string cores;        ///< CPUs it may run on, e.g. "0-3,8"
  std::string binary_hash;  ///< SHA-256 of the program file
  std::string plan_hash;    ///< SHA-256 of the plan's text
  std::string leg;          ///< name of the leg that it believes it runs
  std::string site;         ///< name; empty when none was found
  std::string problem;      ///< why the site could not be looked up; else empty
};

/// This process's card. The site is LOCKSTEP_SITE where that is set, the next free slot in the leg's sites
/// when the plan is colocated, and otherwise the site that names the host. Never throws for a site that
/// cannot be found: all ranks then learn of it together, from check_agreement(). Throws RunError when the
/// program file cannot be read.
[[nodiscard]] RankCard make_rank_card(const plan::Plan& plan, const plan::Leg& leg, std::uint32_t world_rank);

[[nodiscard]] std::string encode(const RankCard& card);
/// Throws RunError when the text is no card, as when another version of the program sent it.
[[nodiscard]] RankCard decode_rank_card(std::string_view text);

/// Every rank's card on every rank, in order of rank. Throws mpi::DeadlineError when a rank does not answer.
[[nodiscard]] std::vector<RankCard> exchange_cards(const mpi::Communicator& world, const RankCard& own,
                                                   double deadline_s);

/// `0-3,8` from ascending numbers.
[[nodiscard]] std::string format_ranges(const std::vector<std::uint32_t>& numbers);

}  // namespace lockstep::topology
