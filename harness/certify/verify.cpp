#include "harness/certify/verify.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"
#include "harness/record/run_file.hpp"

namespace lockstep::certify {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbsent = "(absent)";

std::string shorten(std::string text) {
  constexpr std::size_t kLongest = 200;
  if (text.size() > kLongest)
    text = text.substr(0, kLongest) + "...";
  return text;
}

std::string print(const Json* json) {
  return json == nullptr ? kAbsent : shorten(json->dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string escape(const std::string& key) {
  std::string escaped;
  for (const char c : key)
    escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return escaped;
}

const Json* child(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found == json.end() ? nullptr : &*found;
}

void compare(const std::string& path, const Json* stated, const Json* recomputed, Verification& result) {
  if (stated != nullptr && recomputed != nullptr) {
    if (stated->is_object() && recomputed->is_object()) {
      for (const auto& [key, value] : recomputed->items())
        compare(path + "/" + escape(key), child(*stated, key), &value, result);
      for (const auto& [key, value] : stated->items())
        if (!recomputed->contains(key))
          compare(path + "/" + escape(key), &value, nullptr, result);
      return;
    }
    if (stated->is_array() && recomputed->is_array()) {
      for (std::size_t i = 0; i < std::max(stated->size(), recomputed->size()); ++i)
        compare(fmt::format("{}/{}", path, i), i < stated->size() ? &(*stated)[i] : nullptr,
                i < recomputed->size() ? &(*recomputed)[i] : nullptr, result);
      return;
    }
    // As text: 1 and 1.0 are equal numbers and different statements.
    if (stated->dump(-1, ' ', false, Json::error_handler_t::replace) ==
        recomputed->dump(-1, ' ', false, Json::error_handler_t::replace))
      return;
  }
  result.differences.push_back({path, print(stated), print(recomputed)});
}

std::string file_in(const std::string& folder, const char* name) {
  return (std::filesystem::path(folder) / name).string();
}

}  // namespace

Verification verify_certificate(std::string_view certificate_bytes, const Certificate& recomputed) {
  Verification result;
  const std::string expected = serialize(recomputed);
  if (certificate_bytes == expected)
    return result;
  const Json stated = Json::parse(certificate_bytes.begin(), certificate_bytes.end(), nullptr, false);
  if (stated.is_discarded()) {
    result.differences.push_back({"", "(no JSON)", "the certificate of this evidence"});
    return result;
  }
  const Json wanted = Json::parse(expected);
  compare("", &stated, &wanted, result);
  if (result.differences.empty())
    result.differences.push_back({"", "the same values in other bytes (white space, order or repeated keys)",
                                  "the bytes that Lockstep writes"});
  return result;
}

FolderVerification verify_folder(const std::string& folder) {
  const std::string run_file = file_in(folder, "run.h5");
  const record::Evidence evidence = record::read_run_file(run_file);
  const std::string certificate = read_text_file(file_in(folder, "certificate.json"));
  const std::string plan_text = read_text_file(file_in(folder, "plan.toml"));
  FolderVerification result;
  result.recomputed = make_certificate(evidence, sha256_file(run_file));
  result.verification = verify_certificate(certificate, result.recomputed);
  if (plan_text != evidence.plan_text)
    result.verification.differences.push_back({"plan.toml", fmt::format("sha256 {}", sha256(plan_text)),
                                               fmt::format("sha256 {}", sha256(evidence.plan_text))});
  return result;
}

}  // namespace lockstep::certify
