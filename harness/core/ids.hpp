#pragma once

#include <cstdint>
#include <functional>

namespace lockstep {

/// An index that cannot be mistaken for another kind of index. `Tag` is never defined.
template <class Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(std::uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }
  constexpr bool operator==(const StrongId&) const = default;
  constexpr bool operator<(const StrongId& other) const { return value_ < other.value_; }

 private:
  std::uint32_t value_ = 0;
};

/// Rank in the communicator of a leg: ordered site by site, then host by host.
using RankId = StrongId<struct RankTag>;
/// Index of a host among the hosts of a leg.
using NodeId = StrongId<struct NodeTag>;
/// Index of a site in the plan's order of declaration.
using SiteId = StrongId<struct SiteTag>;
/// Index of an op in its step graph.
using OpId = StrongId<struct OpTag>;
/// Index of a buffer in its step graph.
using BufferId = StrongId<struct BufferTag>;
/// Index of a rank group in its step graph.
using GroupId = StrongId<struct GroupTag>;

}  // namespace lockstep

template <class Tag>
struct std::hash<lockstep::StrongId<Tag>> {
  std::size_t operator()(lockstep::StrongId<Tag> id) const noexcept {
    return std::hash<std::uint32_t>{}(id.value());
  }
};
