#include "harness/lab/relay.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"

namespace lockstep::lab {
namespace {

constexpr std::int64_t kLongestPieceNs = 100'000;
constexpr std::int64_t kLateNs = 1'000'000;
constexpr std::size_t kLargestFrame = sizeof(VirtioHeader) + 65'536;
constexpr int kPacketsPerTurn = 64;  // before other sites and what is due get their turn
constexpr int kRealTimePriority = 1;
// The least that a packet needs beside the link's delay, one way: through two bridges, two routers and this
// relay, all of them awake. A part of every delay asked for; no more than that, for no packet may be early.
constexpr std::int64_t kHopNs = 15'000;
constexpr int kNiceness = -15;

[[noreturn]] void fail(const char* what) {
  throw RunError({.what = what, .why = std::strerror(errno), .suggestion = {}, .file = {}});
}

/// Waits for events until a time, and meets that time. A timer wakes a virtual machine's idle core some 50 us
/// late, each way of each round trip; so it is asked to wake as much sooner as it was late lately, and the
/// rest is spent awake. Never more than a tenth of the time, but for a moment: with packets close to each
/// other it is late instead, by less than what they wait for each other.
class Alarm {
 public:
  int wait(int epoll, std::span<epoll_event> events, std::optional<std::int64_t> due_ns) {
    timespec time{};
    const timespec* limit = nullptr;
    const std::int64_t begin_ns = monotonic_ns();
    credit_ns_ = std::min(kMostCreditNs, credit_ns_ + (begin_ns - counted_ns_) / kShareAwake);
    counted_ns_ = begin_ns;
    const bool may_spin = credit_ns_ >= lateness_ns_;
    std::int64_t asked_ns = begin_ns;
    if (due_ns) {
      asked_ns = std::max(begin_ns, *due_ns - (may_spin ? lateness_ns_ : 0));
      time = {(asked_ns - begin_ns) / kNsPerSecond, (asked_ns - begin_ns) % kNsPerSecond};
      limit = &time;
    }
    const int ready = ::epoll_pwait2(epoll, events.data(), static_cast<int>(events.size()), limit, nullptr);
    if (ready != 0 || !due_ns)
      return ready;
    const std::int64_t woken_ns = monotonic_ns();
    if (asked_ns > begin_ns) {
      // Up at once and down slowly: one wait that was late costs less than all that are.
      const std::int64_t late_ns = std::min(woken_ns - asked_ns, kLongestSpinNs);
      lateness_ns_ =
          late_ns > lateness_ns_ ? (lateness_ns_ + late_ns) / 2 : lateness_ns_ - lateness_ns_ / kForget;
    }
    if (may_spin && woken_ns < *due_ns) {
      while (monotonic_ns() < *due_ns) {
      }
      credit_ns_ -= *due_ns - woken_ns;
    }
    return 0;
  }

 private:
  static constexpr std::int64_t kLongestSpinNs = 200'000;
  static constexpr std::int64_t kMostCreditNs = 2'000'000;
  static constexpr std::int64_t kShareAwake = 10;
  static constexpr std::int64_t kForget = 64;
  static constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  std::int64_t lateness_ns_ = 0;  ///< of the timer, as it was lately
  std::int64_t credit_ns_ = kMostCreditNs;
  std::int64_t counted_ns_ = 0;  ///< until when time has been turned into credit
};

}  // namespace

std::size_t site_of_address(std::uint32_t address, std::size_t sites) {
  constexpr std::uint32_t kFirstOctet = 10;
  const std::uint32_t second = (address >> 16) & 0xff;
  return address >> 24 == kFirstOctet && second >= 1 && second <= sites ? second - 1 : sites;
}

Relay::Relay(std::vector<UniqueFd> tuns, const std::vector<std::vector<LinkSettings>>& links,
             std::uint64_t seed)
    : tuns_(std::move(tuns)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      buffer_(kLargestFrame) {
  const std::size_t sites = tuns_.size();
  LOCKSTEP_EXPECT(links.size() == sites, "settings for every site");
  if (!epoll_.valid() || !wake_.valid())
    fail("cannot make the relay's event queue");
  const std::int64_t begin_ns = monotonic_ns();
  for (std::size_t from = 0; from < sites; ++from) {
    for (std::size_t to = 0; to < sites; ++to)
      links_.push_back(
          std::make_unique<LinkModel>(links[from][to], seed * 65'537 + from * 257 + to, begin_ns));
  }
  const auto watch = [this](int fd, std::uint64_t index) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
      fail("cannot watch a TUN device");
  };
  for (std::size_t site = 0; site < sites; ++site)
    watch(tuns_[site].get(), site);
  watch(wake_.get(), sites);
  // Signals are for the thread that made this one.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Relay::~Relay() {
  stop_.store(true);
  wake();
  thread_.join();
}

void Relay::wake() {
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_.get(), &one, sizeof one));
}

LinkModel& Relay::link(Direction direction) const {
  LOCKSTEP_EXPECT(direction.from < tuns_.size() && direction.to < tuns_.size(), "no such site");
  return *links_[direction.from * tuns_.size() + direction.to];
}

void Relay::change(Direction direction, const LinkSettings& settings) {
  {
    const std::lock_guard lock(mutex_);
    const std::int64_t now_ns = monotonic_ns();
    const double old_bits_per_s = link(direction).settings().bits_per_s;
    link(direction).change(settings, now_ns);
    if (settings.bits_per_s != old_bits_per_s)
      requeue(direction, now_ns, old_bits_per_s, settings);
  }
  wake();  // something may be due sooner than it waits for
}

void Relay::cut(Direction direction, std::int64_t until_ns) {
  const std::lock_guard lock(mutex_);
  link(direction).cut(until_ns);
}

LinkSettings Relay::settings(Direction direction) const {
  const std::lock_guard lock(mutex_);
  return link(direction).settings();
}

LinkCounters Relay::counters(Direction direction) const {
  const std::lock_guard lock(mutex_);
  return link(direction).counters();
}

bool Relay::is_down(Direction direction) const {
  const std::lock_guard lock(mutex_);
  return link(direction).is_down(monotonic_ns());
}

RelayCounters Relay::own_counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::string Relay::scheduling() const {
  const std::lock_guard lock(mutex_);
  return scheduling_;
}

void Relay::raise_priority() {
  ::prctl(PR_SET_NAME, "lockstep-relay");
  // The default slack of 50 us would come on top of every delay.
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  const sched_param real_time{.sched_priority = kRealTimePriority};
  const std::lock_guard lock(mutex_);
  if (::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &real_time) == 0)
    scheduling_ = "fifo";
  else if (::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness) == 0)
    scheduling_ = fmt::format("nice {}", kNiceness);
}

void Relay::run() {
  raise_priority();
  Alarm alarm;
  std::array<epoll_event, 16> events{};
  while (!stop_.load(std::memory_order_relaxed)) {
    const std::optional<std::int64_t> next_ns = deliver_due(monotonic_ns());
    const int ready = alarm.wait(epoll_.get(), events, next_ns);
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.u64 >= tuns_.size()) {
        std::uint64_t count = 0;
        static_cast<void>(::read(wake_.get(), &count, sizeof count));
        continue;
      }
      take_from(event.data.u64);
      // A device whose network namespace is gone would be reported for ever, at a priority above all others.
      if ((event.events & (EPOLLERR | EPOLLHUP)) != 0)
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, tuns_[event.data.u64].get(), nullptr);
    }
  }
}

void Relay::take_from(std::size_t site) {
  for (int i = 0; i < kPacketsPerTurn; ++i) {
    const ssize_t bytes = ::read(tuns_[site].get(), buffer_.data(), buffer_.size());
    if (bytes <= 0)
      return;  // nothing more, or a device that is going down
    const std::int64_t now_ns = monotonic_ns();
    accept(site, std::span(buffer_).first(static_cast<std::size_t>(bytes)), now_ns);
    static_cast<void>(deliver_due(now_ns));
  }
}

void Relay::accept(std::size_t site, std::span<const std::byte> frame, std::int64_t now_ns) {
  const auto shape = read_shape(frame);
  const std::size_t to = shape ? site_of_address(shape->destination, tuns_.size()) : tuns_.size();
  if (to == tuns_.size() || to == site) {
    const std::lock_guard lock(mutex_);
    ++counters_.unroutable;
    return;
  }
  bool passes_at_once = false;
  {
    const std::lock_guard lock(mutex_);
    const Direction direction{site, to};
    judge(link(direction), *shape, now_ns);
    for (Piece& piece : pieces_)
      piece.due_ns -= kHopNs;
    for (Spoilt& spoilt : spoilt_)
      spoilt.due_ns -= kHopNs;
    for (const Piece& piece : pieces_) {
      const bool is_whole = piece.first == 0 && piece.last + 1 == shape->segments;
      if (is_whole && piece.due_ns <= now_ns && !passes_at_once)
        passes_at_once = true;
      else
        keep(piece.sent_ns, piece.due_ns, direction, cut_out(frame, *shape, piece.first, piece.last));
    }
    for (const Spoilt& spoilt : spoilt_) {
      std::vector<std::byte> segment = cut_out(frame, *shape, spoilt.segment, spoilt.segment);
      finish_checksum(segment);
      flip_bit(segment, spoilt.bit);
      keep(spoilt.sent_ns, spoilt.due_ns, direction, std::move(segment));
    }
  }
  if (passes_at_once) {
    static_cast<void>(deliver_due(now_ns));  // what was due before it
    put(to, frame);
  }
}

void Relay::judge(LinkModel& model, const PacketShape& shape, std::int64_t now_ns) {
  pieces_.clear();
  spoilt_.clear();
  bool joins = false;  // whether the next segment may join the last piece
  for (std::uint32_t i = 0; i < shape.segments; ++i) {
    const Passage passage = model.offer(shape.segment_wire_bytes(i), now_ns);
    if (passage.fate != Fate::delivered) {
      joins = false;
      continue;
    }
    if (passage.flipped_bit) {
      spoilt_.push_back({i, *passage.flipped_bit, passage.sent_ns, passage.due_ns});
      joins = false;
    } else if (joins && passage.due_ns >= pieces_.back().due_ns &&
               passage.due_ns - pieces_.back().begin_ns <= kLongestPieceNs) {
      pieces_.back().last = i;
      pieces_.back().sent_ns = passage.sent_ns;
      pieces_.back().due_ns = passage.due_ns;
    } else {
      pieces_.push_back({i, i, passage.sent_ns, passage.due_ns, passage.due_ns});
      joins = true;
    }
    if (passage.copy_due_ns) {
      pieces_.push_back({i, i, passage.sent_ns, *passage.copy_due_ns, *passage.copy_due_ns});
      joins = false;
    }
  }
}

void Relay::keep(std::int64_t sent_ns, std::int64_t due_ns, Direction direction,
                 std::vector<std::byte> frame) {
  if (pending_bytes_ + frame.size() > kMostPendingBytes) {
    ++counters_.overflowed;
    return;
  }
  pending_bytes_ += frame.size();
  pending_.push_back({due_ns, sent_ns, next_number_++, direction, std::move(frame)});
  std::push_heap(pending_.begin(), pending_.end(), is_later);
}

void Relay::requeue(Direction direction, std::int64_t now_ns, double old_bits_per_s,
                    const LinkSettings& settings) {
  std::vector<Pending*> own;
  for (Pending& packet : pending_) {
    if (packet.direction.from == direction.from && packet.direction.to == direction.to)
      own.push_back(&packet);
  }
  std::sort(own.begin(), own.end(), [](const Pending* a, const Pending* b) { return a->number < b->number; });
  std::int64_t last_due_ns = 0;
  for (Pending* packet : own) {
    const std::int64_t sent_ns = requeued(packet->sent_ns, now_ns, old_bits_per_s, settings.bits_per_s);
    packet->due_ns += sent_ns - packet->sent_ns;
    packet->sent_ns = sent_ns;
    if (settings.keeps_order)
      packet->due_ns = std::max(packet->due_ns, last_due_ns);
    last_due_ns = std::max(packet->due_ns, last_due_ns);
  }
  std::make_heap(pending_.begin(), pending_.end(), is_later);
}

std::optional<std::int64_t> Relay::deliver_due(std::int64_t now_ns) {
  for (;;) {
    Pending packet;
    {
      const std::lock_guard lock(mutex_);
      if (pending_.empty())
        return std::nullopt;
      if (pending_.front().due_ns > now_ns)
        return pending_.front().due_ns;
      std::pop_heap(pending_.begin(), pending_.end(), is_later);
      packet = std::move(pending_.back());
      pending_.pop_back();
      pending_bytes_ -= packet.frame.size();
      if (const std::int64_t late_ns = now_ns - packet.due_ns; late_ns > kLateNs) {
        ++counters_.late;
        counters_.worst_late_ns = std::max(counters_.worst_late_ns, late_ns);
      }
    }
    put(packet.direction.to, packet.frame);
  }
}

void Relay::put(std::size_t site, std::span<const std::byte> frame) {
  if (::write(tuns_[site].get(), frame.data(), frame.size()) >= 0)
    return;
  const std::lock_guard lock(mutex_);
  ++counters_.refused;
}

}  // namespace lockstep::lab
