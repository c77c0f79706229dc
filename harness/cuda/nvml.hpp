#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// NVIDIA's management library: what a card is, and how it fares. It comes with the driver, so it is looked
/// for when it is asked for and never linked; no CUDA is needed to build or to run this.
namespace lockstep::cuda {

/// As the driver installs it.
inline constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

/// Texts are empty where the driver does not tell.
struct CardIdentity {
  std::string name;
  std::string serial;  ///< on the board
  std::string uuid;
  std::string pci_bus;  ///< as CUDA writes it: "0000:1b:00.0"
  std::string vbios;
  std::string driver;
  std::optional<double> power_limit_w;  ///< enforced
};

/// One look at a card. What the driver does not tell has no value; it is never 0 for that reason.
struct CardReading {
  std::optional<double> sm_mhz;
  std::optional<double> memory_mhz;
  std::optional<double> temperature_c;
  std::optional<double> power_w;
  std::optional<std::uint64_t> throttle;         ///< nvmlClocksEventReasons, bits
  std::optional<std::uint64_t> thermal_ns;       ///< time throttled for heat, a counter
  std::optional<std::uint64_t> ecc_corrected;    ///< since the driver was loaded, a counter
  std::optional<std::uint64_t> ecc_uncorrected;  ///< likewise
  std::optional<std::uint64_t> remapped_rows;    ///< in the card's life
  std::optional<bool> remap_pending;
  std::optional<bool> remap_failed;
  std::optional<std::uint64_t>
      link_errors;                   ///< of all active NVLinks, a counter; read in every tenth reading
  std::optional<std::uint64_t> xid;  ///< last event since the reading before; 0: none
};

namespace detail {
class NvmlLibrary;
struct NvmlEvents;
}  // namespace detail

/// One card. Keeps the library loaded. For one thread at a time.
class NvmlCard {
 public:
  NvmlCard(NvmlCard&&) noexcept;
  NvmlCard& operator=(NvmlCard&&) noexcept;
  ~NvmlCard();

  [[nodiscard]] const CardIdentity& identity() const { return identity_; }
  /// Never throws for what the driver does not tell. May take milliseconds; with a broken card or driver it
  /// may not return at all, so no thread whose progress matters may call it.
  [[nodiscard]] CardReading read();
  /// What a first reading lacked: member of CardReading, and why.
  [[nodiscard]] const std::map<std::string, std::string>& missing() const { return missing_; }

 private:
  friend class Nvml;
  NvmlCard(std::shared_ptr<const detail::NvmlLibrary> library, void* handle);
  void describe();
  void read_remapped_rows(CardReading& reading);
  void read_link_errors(CardReading& reading);
  void read_events(CardReading& reading);

  /// Asks the driver for one value; what is lacking is noted while the first reading is made.
  template <class Value, class Function, class... Arguments>
  [[nodiscard]] std::optional<Value> ask(const char* what, Function function, Arguments... arguments);
  void note_missing(const char* what, int code);

  std::shared_ptr<const detail::NvmlLibrary> library_;
  void* handle_ = nullptr;
  CardIdentity identity_;
  std::map<std::string, std::string> missing_;
  bool first_ = true;
  std::vector<unsigned> links_;  ///< active ones
  std::uint32_t readings_ = 0;
  std::optional<std::uint64_t> link_errors_;
  std::unique_ptr<detail::NvmlEvents> events_;
};

/// The library, initialised. Cards outlive it.
class Nvml {
 public:
  /// `path`: as dlopen takes it. nullopt with a reason in one line when there is no driver, or it does not
  /// work; never throws for it.
  [[nodiscard]] static std::optional<Nvml> open(std::string& reason, const std::string& path = kNvmlLibrary);

  /// Cards that this process may see, in the driver's order (CUDA's may be another).
  [[nodiscard]] std::vector<NvmlCard> cards() const;
  /// By its PCI bus id in any spelling, or by its UUID; nullopt when the driver knows none such.
  [[nodiscard]] std::optional<NvmlCard> find(const std::string& pci_bus_or_uuid) const;

 private:
  explicit Nvml(std::shared_ptr<const detail::NvmlLibrary> library) : library_(std::move(library)) {}
  std::shared_ptr<const detail::NvmlLibrary> library_;
};

/// `0000:1b:00.0` from any spelling ("00000000:1B:00.0", "1b:00.0"); empty when it is none.
[[nodiscard]] std::string normal_pci_bus(const std::string& text);

}  // namespace lockstep::cuda
