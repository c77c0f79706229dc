#include "harness/fabric/pattern_validator.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/fabric/pattern.hpp"

namespace lockstep::fabric {
namespace {

using step::Comm;
using step::CommKind;
using step::Dtype;

/// Elements of a buffer as numbers, whichever of the two dtypes they are stored in, and wherever they are. On
/// a device each is copied by itself: there are few, and only in checked steps.
class Elements {
 public:
  Elements(step::BufferSet& buffers, std::byte* data, Dtype dtype)
      : buffers_(buffers), data_(data), dtype_(dtype), on_host_(buffers.memory().on_host()) {
    LOCKSTEP_EXPECT(dtype == Dtype::f32 || dtype == Dtype::f64, "the pattern is written in f32 and f64 only");
  }
  void set(std::uint64_t index, std::uint64_t value) {
    if (dtype_ == Dtype::f32)
      store(index, static_cast<float>(value));
    else
      store(index, static_cast<double>(value));
  }
  [[nodiscard]] double get(std::uint64_t index) const {
    return dtype_ == Dtype::f32 ? static_cast<double>(load<float>(index)) : load<double>(index);
  }

 private:
  template <class Real>
  void store(std::uint64_t index, Real value) {
    if (on_host_)
      reinterpret_cast<Real*>(data_)[index] = value;
    else
      buffers_.write(data_ + index * sizeof(Real), std::as_bytes(std::span(&value, 1)));
  }
  template <class Real>
  [[nodiscard]] Real load(std::uint64_t index) const {
    if (on_host_)
      return reinterpret_cast<const Real*>(data_)[index];
    Real value{};
    buffers_.read(data_ + index * sizeof(Real), std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  step::BufferSet& buffers_;
  std::byte* data_;
  Dtype dtype_;
  bool on_host_;
};

/// How the elements of a result are laid out: `blocks` of `length`, sampled at the same places in each.
struct Blocks {
  std::uint64_t blocks = 1;
  std::uint64_t length = 0;
};

Blocks input_blocks(const Comm& comm, std::uint64_t ranks) {
  switch (comm.kind) {
    case CommKind::reduce_scatter:
    case CommKind::all_to_all:
      return {ranks, comm.elements / ranks};
    case CommKind::all_gather:
      return {1, comm.elements / ranks};
    default:
      return {1, comm.elements};
  }
}

Blocks output_blocks(const Comm& comm, std::uint64_t ranks) {
  switch (comm.kind) {
    case CommKind::all_gather:
    case CommKind::all_to_all:
      return {ranks, comm.elements / ranks};
    case CommKind::reduce_scatter:
      return {1, comm.elements / ranks};
    default:
      return {1, comm.elements};
  }
}

bool all_ranks_end_alike(CommKind kind) {
  return kind == CommKind::all_reduce || kind == CommKind::all_gather || kind == CommKind::broadcast;
}

/// What one rank of a part must find in its result.
class Expectation {
 public:
  Expectation(const Pattern& pattern, CommKind kind, std::span<const RankId> ranks, std::uint64_t position)
      : pattern_(pattern), kind_(kind), ranks_(ranks), position_(position) {
    if (kind == CommKind::all_reduce || kind == CommKind::reduce_scatter)
      terms_ = pattern.sum_of_terms(ranks);
  }
  /// Element `place` of block `block`; blocks have `length` elements.
  [[nodiscard]] std::uint64_t at(std::uint64_t block, std::uint64_t place, std::uint64_t length) const {
    const std::uint64_t n = ranks_.size();
    switch (kind_) {
      case CommKind::all_reduce:
        return pattern_.sum(n, terms_, place);
      case CommKind::reduce_scatter:
        return pattern_.sum(n, terms_, position_ * length + place);
      case CommKind::all_gather:
        return pattern_.value(ranks_[block], place);
      case CommKind::broadcast:
        return pattern_.value(ranks_.front(), place);
      case CommKind::all_to_all:
        return pattern_.value(ranks_[block], position_ * length + place);
      case CommKind::send_recv:
        return pattern_.value(ranks_[(position_ + n - 1) % n], place);
      case CommKind::barrier:
        break;
    }
    return 0;
  }

 private:
  const Pattern& pattern_;
  CommKind kind_;
  std::span<const RankId> ranks_;
  std::uint64_t position_;
  std::uint64_t terms_ = 0;
};

}  // namespace

PatternValidator::PatternValidator(const step::StepGraph& graph, RankId self, std::uint32_t samples)
    : graph_(graph), self_(self), samples_(samples), memberships_(graph.groups.size()) {
  LOCKSTEP_EXPECT(samples > 0, "a check looks at one element at least");
  for (const OpId id : graph.comm_ops()) {
    const GroupId group = std::get<Comm>(graph.op(id).work).group;
    const std::vector<RankId>& part = step::part_of(graph.group(group), self);
    LOCKSTEP_EXPECT(part.size() <= kMostRanks, "a sum over so many ranks is not exact in fp32");
    const auto position = std::find(part.begin(), part.end(), self) - part.begin();
    memberships_[group.value()] = {part, static_cast<std::uint64_t>(position)};
  }
}

std::uint64_t PatternValidator::samples_of(std::uint64_t elements, std::uint64_t blocks) const {
  return std::min(elements, std::max<std::uint64_t>(1, samples_ / blocks));
}

void PatternValidator::plant(std::uint32_t step, std::uint32_t comm_index, const Comm& comm,
                             step::BufferSet& buffers) {
  if (comm.kind == CommKind::barrier)
    return;
  const std::uint64_t ranks = memberships_[comm.group.value()].ranks.size();
  const Blocks in = input_blocks(comm, ranks);
  const Pattern pattern(step, comm_index);
  Elements from(buffers, buffers.at(graph_, comm.from), comm.dtype);
  // What is planted in one place of a block is what comes out in that place of another one.
  const std::uint64_t samples = samples_of(in.length, std::max(in.blocks, output_blocks(comm, ranks).blocks));
  for (std::uint64_t block = 0; block < in.blocks; ++block) {
    for (std::uint64_t i = 0; i < samples; ++i) {
      const std::uint64_t element = block * in.length + pattern.position(i, samples, in.length);
      from.set(element, pattern.value(self_, element));
    }
  }
}

std::uint64_t PatternValidator::first_sample(std::uint32_t step, std::uint32_t comm_index,
                                             const Comm& comm) const {
  const std::uint64_t ranks = memberships_[comm.group.value()].ranks.size();
  const Blocks out = output_blocks(comm, ranks);
  const std::uint64_t samples =
      samples_of(out.length, std::max(out.blocks, input_blocks(comm, ranks).blocks));
  return Pattern(step, comm_index).position(0, samples, out.length);
}

step::ValidationResult PatternValidator::check(std::uint32_t step, std::uint32_t comm_index, const Comm& comm,
                                               step::BufferSet& buffers) {
  step::ValidationResult result;
  if (comm.kind == CommKind::barrier)
    return result;
  const Membership& member = memberships_[comm.group.value()];
  const std::uint64_t ranks = member.ranks.size();
  const Blocks out = output_blocks(comm, ranks);
  const Pattern pattern(step, comm_index);
  const Expectation expectation(pattern, comm.kind, member.ranks, member.position);
  const Elements to(buffers, buffers.at(graph_, comm.to), comm.dtype);
  const bool alike = all_ranks_end_alike(comm.kind);
  const std::uint64_t samples =
      samples_of(out.length, std::max(out.blocks, input_blocks(comm, ranks).blocks));
  for (std::uint64_t block = 0; block < out.blocks; ++block) {
    for (std::uint64_t i = 0; i < samples; ++i) {
      const std::uint64_t place = pattern.position(i, samples, out.length);
      const auto expected = static_cast<double>(expectation.at(block, place, out.length));
      const double observed = to.get(block * out.length + place);
      // Negated, so that a NaN is wrong as well.
      if (!(observed == expected) && result.wrong++ == 0)
        result.first = {block * out.length + place, expected, observed};
      const double summed = alike ? observed : observed - expected;
      result.checksum = mix64(result.checksum ^ std::bit_cast<std::uint64_t>(summed));
    }
  }
  if (result.checksum == 0)
    result.checksum = 1;  // 0 stands for "not validated"
  return result;
}

}  // namespace lockstep::fabric
