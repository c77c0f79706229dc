#include "harness/compute/kernel_catalog.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "tests/compute/temporary_folder.hpp"

namespace lockstep::compute {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<BlasLibrary> kAllLibraries{{BlasFamily::openblas, "/x/libopenblas.so.0"},
                                             {BlasFamily::onednn, "/x/libdnnl.so.2"},
                                             {BlasFamily::blis, "/x/libblis.so.4"}};

CpuFeatures with(std::set<std::string> flags) {
  return {.model = "test", .flags = std::move(flags)};
}

std::vector<std::string> names(const std::vector<CatalogEntry>& entries, CatalogEntry::Probing probing) {
  std::vector<std::string> found;
  for (const CatalogEntry& entry : entries) {
    if (entry.probing == probing)
      found.push_back(entry.kernel.name);
  }
  return found;
}

std::string setting(const GemmKernel& kernel, const std::string& name) {
  for (const EnvironmentSetting& one : kernel.environment) {
    if (one.name == name)
      return one.value;
  }
  return "(unset)";
}

#if defined(__x86_64__)

const std::set<std::string> kHaswell{"pni", "sse4_2", "avx", "avx2", "fma"};
const std::set<std::string> kSkylake{"pni",     "sse4_2",   "avx",      "avx2",    "fma",
                                     "avx512f", "avx512dq", "avx512bw", "avx512vl"};

TEST(KernelCatalog, OffersWhatASkylakeServerCanRun) {
  const auto entries = list_kernels(with(kSkylake), kAllLibraries);
  EXPECT_THAT(
      names(entries, CatalogEntry::Probing::always),
      ElementsAre("openblas", "openblas:SkylakeX", "openblas:Haswell", "openblas:Zen", "onednn", "blis"));
  EXPECT_THAT(names(entries, CatalogEntry::Probing::on_request),
              ElementsAre("openblas:Sandybridge", "openblas:Nehalem", "openblas:Prescott"));
}

TEST(KernelCatalog, NeverOffersWiderVectorsThanTheCpuHas) {
  const auto entries = list_kernels(with(kHaswell), kAllLibraries);
  EXPECT_THAT(names(entries, CatalogEntry::Probing::always),
              ElementsAre("openblas", "openblas:Haswell", "openblas:Zen", "onednn", "blis"));
}

TEST(KernelCatalog, OneMissingPartOfAvx512IsEnoughToRefuse) {
  std::set<std::string> flags = kSkylake;
  flags.erase("avx512dq");
  const auto entries = list_kernels(with(flags), kAllLibraries);
  EXPECT_TRUE(std::none_of(entries.begin(), entries.end(), [](const CatalogEntry& entry) {
    return entry.kernel.name == "openblas:SkylakeX";
  }));
}

TEST(KernelCatalog, OffersCooperlakeOnRequestWhereBfloat16Is) {
  std::set<std::string> flags = kSkylake;
  flags.insert("avx512_bf16");
  const auto entries = list_kernels(with(flags), kAllLibraries);
  EXPECT_THAT(
      names(entries, CatalogEntry::Probing::on_request),
      ElementsAre("openblas:Cooperlake", "openblas:Sandybridge", "openblas:Nehalem", "openblas:Prescott"));
}

TEST(KernelCatalog, AnOldCpuGetsItsOwnBestMeasured) {
  EXPECT_THAT(
      names(list_kernels(with({"pni", "sse4_2", "avx"}), kAllLibraries), CatalogEntry::Probing::always),
      ElementsAre("openblas", "openblas:Sandybridge", "onednn", "blis"));
  EXPECT_THAT(names(list_kernels(with({"pni"}), kAllLibraries), CatalogEntry::Probing::always),
              ElementsAre("openblas", "openblas:Prescott", "onednn", "blis"));
}

TEST(KernelCatalog, WithoutFlagsTheLibrariesChoose) {
  EXPECT_THAT(names(list_kernels(with({}), kAllLibraries), CatalogEntry::Probing::always),
              ElementsAre("openblas", "onednn", "blis"));
}

TEST(KernelCatalog, GuessesTheWidestVectors) {
  EXPECT_EQ(best_by_features(list_kernels(with(kSkylake), kAllLibraries)).kernel.name, "openblas:SkylakeX");
  EXPECT_EQ(best_by_features(list_kernels(with(kHaswell), kAllLibraries)).kernel.name, "openblas:Haswell");
  const std::vector<BlasLibrary> others{kAllLibraries[2], kAllLibraries[1]};
  EXPECT_EQ(best_by_features(list_kernels(with(kSkylake), others)).kernel.name, "onednn");
  EXPECT_EQ(best_by_features(list_kernels(with({}), kAllLibraries)).kernel.name, "onednn");
  EXPECT_EQ(best_by_features(list_kernels(with({}), {kAllLibraries[0]})).kernel.name, "openblas");
}

TEST(KernelCatalog, SetsOneThreadAndTheCoreBeforeLoading) {
  for (const CatalogEntry& entry : list_kernels(with(kSkylake), kAllLibraries)) {
    EXPECT_EQ(setting(entry.kernel, "OMP_NUM_THREADS"), "1") << entry.kernel.name;
    EXPECT_EQ(setting(entry.kernel, "OPENBLAS_NUM_THREADS"), "1") << entry.kernel.name;
    EXPECT_EQ(setting(entry.kernel, "BLIS_NUM_THREADS"), "1") << entry.kernel.name;
    const std::string core(asked_core(entry.kernel));
    EXPECT_EQ(setting(entry.kernel, "OPENBLAS_CORETYPE"), core.empty() ? "(unset)" : core);
    EXPECT_EQ(setting(entry.kernel, "DNNL_MAX_CPU_ISA"),
              entry.kernel.name == "onednn" ? "AVX512_CORE" : "(unset)");
  }
}

#endif

TEST(KernelCatalog, NoLibraryNoKernel) {
  EXPECT_THAT(list_kernels(with({"avx2", "fma"}), {}), IsEmpty());
}

TEST(KernelCatalog, ComparesCoreNamesWithoutCase) {
  EXPECT_TRUE(same_core("SkylakeX", "skylakex"));
  EXPECT_FALSE(same_core("SkylakeX", "Skylake"));
  EXPECT_FALSE(same_core("SkylakeX", ""));
}

TEST(KernelCatalog, FindsTheFirstLibraryOfEachFamilyAndResolvesLinks) {
  const testing::TemporaryFolder root;
  namespace fs = std::filesystem;
  const fs::path first = fs::path(root.path()) / "first";
  const fs::path second = fs::path(root.path()) / "second";
  fs::create_directories(first / "libdnnl.so.3");  // a folder of that name is no library
  fs::create_directories(second);
  std::ofstream(first / "libopenblas-r1.so") << "x";
  fs::create_symlink("libopenblas-r1.so", first / "libopenblas.so.0");
  fs::create_symlink("gone.so", first / "libblis.so.4");  // a dangling link is none either
  std::ofstream(second / "libopenblas.so.0") << "x";
  std::ofstream(second / "libdnnl.so.2") << "x";
  std::ofstream(second / "libblis.so.4") << "x";

  const auto found = find_blas_libraries({"/nowhere", first.string(), second.string()});
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].family, BlasFamily::openblas);
  EXPECT_EQ(found[0].path, fs::canonical(first / "libopenblas-r1.so").string());
  EXPECT_EQ(found[1].path, fs::canonical(second / "libdnnl.so.2").string());
  EXPECT_EQ(found[2].path, fs::canonical(second / "libblis.so.4").string());
}

TEST(KernelCatalog, LooksIntoTheCallersLibraryPathFirst) {
  const char* before = std::getenv("LD_LIBRARY_PATH");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("LD_LIBRARY_PATH", "/opt/mine:/opt/other", 1);
  const std::vector<std::string> folders = library_folders();
  ::setenv("LD_LIBRARY_PATH", kept.c_str(), 1);
  const auto mine = std::find(folders.begin(), folders.end(), "/opt/mine");
  const auto other = std::find(folders.begin(), folders.end(), "/opt/other");
  const auto system = std::find(folders.begin(), folders.end(), "/usr/lib64");
  EXPECT_LT(mine, other);
  EXPECT_LT(other, system);
  ASSERT_NE(system, folders.end());
}

}  // namespace
}  // namespace lockstep::compute
