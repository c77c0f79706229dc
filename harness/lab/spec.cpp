#include "harness/lab/spec.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/lab/lab_folder.hpp"
#include "harness/lab/link_text.hpp"
#include "harness/plan/sites.hpp"
#include "harness/plan/toml.hpp"

namespace lockstep::lab {
namespace {

constexpr std::int64_t kLeastMtu = 576;
constexpr std::int64_t kLargestMtu = 9216;

class SpecReader {
 public:
  SpecReader(std::string_view text, std::string file) : file_(std::move(file)) {
    spec_.path = file_;
    spec_.text = text;
    root_ = plan::parse_toml(text, file_);
  }

  LabSpec read() {
    read_table(
        root_, "",
        {{"name", [this](const toml::node& n) { spec_.name = string_of(n, "name"); }},
         {"description", [this](const toml::node& n) { spec_.description = string_of(n, "description"); }},
         {"seed",
          [this](const toml::node& n) {
            spec_.seed = static_cast<std::uint64_t>(integer_of(n, "seed", 0, INT64_MAX));
          }},
         {"site",
          [this](const toml::node& n) { for_each(n, "site", [this](const auto& t) { read_site(t); }); }},
         {"link", [](const toml::node&) {}}});
    if (spec_.name.empty())
      spec_.name = std::filesystem::path(file_).stem().string();
    check_name(root_, "name", spec_.name);
    if (spec_.sites.size() < 2)
      refuse(root_, "a lab needs two sites at least", "a link lies between two", "add a [[site]]");
    if (spec_.sites.size() > kMostSites)
      refuse(root_, fmt::format("{} sites", spec_.sites.size()),
             fmt::format("a lab has at most {}", kMostSites), "");
    check_hosts();
    const LinkSettings nothing;
    spec_.links.assign(spec_.sites.size(), std::vector<LinkSettings>(spec_.sites.size(), nothing));
    if (const toml::node* links = root_.get("link"))
      for_each(*links, "link", [this](const auto& t) { read_link(t); });
    return std::move(spec_);
  }

 private:
  struct Known {
    const char* key;
    std::function<void(const toml::node&)> read;
  };

  [[noreturn]] void refuse(const toml::node& node, std::string what, std::string why,
                           std::string suggestion) {
    throw InputError(plan::problem_at(plan::place_of(node, file_), std::move(what), std::move(why),
                                      std::move(suggestion)));
  }

  void read_table(const toml::table& table, const std::string& where, const std::vector<Known>& known) {
    for (const auto& [key, node] : table) {
      const auto found = std::find_if(known.begin(), known.end(),
                                      [k = key.str()](const Known& entry) { return k == entry.key; });
      if (found != known.end()) {
        found->read(node);
        continue;
      }
      std::vector<std::string> names;
      names.reserve(known.size());
      for (const Known& entry : known)
        names.emplace_back(entry.key);
      const auto nearest = nearest_match(key.str(), names);
      refuse(
          node, fmt::format("unknown key '{}{}'", where, key.str()), "",
          nearest ? fmt::format("did you mean '{}{}'?", where, *nearest) : "known are " + join(names, ", "));
    }
  }

  void for_each(const toml::node& node, const char* name,
                const std::function<void(const toml::table&)>& read) {
    const toml::array* entries = node.as_array();
    if (entries == nullptr)
      refuse(node, fmt::format("{} is {}", name, plan::type_of(node)), "there are several",
             fmt::format("write [[{}]] with double brackets", name));
    for (const toml::node& entry : *entries) {
      if (entry.as_table() == nullptr)
        refuse(entry, fmt::format("{} is {}", name, plan::type_of(entry)), "it must be a table",
               fmt::format("write [[{}]] and its keys below", name));
      read(*entry.as_table());
    }
  }

  std::string string_of(const toml::node& node, const char* key) {
    if (const auto text = node.value_exact<std::string>())
      return *text;
    refuse(node, fmt::format("{} is {}", key, plan::type_of(node)), "it must be a string",
           "put it in quotes");
  }

  std::int64_t integer_of(const toml::node& node, const char* key, std::int64_t least, std::int64_t most) {
    const auto value = node.value_exact<std::int64_t>();
    if (value && *value >= least && *value <= most)
      return *value;
    refuse(node, fmt::format("{} is no integer from {} to {}", key, least, most), "", "");
  }

  std::vector<std::string> strings_of(const toml::node& node, const char* key) {
    std::vector<std::string> texts;
    const toml::array* entries = node.as_array();
    if (entries == nullptr)
      refuse(node, fmt::format("{} is {}", key, plan::type_of(node)), "it must be an array of strings",
             fmt::format("write {} = [\"...\"]", key));
    for (const toml::node& entry : *entries)
      texts.push_back(string_of(entry, key));
    return texts;
  }

  /// Names become host names and parts of paths.
  void check_name(const toml::node& node, const char* key, const std::string& name) {
    if (!is_name(name))
      refuse(node, fmt::format("{} = \"{}\"", key, name),
             "names are of letters, digits and '-', as host names are", "choose another name");
  }

  void read_site(const toml::table& table) {
    LabSite site;
    read_table(table, "site.",
               {{"name",
                 [&](const toml::node& n) {
                   site.name = string_of(n, "site.name");
                   if (spec_.find_site(site.name) < spec_.sites.size())
                     refuse(n, fmt::format("two sites are named \"{}\"", site.name),
                            "links refer to them by name", "rename one");
                   check_name(n, "site.name", site.name);
                 }},
                {"hosts",
                 [&](const toml::node& n) {
                   for (const std::string& pattern : strings_of(n, "site.hosts"))
                     add_hosts(n, pattern, site.hosts);
                   if (site.hosts.empty() || site.hosts.size() > kMostHostsOfSite)
                     refuse(n, fmt::format("site.hosts has {} hosts", site.hosts.size()),
                            fmt::format("a site of a lab has 1 to {}", kMostHostsOfSite), "");
                 }},
                {"mtu",
                 [&](const toml::node& n) {
                   site.mtu = static_cast<std::uint32_t>(integer_of(n, "site.mtu", kLeastMtu, kLargestMtu));
                 }},
                {"sysctl", [&](const toml::node& n) { site.sysctl = read_sysctl(n); }}});
    if (site.name.empty())
      refuse(table, "a site has no name", "links refer to sites by name", "add name = \"...\"");
    if (site.hosts.empty())
      refuse(table, fmt::format("site \"{}\" has no hosts", site.name), "", "add hosts = [\"a[1-2]\"]");
    spec_.sites.push_back(std::move(site));
  }

  void add_hosts(const toml::node& node, const std::string& pattern, std::vector<std::string>& hosts) {
    std::vector<std::string> names;
    try {
      names = plan::expand_hosts(pattern);
    } catch (const InputError& error) {
      refuse(node, error.problem().what, error.problem().why, error.problem().suggestion);
    }
    for (std::string& name : names) {
      check_name(node, "site.hosts", name);
      hosts.push_back(std::move(name));
    }
  }

  std::map<std::string, std::string> read_sysctl(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr)
      refuse(node, fmt::format("site.sysctl is {}", plan::type_of(node)), "it must be a table",
             "write [site.sysctl] and lines such as \"net.ipv4.tcp_rmem\" = \"4096 131072 6291456\"");
    std::map<std::string, std::string> settings;
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      if (!name.starts_with("net.") || name.find('/') != std::string::npos ||
          name.find("..") != std::string::npos)
        refuse(value, fmt::format("site.sysctl has '{}'", name),
               "only a host's network settings (net.*) are its own", "remove it");
      settings[name] =
          value.is_integer() ? std::to_string(*value.value<std::int64_t>()) : string_of(value, "sysctl");
    }
    return settings;
  }

  void check_hosts() {
    std::set<std::string> seen;
    for (const LabSite& site : spec_.sites) {
      for (const std::string& host : site.hosts) {
        if (!seen.insert(host).second)
          refuse(root_, fmt::format("the host \"{}\" is there twice", host), "a host is at one place",
                 "rename one");
        if (host == "localhost")
          refuse(root_, "a host is named \"localhost\"", "every host reaches itself by that name",
                 "rename it");
      }
    }
  }

  std::size_t site_named(const toml::node& node, const std::string& name) {
    const std::size_t site = spec_.find_site(name);
    if (site < spec_.sites.size())
      return site;
    std::vector<std::string> names;
    for (const LabSite& known : spec_.sites)
      names.push_back(known.name);
    refuse(node, fmt::format("a link names the site \"{}\"", name), "there is no such site",
           "known are " + join(names, ", "));
  }

  void read_link(const toml::table& table) {
    std::optional<std::pair<std::size_t, std::size_t>> between;
    std::optional<std::size_t> from;
    std::optional<std::size_t> to;
    std::vector<KeyValue> changes;
    std::vector<Known> known{
        {"between",
         [&](const toml::node& n) {
           const auto names = strings_of(n, "link.between");
           if (names.size() != 2 || names[0] == names[1])
             refuse(n, "link.between does not name two sites", "", "write between = [\"a\", \"b\"]");
           between = {site_named(n, names[0]), site_named(n, names[1])};
         }},
        {"from", [&](const toml::node& n) { from = site_named(n, string_of(n, "link.from")); }},
        {"to", [&](const toml::node& n) { to = site_named(n, string_of(n, "link.to")); }}};
    for (const LinkKey& key : link_keys())
      known.push_back({key.name, [&, name = key.name](const toml::node& n) {
                         changes.push_back({name, string_of(n, name)});
                       }});
    read_table(table, "link.", known);
    const bool one_way = from && to && *from != *to && !between;
    if (!one_way && (!between || from || to))
      refuse(table, "a link does not say where it lies", "it needs two sites",
             "write between = [\"a\", \"b\"], or from = \"a\" and to = \"b\" for one direction");
    try {
      const auto set = [&](std::size_t a, std::size_t b) {
        spec_.links[a][b] = lab::apply(spec_.links[a][b], changes);
      };
      if (one_way) {
        set(*from, *to);
      } else {
        set(between->first, between->second);
        set(between->second, between->first);
      }
    } catch (const InputError& error) {
      refuse(table, error.problem().what, error.problem().why, error.problem().suggestion);
    }
  }

  std::string file_;
  toml::table root_;
  LabSpec spec_;
};

}  // namespace

std::size_t LabSpec::find_site(std::string_view site) const {
  return static_cast<std::size_t>(
      std::find_if(sites.begin(), sites.end(), [site](const LabSite& s) { return s.name == site; }) -
      sites.begin());
}

std::size_t LabSpec::site_of_host(std::string_view host) const {
  return static_cast<std::size_t>(std::find_if(sites.begin(), sites.end(),
                                               [host](const LabSite& s) {
                                                 return std::find(s.hosts.begin(), s.hosts.end(), host) !=
                                                        s.hosts.end();
                                               }) -
                                  sites.begin());
}

LabSpec parse_spec(std::string_view text, const std::string& name_for_messages) {
  return SpecReader(text, name_for_messages).read();
}

LabSpec load_spec(const std::string& path) {
  return parse_spec(read_text_file(path), path);
}

std::string address_of(std::size_t site, std::size_t host) {
  return fmt::format("10.{}.0.{}", site + 1, host + 1);
}

std::string gateway_of(std::size_t site) {
  return fmt::format("10.{}.255.254", site + 1);
}

}  // namespace lockstep::lab
