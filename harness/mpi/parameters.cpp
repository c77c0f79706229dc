#include "harness/mpi/parameters.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <mpi.h>

#include "harness/mpi/error.hpp"

namespace lockstep::mpi {
namespace {

// In order of name.
constexpr auto kInteresting = std::to_array<std::string_view>({
    "btl",
    "btl_openib_eager_limit",
    "btl_openib_if_include",
    "btl_tcp_eager_limit",
    "btl_tcp_if_exclude",
    "btl_tcp_if_include",
    "btl_tcp_links",
    "btl_tcp_max_send_size",
    "btl_tcp_rcvbuf",
    "btl_tcp_rndv_eager_limit",
    "btl_tcp_sndbuf",
    "btl_vader_eager_limit",
    "btl_vader_max_send_size",
    "btl_vader_single_copy_mechanism",
    "coll",
    "coll_han_priority",
    "coll_libnbc_iallreduce_algorithm",
    "coll_libnbc_priority",
    "coll_tuned_priority",
    "coll_tuned_use_dynamic_rules",
    "mpi_yield_when_idle",
    "mtl",
    "osc",
    "pml",
    "pml_ob1_use_all_rdma",
    "pml_ucx_priority",
    "pml_ucx_tls",
});
static_assert(std::is_sorted(kInteresting.begin(), kInteresting.end()));

/// The tool interface from its start to its end; it counts its users, so it may be open elsewhere.
class ToolSession {
 public:
  ToolSession() {
    int provided = 0;
    check(MPI_T_init_thread(MPI_THREAD_SINGLE, &provided), "MPI_T_init_thread");
  }
  ToolSession(const ToolSession&) = delete;
  ToolSession& operator=(const ToolSession&) = delete;
  ~ToolSession() { static_cast<void>(MPI_T_finalize()); }
};

class Handle {
 public:
  explicit Handle(int index) {
    check(MPI_T_cvar_handle_alloc(index, nullptr, &handle_, &count_), "MPI_T_cvar_handle_alloc");
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { static_cast<void>(MPI_T_cvar_handle_free(&handle_)); }
  [[nodiscard]] int count() const { return count_; }
  void read(void* into) const { check(MPI_T_cvar_read(handle_, into), "MPI_T_cvar_read"); }

 private:
  MPI_T_cvar_handle handle_ = nullptr;
  int count_ = 0;
};

template <class T>
T read_scalar(const Handle& handle) {
  T value{};
  handle.read(&value);
  return value;
}

/// The name that an enumerated setting gives to its value.
std::optional<std::string> enum_name(MPI_T_enum type, int value) {
  int items = 0;
  std::array<char, 256> name{};
  int length = static_cast<int>(name.size());
  if (MPI_T_enum_get_info(type, &items, name.data(), &length) != MPI_SUCCESS)
    return std::nullopt;
  for (int i = 0; i < items; ++i) {
    int item = 0;
    length = static_cast<int>(name.size());
    if (MPI_T_enum_get_item(type, i, &item, name.data(), &length) == MPI_SUCCESS && item == value)
      return std::string(name.data());
  }
  return std::nullopt;
}

std::optional<std::string> read_value(const Handle& handle, MPI_Datatype type, MPI_T_enum enumeration) {
  if (type == MPI_CHAR) {
    std::string text(static_cast<std::size_t>(handle.count()) + 1, '\0');
    handle.read(text.data());
    text.resize(text.find('\0'));
    return text;
  }
  if (handle.count() != 1)
    return std::nullopt;
  if (type == MPI_INT) {
    const int value = read_scalar<int>(handle);
    if (enumeration != MPI_T_ENUM_NULL) {
      if (auto name = enum_name(enumeration, value))
        return name;
    }
    return fmt::format("{}", value);
  }
  if (type == MPI_C_BOOL)
    return read_scalar<bool>(handle) ? "true" : "false";
  if (type == MPI_UNSIGNED)
    return fmt::format("{}", read_scalar<unsigned>(handle));
  if (type == MPI_UNSIGNED_LONG)
    return fmt::format("{}", read_scalar<unsigned long>(handle));
  if (type == MPI_UNSIGNED_LONG_LONG || type == MPI_COUNT)
    return fmt::format("{}", read_scalar<unsigned long long>(handle));
  if (type == MPI_DOUBLE)
    return fmt::format("{}", read_scalar<double>(handle));
  return std::nullopt;
}

std::optional<Parameter> read_parameter(int index) {
  std::array<char, 512> name{};
  int name_length = static_cast<int>(name.size());
  std::array<char, 1> description{};
  int description_length = static_cast<int>(description.size());
  int verbosity = 0;
  int bind = 0;
  int scope = 0;
  MPI_Datatype type = MPI_DATATYPE_NULL;
  MPI_T_enum enumeration = MPI_T_ENUM_NULL;
  const int code = MPI_T_cvar_get_info(index, name.data(), &name_length, &verbosity, &type, &enumeration,
                                       description.data(), &description_length, &bind, &scope);
  // Settings of components that were unloaded keep their index and answer with an error: they are not in
  // force.
  if (code != MPI_SUCCESS || bind != MPI_T_BIND_NO_OBJECT)
    return std::nullopt;
  if (!std::binary_search(kInteresting.begin(), kInteresting.end(), std::string_view(name.data())))
    return std::nullopt;
  const Handle handle(index);
  if (auto value = read_value(handle, type, enumeration))
    return Parameter{name.data(), *value};
  return std::nullopt;
}

}  // namespace

std::vector<Parameter> performance_parameters() {
  const ToolSession session;
  int count = 0;
  check(MPI_T_cvar_get_num(&count), "MPI_T_cvar_get_num");
  std::vector<Parameter> found;
  for (int index = 0; index < count; ++index) {
    if (auto parameter = read_parameter(index))
      found.push_back(std::move(*parameter));
  }
  std::sort(found.begin(), found.end(),
            [](const Parameter& a, const Parameter& b) { return a.name < b.name; });
  return found;
}

}  // namespace lockstep::mpi
