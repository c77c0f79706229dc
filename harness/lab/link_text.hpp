#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/lab/link_model.hpp"

/// A link's settings as text: one grammar for specification files and for the command line.
namespace lockstep::lab {

struct LinkKey {
  const char* name;
  const char* example;
  const char* meaning;
};
/// Every key that a link has, in the order in which they take effect.
[[nodiscard]] std::span<const LinkKey> link_keys();

struct KeyValue {
  std::string key;
  std::string value;
};

/// Splits `rtt=20ms`. Throws InputError when there is no `=` or the key is unknown.
[[nodiscard]] KeyValue parse_link_word(std::string_view word);

/// `settings` with the given keys replaced. A rate without a queue gets one of the larger of 512 KiB and one
/// round trip at that rate, which is what routers are usually given (Villamizar and Song, Comput. Commun.
/// Rev. 24, 1994). Throws InputError for an unknown key, a value that cannot be read, or settings that
/// check() refuses.
[[nodiscard]] LinkSettings apply(const LinkSettings& settings, std::span<const KeyValue> changes);

/// Reads back to the same settings; only what differs from a link that does nothing, `rtt=0` when nothing
/// does.
[[nodiscard]] std::string describe(const LinkSettings& settings);

}  // namespace lockstep::lab
