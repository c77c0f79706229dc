#include "harness/core/hash.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <sodium.h>

#include "harness/core/error.hpp"

namespace lockstep {
namespace {

std::string to_hex(const std::array<unsigned char, crypto_hash_sha256_BYTES>& digest) {
  std::string hex(digest.size() * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), digest.data(), digest.size());
  hex.pop_back();
  return hex;
}

struct FileCloser {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

}  // namespace

std::string sha256(std::string_view bytes) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
  crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  return to_hex(digest);
}

std::string sha256_file(const std::string& path) {
  const std::unique_ptr<std::FILE, FileCloser> file(std::fopen(path.c_str(), "rb"));
  const auto fail = [&path](int error) {
    throw RunError(
        {.what = "cannot read " + path, .why = std::strerror(error), .suggestion = {}, .file = {}});
  };
  if (!file)
    fail(errno);
  crypto_hash_sha256_state state{};
  crypto_hash_sha256_init(&state);
  std::array<unsigned char, 65536> chunk{};
  std::size_t got = 0;
  while ((got = std::fread(chunk.data(), 1, chunk.size(), file.get())) > 0)
    crypto_hash_sha256_update(&state, chunk.data(), got);
  if (std::ferror(file.get()) != 0)
    fail(errno);
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
  crypto_hash_sha256_final(&state, digest.data());
  return to_hex(digest);
}

std::uint64_t checksum64(std::span<const std::byte> bytes, std::uint64_t seed) noexcept {
  constexpr std::uint64_t kPrime = 0x100000001b3ULL;
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ mix64(seed);
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 32;
  }
  for (; i < bytes.size(); ++i)
    hash = (hash ^ std::to_integer<std::uint64_t>(bytes[i])) * kPrime;
  return hash;
}

}  // namespace lockstep
