#include "harness/lab/relay.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <span>

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
#include "harness/lab/packet.hpp"

namespace lockstep::lab {
namespace {

constexpr std::int64_t kLongestPieceNs = 100'000;
constexpr std::int64_t kLateNs = 1'000'000;
constexpr std::size_t kLargestFrame = sizeof(VirtioHeader) + 65'536;
constexpr int kPacketsPerTurn = 64;  // before other sites and what is due get their turn
constexpr int kRealTimePriority = 1;
constexpr int kNiceness = -15;

[[noreturn]] void fail(const char* what) {
  throw RunError({.what = what, .why = std::strerror(errno), .suggestion = {}, .file = {}});
}

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
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_.get(), &one, sizeof one));
  thread_.join();
}

LinkModel& Relay::link(Direction direction) const {
  LOCKSTEP_EXPECT(direction.from < tuns_.size() && direction.to < tuns_.size(), "no such site");
  return *links_[direction.from * tuns_.size() + direction.to];
}

void Relay::change(Direction direction, const LinkSettings& settings) {
  const std::lock_guard lock(mutex_);
  link(direction).change(settings);
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
  std::array<epoll_event, 16> events{};
  while (!stop_.load(std::memory_order_relaxed)) {
    const std::int64_t now_ns = monotonic_ns();
    deliver_due(now_ns);
    timespec wait{};
    const timespec* limit = nullptr;
    if (!pending_.empty()) {
      const std::int64_t left_ns = std::max<std::int64_t>(0, pending_.front().due_ns - monotonic_ns());
      wait.tv_sec = left_ns / 1'000'000'000;
      wait.tv_nsec = left_ns % 1'000'000'000;
      limit = &wait;
    }
    const int ready =
        ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), limit, nullptr);
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t index = events[static_cast<std::size_t>(i)].data.u64;
      if (index < tuns_.size())
        take_from(index);
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
    deliver_due(now_ns);
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
  pieces_.clear();
  spoilt_.clear();
  {
    const std::lock_guard lock(mutex_);
    LinkModel& model = link({site, to});
    bool joins = false;  // whether the next segment may join the last piece
    for (std::uint32_t i = 0; i < shape->segments; ++i) {
      const Passage passage = model.offer(shape->segment_wire_bytes(i), now_ns);
      if (passage.fate != Fate::delivered) {
        joins = false;
        continue;
      }
      if (passage.flipped_bit) {
        spoilt_.push_back({i, *passage.flipped_bit, passage.due_ns});
        joins = false;
      } else if (joins && passage.due_ns >= pieces_.back().due_ns &&
                 passage.due_ns - pieces_.back().begin_ns <= kLongestPieceNs) {
        pieces_.back().last = i;
        pieces_.back().due_ns = passage.due_ns;
      } else {
        pieces_.push_back({i, i, passage.due_ns, passage.due_ns});
        joins = true;
      }
      if (passage.copy_due_ns) {
        pieces_.push_back({i, i, *passage.copy_due_ns, *passage.copy_due_ns});
        joins = false;
      }
    }
  }
  for (const Piece& piece : pieces_) {
    const bool is_whole = piece.first == 0 && piece.last + 1 == shape->segments;
    if (is_whole && piece.due_ns <= now_ns) {
      deliver_due(now_ns);
      put(to, frame);
    } else {
      keep(piece.due_ns, to, cut_out(frame, *shape, piece.first, piece.last));
    }
  }
  for (const Spoilt& spoilt : spoilt_) {
    std::vector<std::byte> segment = cut_out(frame, *shape, spoilt.segment, spoilt.segment);
    finish_checksum(segment);
    flip_bit(segment, spoilt.bit);
    keep(spoilt.due_ns, to, std::move(segment));
  }
}

void Relay::keep(std::int64_t due_ns, std::size_t site, std::vector<std::byte> frame) {
  const auto later = [](const Pending& a, const Pending& b) {
    return a.due_ns != b.due_ns ? a.due_ns > b.due_ns : a.number > b.number;
  };
  pending_.push_back({due_ns, next_number_++, site, std::move(frame)});
  std::push_heap(pending_.begin(), pending_.end(), later);
}

void Relay::deliver_due(std::int64_t now_ns) {
  const auto later = [](const Pending& a, const Pending& b) {
    return a.due_ns != b.due_ns ? a.due_ns > b.due_ns : a.number > b.number;
  };
  while (!pending_.empty() && pending_.front().due_ns <= now_ns) {
    std::pop_heap(pending_.begin(), pending_.end(), later);
    const Pending packet = std::move(pending_.back());
    pending_.pop_back();
    const std::int64_t late_ns = now_ns - packet.due_ns;
    if (late_ns > kLateNs) {
      const std::lock_guard lock(mutex_);
      ++counters_.late;
      counters_.worst_late_ns = std::max(counters_.worst_late_ns, late_ns);
    }
    put(packet.site, packet.frame);
  }
}

void Relay::put(std::size_t site, std::span<const std::byte> frame) {
  if (::write(tuns_[site].get(), frame.data(), frame.size()) >= 0)
    return;
  const std::lock_guard lock(mutex_);
  ++counters_.refused;
}

}  // namespace lockstep::lab
