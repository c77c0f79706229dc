#include "harness/record/schema.hpp"

#include <algorithm>
#include <cstring>

#include "harness/record/run_file.hpp"

namespace lockstep::record {
namespace {

hdf5::Scalar scalar_of(std::uint32_t /*example*/) {
  return hdf5::Scalar::uint32;
}
hdf5::Scalar scalar_of(std::int32_t /*example*/) {
  return hdf5::Scalar::int32;
}
hdf5::Scalar scalar_of(std::uint64_t /*example*/) {
  return hdf5::Scalar::uint64;
}
hdf5::Scalar scalar_of(std::int64_t /*example*/) {
  return hdf5::Scalar::int64;
}
hdf5::Scalar scalar_of(double /*example*/) {
  return hdf5::Scalar::float64;
}

template <class Row>
hdf5::RowLayout make_layout() {
  hdf5::RowLayout made;
  for (const Column<Row>& column : table<Row>().columns) {
    hdf5::Member member{
        .name = column.name, .type = hdf5::Scalar::text, .bytes = column.text_bytes, .offset = made.bytes};
    std::visit(
        [&member](auto field) {
          using Value = std::remove_cvref_t<decltype(std::declval<Row>().*field)>;
          if constexpr (!std::is_same_v<Value, std::string>) {
            member.type = scalar_of(Value{});
            member.bytes = sizeof(Value);
          }
        },
        column.field);
    made.bytes += member.bytes;
    made.members.push_back(std::move(member));
  }
  return made;
}

/// Length of the UTF-8 character at the begin of `text`; 0 when there is none.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80)
    return first == 0 ? 0 : 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length)
    return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U)
      return 0;
  }
  // Overlong forms, surrogates, and what lies beyond the last code point.
  const unsigned second = byte(1);
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                   (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return bad ? 0 : length;
}

}  // namespace

std::string fit_text(std::string_view text, std::size_t most_bytes) {
  std::string fitted;
  while (!text.empty()) {
    const std::size_t length = character_bytes(text);
    if (fitted.size() + std::max<std::size_t>(1, length) > most_bytes)
      break;
    if (length == 0)
      fitted += '?';
    else
      fitted += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return fitted;
}

std::string fit_list(std::string_view text, std::size_t most_bytes) {
  constexpr std::string_view kCut = ",...";
  if (text.size() <= most_bytes)
    return fit_text(text, most_bytes);
  const std::size_t comma = text.rfind(',', most_bytes - std::min(most_bytes, kCut.size()));
  const std::string kept(comma == std::string_view::npos ? std::string_view() : text.substr(0, comma));
  return fit_text(kept + std::string(kCut), most_bytes);
}

template <class Row>
const hdf5::RowLayout& layout() {
  static const hdf5::RowLayout made = make_layout<Row>();
  return made;
}

template <class Row>
void encode(const Row& row, std::span<std::byte> out) {
  std::byte* at = out.data();
  for (const Column<Row>& column : table<Row>().columns) {
    std::visit(
        [&](auto field) {
          const auto& value = row.*field;
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::string>) {
            const std::string fitted = column.cut == Cut::between_items ? fit_list(value, column.text_bytes)
                                                                        : fit_text(value, column.text_bytes);
            std::memcpy(at, fitted.data(), fitted.size());
            std::memset(at + fitted.size(), 0, column.text_bytes - fitted.size());
            at += column.text_bytes;
          } else {
            std::memcpy(at, &value, sizeof value);
            at += sizeof value;
          }
        },
        column.field);
  }
}

template <class Row>
Row decode(std::span<const std::byte> bytes) {
  Row row;
  const std::byte* at = bytes.data();
  for (const Column<Row>& column : table<Row>().columns) {
    std::visit(
        [&](auto field) {
          auto& value = row.*field;
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::string>) {
            const char* characters = reinterpret_cast<const char*>(at);
            value.assign(characters, ::strnlen(characters, column.text_bytes));
            at += column.text_bytes;
          } else {
            std::memcpy(&value, at, sizeof value);
            at += sizeof value;
          }
        },
        column.field);
  }
  return row;
}

#define LOCKSTEP_INSTANTIATE(Row)                         \
  template const hdf5::RowLayout& layout<Row>();          \
  template void encode(const Row&, std::span<std::byte>); \
  template Row decode(std::span<const std::byte>)
LOCKSTEP_INSTANTIATE(LegRow);
LOCKSTEP_INSTANTIATE(LegEndRow);
LOCKSTEP_INSTANTIATE(RankRow);
LOCKSTEP_INSTANTIATE(GraphRow);
LOCKSTEP_INSTANTIATE(StepRow);
LOCKSTEP_INSTANTIATE(CommRow);
LOCKSTEP_INSTANTIATE(OpRow);
LOCKSTEP_INSTANTIATE(ClockRow);
LOCKSTEP_INSTANTIATE(StallRow);
LOCKSTEP_INSTANTIATE(FailureRow);
LOCKSTEP_INSTANTIATE(IncidentRow);
LOCKSTEP_INSTANTIATE(CheckpointRow);
LOCKSTEP_INSTANTIATE(ProbeRow);
LOCKSTEP_INSTANTIATE(DeviceRow);
LOCKSTEP_INSTANTIATE(HealthRow);
LOCKSTEP_INSTANTIATE(DrillRow);
LOCKSTEP_INSTANTIATE(EventRow);
LOCKSTEP_INSTANTIATE(ProvenanceRow);
#undef LOCKSTEP_INSTANTIATE

std::vector<ColumnInfo> schema() {
  std::vector<ColumnInfo> all;
  for_each_table([&all]<class Row>(std::vector<Row> Evidence::* /*rows*/) {
    const auto& columns = table<Row>().columns;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      all.push_back({table<Row>().name, columns[i].name, hdf5::type_name(layout<Row>().members[i]),
                     columns[i].unit, columns[i].about});
    }
  });
  return all;
}

}  // namespace lockstep::record
