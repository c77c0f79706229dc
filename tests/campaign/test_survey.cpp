#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/host_facts.hpp"
#include "harness/campaign/local_machine.hpp"
#include "harness/campaign/program_output.hpp"
#include "harness/campaign/survey.hpp"
#include "harness/campaign/survey_messages.hpp"
#include "harness/campaign/survey_schedule.hpp"
#include "harness/campaign/survey_view.hpp"
#include "harness/core/error.hpp"
#include "tests/campaign/sample_survey.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Rounds, EveryPairOnceAndNoHostTwiceInARound) {
  for (std::uint32_t hosts = 0; hosts < 12; ++hosts) {
    std::vector<std::uint32_t> indices;
    for (std::uint32_t i = 0; i < hosts; ++i)
      indices.push_back(10 + i);
    std::set<std::pair<std::uint32_t, std::uint32_t>> pairs;
    const auto rounds = rounds_of_pairs(indices);
    for (const auto& round : rounds) {
      std::set<std::uint32_t> busy;
      for (const PathPair& pair : round) {
        EXPECT_LT(pair.from, pair.to);
        EXPECT_TRUE(busy.insert(pair.from).second);
        EXPECT_TRUE(busy.insert(pair.to).second);
        EXPECT_TRUE(pairs.insert({pair.from, pair.to}).second);
      }
    }
    EXPECT_EQ(pairs.size(), hosts < 2 ? 0U : hosts * (hosts - 1) / 2);
    const std::uint32_t expected_rounds = hosts < 2 ? hosts : hosts % 2 == 0 ? hosts - 1 : hosts;
    EXPECT_EQ(rounds.size(), expected_rounds);
  }
}

TEST(BandwidthPairs, OneForEachPairOfSitesAndNotTheMisplacedHost) {
  const plan::Plan plan = by_host_plan();
  // h2 is declared in A and sits in B: its pairs across are the shortest.
  const Survey survey =
      survey_of(plan, {SiteId(0), SiteId(0), SiteId(0), SiteId(1), SiteId(1)}, {0, 0, 1, 1, 1});
  const auto pairs = bandwidth_pairs(survey, false);
  ASSERT_THAT(pairs, SizeIs(1));
  EXPECT_NE(pairs[0].from, 2U);
  EXPECT_THAT(bandwidth_pairs(survey, true), SizeIs(3));
}

TEST(BandwidthPairs, HostsThatDoNotReachEachOtherAreNotChosen) {
  const plan::Plan plan = by_host_plan();
  Survey survey = healthy_survey(plan);
  block(survey, 2, 0);
  block(survey, 3, 0);
  block(survey, 1, 2);
  EXPECT_THAT(bandwidth_pairs(survey, false), ElementsAre(PathPair{1, 3}));
}

TEST(TransportAddresses, AsOpenMpiChoosesThem) {
  const std::vector<watch::InterfaceAddress> all = {{"lo", "127.0.0.1", 65536, true},
                                                    {"eth0", "10.0.0.1", 1500, false},
                                                    {"ib0", "10.1.0.1", 2044, false},
                                                    {"eth0", "fd00::1", 1500, false}};
  EXPECT_THAT(transport_addresses(all, {}), ElementsAre("10.0.0.1", "10.1.0.1"));
  EXPECT_THAT(transport_addresses(all, {{"btl_tcp_if_include", "ib0"}}), ElementsAre("10.1.0.1"));
  EXPECT_THAT(transport_addresses(all, {{"btl_tcp_if_include", "10.0.0.0/24, 127.0.0.0/8"}}),
              ElementsAre("127.0.0.1", "10.0.0.1"));
  EXPECT_THAT(transport_addresses(all, {{"btl_tcp_if_exclude", "10.1.0.0/16"}}), ElementsAre("10.0.0.1"));
  EXPECT_THAT(transport_addresses({all[0], all[3]}, {}), ElementsAre("fd00::1"));
}

TEST(Messages, OrdersSurviveTheFile) {
  SurveyOrder order;
  order.kind = SurveyOrder::Kind::paths;
  order.number = 7;
  order.pairs = {{1, 2}, {3, 4}};
  order.exchanges = 100;
  order.datagrams = 400;
  order.begin.token = 0xfedcba9876543210ULL;
  order.peers = {{5, 1, {"10.0.0.1"}, 4000, 4001}};
  const SurveyOrder read = order_of(to_line(order));
  EXPECT_EQ(read.kind, order.kind);
  EXPECT_EQ(read.number, 7U);
  EXPECT_EQ(read.pairs, order.pairs);
  EXPECT_EQ(read.begin.token, order.begin.token);
  ASSERT_THAT(read.peers, SizeIs(1));
  EXPECT_THAT(read.peers[0].addresses, ElementsAre("10.0.0.1"));
  EXPECT_EQ(read.peers[0].udp_port, 4001);
}

TEST(Messages, AnswersSurviveTheFile) {
  ProbeAnswer answer;
  answer.number = 3;
  answer.facts = healthy_facts(1);
  answer.facts->host_name = "n\xff";  // not UTF-8: told as well as it goes, and no error
  answer.path = healthy_path(0, 1, 0.01);
  answer.path->trips->p99_s.reset();
  const ProbeAnswer read = answer_of(to_line(answer));
  ASSERT_TRUE(read.facts.has_value());
  EXPECT_EQ(read.facts->addresses, answer.facts->addresses);
  EXPECT_EQ(read.facts->software, answer.facts->software);
  ASSERT_TRUE(read.path.has_value());
  EXPECT_FALSE(read.path->trips->p99_s.has_value());
  EXPECT_EQ(read.path->trips->min_s, 0.01);
  EXPECT_EQ(read.path->mtu->path_mtu, 9000U);
  EXPECT_FALSE(read.stream.has_value());
}

TEST(Messages, OtherLinesAreRefused) {
  EXPECT_THROW(static_cast<void>(order_of("no json")), RunError);
  EXPECT_THROW(static_cast<void>(answer_of(R"({"number": "seven"})")), RunError);
}

class SurveyFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("lockstep-survey-{}", ::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(SurveyFolder, OnlyWholeLinesAreRead) {
  const std::string path = (folder_ / "lines").string();
  LineReader reader(path);
  EXPECT_THAT(reader.poll(), IsEmpty());
  std::ofstream(path) << "one\ntw";
  EXPECT_THAT(reader.poll(), ElementsAre("one"));
  EXPECT_THAT(reader.poll(), IsEmpty());
  append_line(path, "o");
  append_line(path, "three");
  EXPECT_THAT(reader.poll(), ElementsAre("two", "three"));
}

TEST_F(SurveyFolder, AFileThatTheControllerDidNotMakeIsAFolderThatIsNotShared) {
  EXPECT_THROW(append_line((folder_ / "none").string(), "x"), RunError);
}

TEST_F(SurveyFolder, HasAFileForEachHost) {
  const SurveyFiles files = make_survey_files(ResultsFolder::create(folder_.string(), "doctor-x", 0), 2);
  EXPECT_TRUE(std::filesystem::exists(files.orders()));
  EXPECT_TRUE(std::filesystem::exists(files.answers(1)));
  EXPECT_FALSE(std::filesystem::exists(files.answers(2)));
}

TEST(ProbeCommand, GoesThroughTheSameLauncherAsARun) {
  const plan::Plan plan =
      by_host_plan({"mpi.mca.plm_rsh_agent=/opt/agent", "mpi.mpirun_args=[\"--prefix\", \"/opt/ompi\"]"});
  SurveyOptions options;
  options.programs = {"/usr/bin/mpirun", "/opt/lockstep-rank"};
  options.probe_program = "/opt/lockstep";
  options.launcher_prefix = [](const std::vector<HostSlots>& hosts) {
    return std::vector<std::string>{"nsenter", "--net=/run/netns/" + hosts.front().host};
  };
  options.surroundings.usable_cpus = 2;
  options.surroundings.is_root = true;
  options.surroundings.emulated_hosts = true;
  options.surroundings.mca = {{"btl_tcp_if_include", "eth0"}};
  EXPECT_EQ(shell_line(probe_command(plan, {"gpu-a1", 4}, 3, "/shared/doctor", options)),
            "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 nsenter --net=/run/netns/gpu-a1 "
            "/usr/bin/mpirun -np 1 "
            "--host gpu-a1:1 --bind-to none --mca btl_tcp_if_include eth0 --mca plm_rsh_agent /opt/agent "
            "--prefix /opt/ompi "
            "/opt/lockstep probe --folder /shared/doctor --index 3");
}

TEST(HostsOfPlan, SiteBySiteWithTheirSlots) {
  const auto hosts = hosts_of_plan(by_host_plan(), {});
  ASSERT_THAT(hosts, SizeIs(4));
  EXPECT_EQ(hosts[0].name, "gpu-a1");
  EXPECT_EQ(hosts[3].name, "gpu-b2");
  EXPECT_EQ(hosts[3].site, SiteId(1));
  EXPECT_EQ(hosts[3].slots, 4U);
}

TEST(SiteDirections, AddUpHostPairs) {
  const plan::Plan plan = by_host_plan();
  Survey survey = healthy_survey(plan);
  path_of(survey, 1, 2).trips->min_s = 9e-3;
  path_of(survey, 0, 3).mtu->path_mtu = 1500;
  block(survey, 0, 2);
  add_stream(survey, 1, 3, 1, 5e8);
  add_stream(survey, 1, 3, 4, 9e8);
  const auto directions = site_directions(SurveyView(plan, survey), survey);
  ASSERT_THAT(directions, SizeIs(4));  // A-A, A-B, B-A, B-B
  const SiteDirection& out = directions[1];
  EXPECT_EQ(out.from, SiteId(0));
  EXPECT_EQ(out.to, SiteId(1));
  EXPECT_EQ(out.pairs, 4U);
  EXPECT_EQ(out.reachable, 3U);
  EXPECT_EQ(out.min_s, 9e-3);
  EXPECT_EQ(out.sent, 1200U);
  EXPECT_EQ(out.path_mtu, 1500U);
  EXPECT_EQ(out.one_stream_bytes_per_s, 5e8);
  EXPECT_EQ(out.streams_bytes_per_s, 9e8);
  EXPECT_FALSE(directions[2].one_stream_bytes_per_s.has_value());
}

TEST(HostFactsText, LibrariesOfTheLoader) {
  EXPECT_THAT(
      parse_loaded_libraries("\tlinux-vdso.so.1 (0x00007ffd)\n"
                             "\tlibmpi.so.40 => /usr/lib/libmpi.so.40 (0x00007f)\n"
                             "\tlibgone.so.1 => not found\n"
                             "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"),
      ElementsAre(LoadedLibrary{"libmpi.so.40", "/usr/lib/libmpi.so.40"}, LoadedLibrary{"libgone.so.1", ""}));
}

TEST(HostFactsText, CpuLimits) {
  EXPECT_DOUBLE_EQ(parse_cpu_limit("150000 100000"), 1.5);
  EXPECT_EQ(parse_cpu_limit("max 100000"), 0.0);
  EXPECT_EQ(parse_cpu_limit(""), 0.0);
}

TEST(HostFactsHere, AreThere) {
  const HostFacts facts = gather_host_facts("/bin/true", "/no/such/rank");
  EXPECT_NE(facts.host_name, "");
  EXPECT_NE(facts.boot_id, "");
  EXPECT_THAT(facts.network_namespace, HasSubstr("net:["));
  EXPECT_GT(facts.usable_cpus, 0U);
  EXPECT_GT(facts.tcp_rmem_max, 0U);
  EXPECT_EQ(facts.software.at("lockstep sha256").size(), 64U);
  EXPECT_THAT(facts.rank_program_error, HasSubstr("/no/such/rank"));
}

TEST(ProgramOutputs, AreReadToTheirEnd) {
  const ProgramOutput said =
      output_of({{"/bin/sh", "-c", "echo $GREETING; echo two >&2"}, {{"GREETING", "one"}}}, 30.0);
  EXPECT_EQ(said.text, "one\ntwo\n");
  EXPECT_EQ(said.error, "");
  EXPECT_NE(output_of({{"/no/such/program"}, {}}, 30.0).error, "");
  EXPECT_EQ(output_of({{"/bin/sleep", "600"}, {}}, 0.05).error, "it did not end in time");
}

TEST(LocalFindings, WhatIsInTheWayHere) {
  LocalMachine machine;
  machine.facts = healthy_facts(0);
  EXPECT_THAT(local_findings(machine), IsEmpty());
  machine.launcher_problem = "mpirun is not in PATH";
  machine.lab_problem = "no /dev/net/tun";
  machine.facts.clock_state = "not synchronised";
  const auto findings = local_findings(machine);
  ASSERT_THAT(findings, SizeIs(3));
  EXPECT_EQ(findings[0].kind, "no-launcher");
  EXPECT_EQ(findings[0].severity, Severity::error);
  EXPECT_EQ(of_kind(findings, "no-lab").at(0).severity, Severity::note);
}

}  // namespace
}  // namespace lockstep::campaign
