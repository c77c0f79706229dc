#pragma once

#include <cstdint>
#include <optional>

#include "harness/stats/random.hpp"

/// What a wide-area link does to packets, one direction of it. No clock and no socket: the caller says when a
/// packet enters, the model says whether and when it leaves.
namespace lockstep::lab {

/// Zero-mean uniform and normal jitter leave the median delay as asked; exponential jitter only adds, as
/// queues do.
enum class JitterShape {
  uniform,     ///< in [-jitter, +jitter]
  normal,      ///< standard deviation jitter
  exponential  ///< mean jitter, never negative
};

/// Loss in bursts: a two-state Markov chain, one step a packet (Gilbert, Bell Syst. Tech. J. 39, 1960;
/// Elliott, 42, 1963). Long-run loss: loss_inside * enter / (enter + leave); mean burst: 1 / leave packets.
/// Where the link has a rate, the chain goes on while the wire is idle, one step for each full-size packet
/// that would have fitted: a burst is something that happens to the link for a time, and does not wait for
/// the next packet of a quiet flow.
struct BurstLoss {
  double enter = 0.0;  ///< probability that a burst begins with this packet; 0: no bursts
  double leave = 1.0;  ///< probability that a burst is over with this packet
  double loss_inside = 1.0;
  [[nodiscard]] double long_run_loss() const;
};

/// A link that goes down again and again.
struct Flapping {
  std::int64_t period_ns = 0;  ///< 0: it does not
  std::int64_t length_ns = 0;  ///< of one outage, at the end of each period
};

/// A path that is replaced by another again and again, as between satellites: with every period the delay is
/// drawn anew, uniformly from delay to delay + spread.
struct Handover {
  std::int64_t period_ns = 0;  ///< 0: none
  std::int64_t spread_ns = 0;
};

struct LinkSettings {
  std::int64_t delay_ns = 0;
  Handover handover = {};
  std::int64_t jitter_ns = 0;
  JitterShape jitter_shape = JitterShape::uniform;
  bool keeps_order = true;        ///< jitter never lets a packet overtake
  double bits_per_s = 0.0;        ///< 0: no limit, and no queue
  std::uint64_t queue_bytes = 0;  ///< waiting for the wire, besides the packet on it; 0: unlimited
  double loss = 0.0;              ///< probabilities a packet
  double duplication = 0.0;
  double corruption = 0.0;
  BurstLoss burst_loss = {};
  Flapping flapping = {};
};

/// Throws InputError when a setting is impossible: a probability outside 0..1, a negative time or rate, an
/// outage longer than its period.
void check(const LinkSettings& settings);

enum class Fate { delivered, lost_at_random, lost_in_burst, queue_full, link_down };

struct Passage {
  Fate fate = Fate::delivered;
  std::int64_t due_ns = 0;                   ///< when it comes out, on the caller's clock
  std::optional<std::int64_t> copy_due_ns;   ///< of a duplicate
  std::optional<std::uint32_t> flipped_bit;  ///< index of a bit of the packet that arrives inverted
};

struct LinkCounters {
  std::uint64_t packets_offered = 0;
  std::uint64_t bytes_offered = 0;
  std::uint64_t packets_delivered = 0;  ///< without duplicates
  std::uint64_t bytes_delivered = 0;
  std::uint64_t lost_at_random = 0;
  std::uint64_t lost_in_burst = 0;
  std::uint64_t queue_full = 0;
  std::uint64_t link_down = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t queue_high_water_bytes = 0;
};

/// One direction between two sites. The same seed, settings and packets give the same losses and jitter;
/// loss, jitter, duplication and corruption draw from generators of their own, so that changing one leaves
/// the others as they were.
class LinkModel {
 public:
  /// `begin_ns`: when the first period of flapping and of hand-overs begins.
  LinkModel(const LinkSettings& settings, std::uint64_t seed, std::int64_t begin_ns = 0);

  /// A packet of `bytes` > 0 on the wire enters at `now_ns`; times must not go back. Losses happen on the
  /// wire, so a lost packet has taken its time there; what enters while the link is down or the queue is full
  /// takes none.
  Passage offer(std::uint32_t bytes, std::int64_t now_ns);

  /// Holds from now on. What is on its way keeps its time, and the queue stays.
  void change(const LinkSettings& settings);
  /// Down until `until_ns`; a time in the past brings the link up again.
  void cut(std::int64_t until_ns) { down_until_ns_ = until_ns; }
  [[nodiscard]] bool is_down(std::int64_t now_ns) const;
  /// Not yet on the wire at `now_ns`.
  [[nodiscard]] std::uint64_t queued_bytes(std::int64_t now_ns) const;

  [[nodiscard]] const LinkSettings& settings() const { return settings_; }
  [[nodiscard]] const LinkCounters& counters() const { return counters_; }

 private:
  void let_burst_pass(std::int64_t now_ns);
  [[nodiscard]] bool is_lost_in_burst();
  [[nodiscard]] std::int64_t draw_jitter_ns();
  [[nodiscard]] std::int64_t path_delay_ns(std::int64_t now_ns) const;
  [[nodiscard]] std::int64_t leave_at(std::int64_t sent_ns);

  LinkSettings settings_;
  stats::Random loss_;
  stats::Random bursts_;
  stats::Random jitter_;
  stats::Random duplication_;
  stats::Random corruption_;
  std::uint64_t seed_;
  LinkCounters counters_;
  std::int64_t begin_ns_;
  std::int64_t down_until_ns_;
  std::int64_t wire_free_ns_;
  std::int64_t last_due_ns_;
  bool in_burst_ = false;
};

}  // namespace lockstep::lab
