#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/plan/load.hpp"
#include "tests/plan/plans.hpp"

namespace lockstep::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Plan with(const std::string& text, const std::vector<std::string>& overrides) {
  Plan plan = parse_plan(text, "plan.toml", overrides);
  EXPECT_EQ(parse_plan(plan.text, "plan.toml"), plan) << plan.text;
  return plan;
}

TEST(Overrides, ReplaceAKeyThatIsThereAndAddOneThatIsNot) {
  const Plan plan =
      with(kByHost, {"run.steps=150", "run.warmup_steps = 7", "criteria.eta_a=0.9", "name=other"});
  EXPECT_EQ(plan.run.steps, 150U);
  EXPECT_EQ(plan.run.rounds, 2U);
  EXPECT_EQ(plan.run.warmup_steps, 7U);
  EXPECT_EQ(plan.criteria.eta_a, 0.9);
  EXPECT_EQ(plan.name, "other");
}

TEST(InsertedSites, StandInForThoseOfAPlanThatHasNone) {
  std::string text = kByHost;
  text.erase(text.find("[[site]]"), text.find("[workload]") - text.find("[[site]]"));
  EXPECT_THROW(static_cast<void>(parse_plan(text, "plan.toml")), InputError);
  const std::vector<Site> sites{{"north", {"a1", "a2"}, 2}, {"south", {"b1"}, 4}};
  const std::vector<std::string> overrides{"site.south.slots=3"};
  const Plan plan = parse_plan(text, "plan.toml", overrides, sites);
  EXPECT_THAT(plan.sites, ElementsAre(sites[0], Site{"south", {"b1"}, 3}));
  EXPECT_EQ(plan.legs.size(), 3U);
  EXPECT_EQ(parse_plan(plan.text, "plan.toml"), plan) << plan.text;
}

TEST(Overrides, BareWordsAreStringsAndValuesAreToml) {
  const Plan plan =
      with(kByHost, {"workload.model=8B", "compute.kernel=openblas:SkylakeX",
                     "mpi.mca.btl_tcp_if_include=eth0,eth1", "mpi.mca.btl_tcp_eager_limit=65536",
                     "mpi.mpirun_args=[\"--bind-to\", \"core\"]", "workload.overlap=false"});
  EXPECT_EQ(plan.workload.model.name, "8B");
  EXPECT_EQ(plan.compute.kernel, "openblas:SkylakeX");
  EXPECT_EQ(plan.mpi.mca.at("btl_tcp_if_include"), "eth0,eth1");
  EXPECT_EQ(plan.mpi.mca.at("btl_tcp_eager_limit"), "65536");
  EXPECT_THAT(plan.mpi.mpirun_args, ElementsAre("--bind-to", "core"));
  EXPECT_FALSE(plan.workload.overlap);
}

TEST(Overrides, TheLastOneWins) {
  EXPECT_EQ(with(kByHost, {"run.steps=150", "run.steps=160"}).run.steps, 160U);
}

TEST(Overrides, SitesAndLegsAreAddressedByName) {
  const std::string legs = R"([[leg]]
name = "B1"
kind = "baseline"
sites = ["B"]
[[leg]]
name = "A1"
kind = "baseline"
sites = ["A"]
[[leg]]
name = "all"
kind = "joint"
sites = ["A", "B"]
)";
  const Plan plan =
      with(kByHost + legs, {"site.B.slots=8", "site.A.hosts=[\"c[1-3]\"]", "leg.all.sites=[\"B\", \"A\"]"});
  EXPECT_EQ(plan.sites[0].slots, 2U);
  EXPECT_EQ(plan.sites[1].slots, 8U);
  EXPECT_THAT(plan.sites[0].hosts, ElementsAre("c[1-3]"));
  EXPECT_THAT(plan.legs[2].sites, ElementsAre(SiteId(1), SiteId(0)));
}

TEST(Overrides, AWholeTableCanBeGiven) {
  const Plan plan =
      with(edited(kByHost, "model = \"tiny\"\n", ""),
           {"workload.shape={layers=1, hidden=8, ffn=8, heads=2, kv_heads=1, head_dim=4, vocab=16}"});
  EXPECT_EQ(plan.workload.model, (ModelShape{"inline", 1, 8, 8, 2, 1, 4, 16, true}));
}

TEST(Overrides, TextHoldsThemAndNoComments) {
  const Plan plan =
      with("# why\n" + kByHost, {"run.steps=150", "validation.step_share=0.3", "links.wan_latency_s=1e-7"});
  EXPECT_THAT(plan.text, HasSubstr("steps = 150"));
  EXPECT_THAT(plan.text, HasSubstr("step_share = 0.3\n"));
  EXPECT_THAT(plan.text, Not(HasSubstr("why")));
  EXPECT_EQ(plan.validation.step_share, 0.3);
  EXPECT_EQ(plan.links.wan_latency_s, 1e-7);
}

TEST(Overrides, OddStringsSurviveTheRoundTrip) {
  const Plan plan = with(
      kByHost, {R"(mpi.mpirun_args=["it's", "a \"b\"", 'c:\d', "tab\tline\nend", "ü", "#", "", "'''"])"});
  EXPECT_THAT(plan.mpi.mpirun_args,
              ElementsAre("it's", "a \"b\"", "c:\\d", "tab\tline\nend", "ü", "#", "", "'''"));
}

TEST(Overrides, AreCheckedLikeTheFile) {
  EXPECT_EQ(complaint_about_set(kByHost, "run.steps=0"),
            "--set: run.steps is 0 (it must be an integer, 1 to 1000000)");
  EXPECT_EQ(complaint_about_set(kByHost, "run.steps=many"),
            "--set: run.steps is 'many', a string (it must be an integer, 1 to 1000000)");
  EXPECT_EQ(complaint_about_set(kByHost, "run.steps=[1]"),
            "--set: run.steps is an array (it must be an integer, 1 to 1000000)");
  EXPECT_EQ(
      complaint_about_set(kByHost, "run=5"),
      "--set: run is an integer (it must be a table); write [run] on a line of its own and its keys below");
  EXPECT_EQ(
      complaint_about_set(kByHost, "site.B.hosts=[\"a1\"]"),
      "--set: host 'a1' is in two sites: 'A' and 'B' (a rank there could not tell its site); name it in one "
      "site only");
  EXPECT_EQ(complaint_about_set(kByHost, "run.steps=10"),
            "--set: run.steps 10 x run.rounds 2 = 20 steady steps a leg, but criteria.min_steps is 200 (the "
            "verdict "
            "could only be inconclusive); set run.steps to 100 or more, run.rounds to 20 or more, or lower "
            "criteria.min_steps");
  // A mistake in the file is still the file's.
  EXPECT_THAT(complaint_about_set(edited(kByHost, "rounds = 2", "rounds = 0"), "run.steps=10"),
              HasSubstr("plan.toml:15: run.rounds is 0"));
}

TEST(Overrides, OfKeysThatDoNotExistAreRefusedWithTheNearest) {
  EXPECT_EQ(complaint_about_set(kByHost, "run.step=5"),
            "--set: unknown key 'run.step'; did you mean 'run.steps'?");
  EXPECT_EQ(complaint_about_set(kByHost, "steps=5"), "--set: unknown key 'steps'; did you mean 'run.steps'?");
  EXPECT_EQ(complaint_about_set(kByHost, "site.A.slot=5"),
            "--set: unknown key 'site.A.slot'; did you mean 'site.A.slots'?");
  EXPECT_EQ(complaint_about_set(kByHost, "run..steps=5"),
            "--set: unknown key 'run..steps'; did you mean 'run.steps'?");
  EXPECT_EQ(
      complaint_about_set(kByHost, "site.C.slots=5"),
      "--set: cannot set 'site.C.slots' (no site is named 'C': there are A, B); write site.A.KEY=VALUE");
  EXPECT_EQ(
      complaint_about_set(kByHost, "leg.joint.sites=[]"),
      "--set: cannot set 'leg.joint.sites' (the plan has no [[leg]] with a name); add a [[leg]] to the plan");
  EXPECT_EQ(
      complaint_about_set(kByHost, "drill.0.step=1"),
      "--set: cannot set 'drill.0.step' (the plan has 0 [[drill]], counted from 0); add a [[drill]] to the "
      "plan");
  EXPECT_EQ(complaint_about_set(kByHost + "[[drill]]\nkind = \"kill\"\nrank = 0\n", "drill.1.step=1"),
            "--set: cannot set 'drill.1.step' (the plan has 1 [[drill]], counted from 0); write "
            "drill.0.KEY=VALUE");
  EXPECT_EQ(complaint_about_set(kByHost, "site.A=5"),
            "--set: 'site.A' is a whole [[site]] (an override sets one key); write site.A.KEY=VALUE");
}

TEST(Overrides, ThatAreNoneAreRefused) {
  EXPECT_EQ(complaint_about_set(kByHost, "run.steps"),
            "--set: 'run.steps' sets nothing (an override is KEY=VALUE); for example --set run.steps=50");
  EXPECT_EQ(complaint_about_set(kByHost, "=5"),
            "--set: '=5' sets nothing (an override is KEY=VALUE); for example --set run.steps=50");
  EXPECT_EQ(complaint_about_set(kByHost, "run.steps="),
            "--set: 'run.steps=' has no value; write run.steps=\"\" for an empty string");
  EXPECT_EQ(complaint_about_set(kByHost, "run.steps=100\nrun.rounds=3"),
            "--set: the value of 'run.steps' has more than one line (an override sets one key)");
  EXPECT_THAT(complaint_about_set(kByHost, "name=\"open"),
              HasSubstr("--set: the value of 'name' is not valid TOML ("));
  EXPECT_THAT(complaint_about_set("run = 5\n" + kByHost, "run.steps=5"), HasSubstr("plan.toml:14: "));
  EXPECT_EQ(complaint_about_set("run = 5\n", "run.steps=5"),
            "--set: cannot set 'run.steps' ('run' is no table in this plan)");
}

}  // namespace
}  // namespace lockstep::plan
