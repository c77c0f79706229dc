// What is wrong with a plan is said in one line: file, line, problem, reason, and what to do about it.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/plan/load.hpp"
#include "tests/plan/plans.hpp"

namespace lockstep::plan {
namespace {

/// The plan of kByHost or kColocated with `from` replaced by `to`, and what is said about it.
struct BadPlan {
  const std::string* plan;
  std::string from;
  std::string to;
  std::string message;
};

void expect_messages(const std::vector<BadPlan>& cases) {
  for (const BadPlan& bad : cases)
    EXPECT_EQ(complaint(edited(*bad.plan, bad.from, bad.to)), bad.message) << bad.from << " -> " << bad.to;
}

// Legs of a plan with the sites A and B; the first line is line 1 of what is appended.
const std::string kLegs = R"([[leg]]
name = "A1"
kind = "baseline"
sites = ["A"]
[[leg]]
name = "B1"
kind = "baseline"
sites = ["B"]
[[leg]]
name = "all"
kind = "joint"
sites = ["A", "B"]
)";
const std::string kWithLegs = kByHost + kLegs;  // the legs begin in line 16

TEST(BadPlans, BasesAreGood) {
  EXPECT_EQ(complaint(kByHost), "accepted");
  EXPECT_EQ(complaint(kColocated), "accepted");
  EXPECT_EQ(complaint(kWithLegs), "accepted");
}

TEST(BadPlans, Syntax) {
  EXPECT_EQ(
      complaint("name = \"x\"\n[run\nsteps = 5\n"),
      "plan.toml:2: this is not valid TOML (Error while parsing table header: expected ']', saw '\\n')");
  EXPECT_THAT(complaint("name = \"x\"\nname = \"y\"\n"),
              testing::StartsWith("plan.toml:2: this is not valid TOML ("));
  EXPECT_THAT(complaint("name = \"x\"\n\n\nplacement\n"),
              testing::StartsWith("plan.toml:4: this is not valid TOML ("));
  EXPECT_THAT(complaint("a = 99999999999999999999\n"),
              testing::StartsWith("plan.toml:1: this is not valid TOML ("));
  EXPECT_THAT(complaint("\xff\xfe\x01"), testing::StartsWith("plan.toml:1: this is not valid TOML ("));
  EXPECT_EQ(complaint(""),
            "plan.toml: missing key 'name' (the plan needs it: a string); add name = ... there");
}

TEST(BadPlans, UnknownKeys) {
  expect_messages({
      {&kByHost, "steps", "step", "plan.toml:14: unknown key 'run.step'; did you mean 'run.steps'?"},
      {&kByHost, "[run]", "[rnu]", "plan.toml:13: unknown key 'rnu'; did you mean 'run'?"},
      {&kByHost, "slots = 2", "slot = 2", "plan.toml:5: unknown key 'site.slot'; did you mean 'site.slots'?"},
      {&kByHost, "[run]", "min_steps = 5\n[run]",
       "plan.toml:13: unknown key 'workload.min_steps'; did you mean 'criteria.min_steps'?"},
      {&kByHost, "[run]", "[run]\nxxxxxxxxxxxx = 5",
       "plan.toml:14: unknown key 'run.xxxxxxxxxxxx'; valid here: steps, warmup_steps, rounds, "
       "op_stamp_steps"},
      {&kByHost, "[run]", "[workload.shap]\nlayers = 2\n[run]",
       "plan.toml:13: unknown key 'workload.shap'; did you mean 'workload.shape'?"},
  });
}

TEST(BadPlans, TheFirstLineIsReportedFirst) {
  std::string text = edited(kByHost, "rounds = 2", "rounds = \"two\"");
  text = edited(text, "slots = 4", "slots = -4");
  EXPECT_EQ(complaint(text), "plan.toml:9: site.slots is -4 (it must be an integer, 1 to 1024)");
  text = edited(text, "slots = -4", "slots = 4");
  EXPECT_EQ(complaint(text),
            "plan.toml:15: run.rounds is 'two', a string (it must be an integer, 1 to 1000)");
}

TEST(BadPlans, Types) {
  expect_messages({
      {&kByHost, "\"pair\"", "5", "plan.toml:1: name is 5, an integer (it must be a string)"},
      {&kByHost, "\"pair\"", "1979-05-27",
       "plan.toml:1: name is 1979-05-27, a date or time (it must be a string)"},
      {&kByHost, "steps = 100", "steps = 100.0",
       "plan.toml:14: run.steps is 100.0, a number with a fraction (it must be an integer, 1 to 1000000)"},
      {&kByHost, "[\"a[1-4]\"]", "\"a1\"",
       "plan.toml:4: site.hosts is 'a1', a string (it must be an array of strings)"},
      {&kByHost, "[\"a[1-4]\"]", "[\"a1\",\n 5]",
       "plan.toml:5: site.hosts has an integer in it (it must be an array of strings)"},
      {&kByHost, "[run]", "overlap = 1\n[run]",
       "plan.toml:13: workload.overlap is 1, an integer (it must be true or false)"},
      {&kByHost, "[run]", "[links]\nwan_gbps = \"fast\"\n[run]",
       "plan.toml:14: links.wan_gbps is 'fast', a string (it must be a number, above 0 to 1000000)"},
      {&kByHost, "[[site]]\nname = \"B\"", "[[leg]]\nname = \"B\"",
       "plan.toml:8: unknown key 'leg.hosts'; did you mean 'site.hosts'?"},
      {&kByHost, "name = \"pair\"", "name = \"pair\"\nrun = 5\n[x]",
       "plan.toml:15: this is not valid TOML (Error while parsing table header: cannot redefine existing "
       "integer "
       "'run' as table)"},
      {&kByHost, "name = \"pair\"", "name = \"pair\"\nlinks = 5",
       "plan.toml:2: links is an integer (it must be a table); write [links] on a line of its own and its "
       "keys below"},
      {&kByHost, "name = \"pair\"", "name = \"pair\"\nleg = 5",
       "plan.toml:2: leg is an integer (there can be several, so it must be an array of tables); write "
       "[[leg]] with "
       "double brackets"},
      {&kByHost, "[run]", "[leg]\nname = \"x\"\n[run]",
       "plan.toml:13: leg is a table (there can be several, so it must be an array of tables); write [[leg]] "
       "with "
       "double brackets"},
      {&kByHost, "[run]", "[mpi]\nmca = 5\n[run]",
       "plan.toml:14: mpi.mca is 5, an integer (it must be a table of strings, integers or booleans)"},
      {&kByHost, "[run]", "[mpi.mca]\nbtl = 0.5\n[run]",
       "plan.toml:14: mpi.mca.btl is a number with a fraction (it must be a string, an integer or a "
       "boolean)"},
      {&kByHost, "[run]", "[mpi.mca]\n\"btl tcp\" = 5\n[run]",
       "plan.toml:14: mpi.mca.btl tcp is no name of an MCA parameter (they have letters, digits and '_'); "
       "write it "
       "like btl_tcp_if_include"},
  });
}

TEST(BadPlans, Values) {
  expect_messages({
      {&kByHost, "steps = 100", "steps = 0",
       "plan.toml:14: run.steps is 0 (it must be an integer, 1 to 1000000)"},
      {&kByHost, "steps = 100", "steps = -5",
       "plan.toml:14: run.steps is -5 (it must be an integer, 1 to 1000000)"},
      {&kByHost, "steps = 100", "steps = 4294967297",
       "plan.toml:14: run.steps is 4294967297 (it must be an integer, 1 to 1000000)"},
      {&kByHost, "rounds = 2", "rounds = 0",
       "plan.toml:15: run.rounds is 0 (it must be an integer, 1 to 1000)"},
      {&kByHost, "slots = 2", "slots = 0", "plan.toml:5: site.slots is 0 (it must be an integer, 1 to 1024)"},
      {&kByHost, "[run]", "[deadlines]\nlaunch_s = 0\n[run]",
       "plan.toml:14: deadlines.launch_s is 0 (it must be a number, above 0 to 604800)"},
      {&kByHost, "[run]", "[deadlines]\nop_s = -1.5\n[run]",
       "plan.toml:14: deadlines.op_s is -1.5 (it must be a number, 0 to 604800)"},
      {&kByHost, "[run]", "[deadlines]\nop_s = nan\n[run]",
       "plan.toml:14: deadlines.op_s is nan (it must be a number, 0 to 604800)"},
      {&kByHost, "[run]", "[deadlines]\nop_s = inf\n[run]",
       "plan.toml:14: deadlines.op_s is inf (it must be a number, 0 to 604800)"},
      {&kByHost, "[run]", "[validation]\nstep_share = 1.5\n[run]",
       "plan.toml:14: validation.step_share is 1.5 (it must be a number, 0 to 1)"},
      {&kByHost, "[run]", "[criteria]\nexposed_wan_max = -0.1\n[run]",
       "plan.toml:14: criteria.exposed_wan_max is -0.1 (it must be a number, 0 to 1)"},
      {&kColocated, "\"colocated\"", "\"collocated\"",
       "plan.toml:2: placement is 'collocated' (it must be one of \"by_host\", \"colocated\"); did you mean "
       "\"colocated\"?"},
      {&kColocated, "\"paced\"", "\"quantum\"",
       "plan.toml:13: compute.backend is 'quantum' (it must be one of \"cpu\", \"paced\", \"cuda\")"},
      {&kByHost, "[run]", "[criteria]\nrequired_grade = \"D\"\n[run]",
       "plan.toml:14: criteria.required_grade is 'D' (it must be one of \"A+\", \"A\", \"B\", \"C\")"},
      {&kByHost, "[run]", "[fabric]\nprogress = \"automatic\"\n[run]",
       "plan.toml:14: fabric.progress is 'automatic' (it must be one of \"auto\", \"spin\", \"backoff\")"},
  });
}

TEST(BadPlans, MissingKeys) {
  expect_messages({
      {&kByHost, "name = \"pair\"\n", "",
       "plan.toml: missing key 'name' (the plan needs it: a string); add name = ... there"},
      {&kByHost, "name = \"B\"\n", "",
       "plan.toml:6: missing key 'site.name' (this [[site]] needs it: a string); add name = ... there"},
      {&kByHost, "sequence_length = 128\n", "",
       "plan.toml:10: missing key 'workload.sequence_length' ([workload] needs it: an integer, 1 to "
       "4194304); add "
       "sequence_length = ... there"},
      {&kByHost, "[workload]\nmodel = \"tiny\"\nsequence_length = 128\n", "",
       "plan.toml: missing table [workload] (it says what is trained); add [workload] with model and "
       "sequence_length"},
      {&kByHost, "model = \"tiny\"\n", "",
       "plan.toml:10: neither workload.model nor [workload.shape] is given (the sizes of the model are "
       "needed); add "
       "model = \"tiny\", for example"},
      {&kByHost, "[run]", "[workload.shape]\nlayers = 2\n[run]",
       "plan.toml:13: missing key 'workload.shape.hidden' ([workload.shape] needs it: an integer, 1 to "
       "1048576); add "
       "hidden = ... there"},
      {&kWithLegs, "kind = \"joint\"\n", "",
       "plan.toml:24: missing key 'leg.kind' (this [[leg]] needs it: one of \"baseline\", \"joint\"); add "
       "kind = ... "
       "there"},
  });
}

TEST(BadPlans, Names) {
  const std::string rule =
      " is not usable (it must begin with a letter or digit, have only letters, digits, '-' and '_', and at "
      "most 64 of "
      "them)";
  expect_messages({
      {&kByHost, "\"pair\"", "\"a/b\"",
       "plan.toml:1: name 'a/b' is not usable (it must begin with a letter or digit, have only letters, "
       "digits, '-', "
       "'.' and '_', and at most 64 of them)"},
      {&kByHost, "\"pair\"", "\"..\"",
       "plan.toml:1: name '..' is not usable (it must begin with a letter or digit, have only letters, "
       "digits, '-', "
       "'.' and '_', and at most 64 of them)"},
      {&kByHost, "\"A\"", "\"\"", "plan.toml:3: site.name ''" + rule},
      {&kByHost, "\"A\"", "\"A,B\"", "plan.toml:3: site.name 'A,B'" + rule},
      {&kByHost, "\"A\"", "\"a.b\"", "plan.toml:3: site.name 'a.b'" + rule},
      {&kByHost, "\"A\"", "\"" + std::string(65, 'x') + "\"",
       "plan.toml:3: site.name '" + std::string(65, 'x') + "'" + rule},
      {&kWithLegs, "\"all\"", "\"all sites\"", "plan.toml:25: leg.name 'all sites'" + rule},
      {&kByHost, "\"B\"", "\"A\"",
       "plan.toml:7: two sites are named 'A' (the first is at line 3); rename one of them"},
      {&kByHost, "\"B\"", "\"joint\"",
       "plan.toml:7: a site is named 'joint' (that is the name of the leg that has all sites); rename the "
       "site"},
  });
}

TEST(BadPlans, Sites) {
  const std::string second = "[[site]]\nname = \"B\"\nhosts = [\"b[1-2]\"]\nslots = 4\n";
  const std::string first = "[[site]]\nname = \"A\"\nhosts = [\"a[1-4]\"]\nslots = 2\n";
  const std::string no_sites = edited(kByHost, first, "");
  expect_messages({
      {&kByHost, second, "",
       "plan.toml:2: the plan has one site, 'A' (a verdict compares sites together with each site alone, so "
       "it needs "
       "two or more); add another [[site]]"},
      {&no_sites, second, "",
       "plan.toml: the plan has no site (it asks whether sites can train as one); add two [[site]] tables, "
       "each with "
       "name and hosts; inside a Slurm job they can come from its network"},
      {&kByHost, "hosts = [\"b[1-2]\"]\n", "",
       "plan.toml:6: site 'B' has no hosts (placement = \"by_host\" finds a rank's site by its host); add "
       "hosts = "
       "[\"...\"], or set placement = \"colocated\" to try it on one machine"},
      {&kByHost, "[\"b[1-2]\"]", "[]",
       "plan.toml:8: site 'B' has no hosts (placement = \"by_host\" finds a rank's site by its host); add "
       "hosts = "
       "[\"...\"], or set placement = \"colocated\" to try it on one machine"},
      {&kColocated, "slots = 2", "hosts = [\"a1\"]",
       "plan.toml:5: site 'A' has hosts (placement = \"colocated\" puts every site on the machine that "
       "launches); "
       "remove hosts, or set placement = \"by_host\""},
  });
}

TEST(BadPlans, Hosts) {
  const std::string two_sites =
      " is in two sites: 'A' and 'B' (a rank there could not tell its site); name it in one site only";
  const std::string twice =
      " is named twice in site 'A' (its slots would count twice); remove one of the two";
  const std::string networks = edited(kByHost, "[\"a[1-4]\"]", "[\"10.1.0.0/16\", \"10.3.0.0/16\"]");
  expect_messages({
      {&kByHost, "[\"b[1-2]\"]", "[\"b1\",\n\"a3\"]", "plan.toml:9: host 'a3'" + two_sites},
      {&kByHost, "[\"b[1-2]\"]", "[\"b1\", \"A[4-9]\"]", "plan.toml:8: host 'a4'" + two_sites},
      {&kByHost, "[\"b[1-2]\"]", "[\"a2.north.example\"]",
       "plan.toml:8: hosts 'a2' and 'a2.north.example' overlap, so a host" + two_sites},
      {&kByHost, "[\"a[1-4]\"]", "[\"a[1-4]\", \"a3\"]", "plan.toml:4: host 'a3'" + twice},
      {&networks, "[\"b[1-2]\"]", "[\"10.1.7.9\"]",
       "plan.toml:8: hosts '10.1.0.0/16' and '10.1.7.9' overlap, so a host" + two_sites},
      {&networks, "[\"b[1-2]\"]", "[\"10.0.0.0/8\"]",
       "plan.toml:8: hosts '10.1.0.0/16' and '10.0.0.0/8' overlap, so a host" + two_sites},
      {&networks, "[\"b[1-2]\"]", "[\"10.2.0.0/16\", \"10.3.128.[1-2]\"]",
       "plan.toml:8: hosts '10.3.0.0/16' and '10.3.128.1' overlap, so a host" + two_sites},
      {&kByHost, "[\"b[1-2]\"]", "[\"b[1-2\"]",
       "plan.toml:8: host pattern 'b[1-2' cannot be expanded (its brackets do not pair); write it like "
       "gpu-a[001-128] or gpu-a[1-4,7]"},
      {&kByHost, "[\"b[1-2]\"]", "[\"b1\", \"\"]",
       "plan.toml:8: host pattern '' cannot be expanded (it is empty); write it like gpu-a[001-128] or "
       "gpu-a[1-4,7]"},
      {&kByHost, "[\"b[1-2]\"]", "[\"b1,b2\"]",
       "plan.toml:8: 'b1,b2' is no host name, pattern, address or network (a name has letters, digits, '-', "
       "'_' and "
       "dots); write each host as a string of its own: [\"a1\", \"a2\"]"},
      {&kByHost, "[\"b[1-2]\"]", "[\"10.1.0.0/33\"]",
       "plan.toml:8: '10.1.0.0/33' is no network in CIDR notation (it must be an address, a slash and the "
       "bits of its "
       "prefix); write it like 10.1.0.0/16 or fd00:1::/32"},
      {&kByHost, "[\"b[1-2]\"]", "[\"10.1.2.3/16\"]",
       "plan.toml:8: network '10.1.2.3/16' has bits set beyond its prefix (it could mean the network or one "
       "address); "
       "write 10.1.0.0/16 for the network"},
  });
  // Same first label in different domains: two hosts.
  std::string domains = edited(kByHost, "[\"a[1-4]\"]", "[\"n1.north.example\"]");
  domains = edited(domains, "[\"b[1-2]\"]", "[\"n1.south.example\"]");
  EXPECT_EQ(complaint(domains), "accepted");
  EXPECT_EQ(complaint(edited(networks, "[\"b[1-2]\"]", "[\"10.2.0.0/16\", \"10.4.0.1\", \"fd00::/8\"]")),
            "accepted");
}

TEST(BadPlans, Models) {
  const std::string shape =
      "[workload.shape]\nlayers = 2\nhidden = 64\nffn = 96\nheads = 4\nkv_heads = 3\nhead_dim = 16\nvocab = "
      "100\n[run]";
  const std::string inline_shape = edited(kByHost, "model = \"tiny\"\n", "");
  expect_messages({
      {&kByHost, "\"tiny\"", "\"tinny\"",
       "plan.toml:11: there is no model 'tinny' (valid: nano, micro, tiny, small, 8B, 70B, 405B, 175B); did "
       "you mean "
       "\"tiny\"?"},
      {&kByHost, "\"tiny\"", "\"enormous-9000\"",
       "plan.toml:11: there is no model 'enormous-9000' (valid: nano, micro, tiny, small, 8B, 70B, 405B, "
       "175B); or "
       "give its sizes in [workload.shape]"},
      {&kByHost, "[run]", shape,
       "plan.toml:13: both workload.model and [workload.shape] are given (they say the same thing twice); "
       "remove one "
       "of the two"},
      {&inline_shape, "[run]", shape,
       "plan.toml:17: kv_heads = 3 does not divide heads = 4 (each key and value head serves the same number "
       "of query "
       "heads); change one of the two"},
  });
}

TEST(BadPlans, Sizes) {
  std::string huge = edited(kByHost, "\"tiny\"", "\"405B\"\nsequences = 512");
  huge = edited(huge, "sequence_length = 128", "sequence_length = 4194303");
  expect_messages({
      {&kByHost, "sequence_length = 128", "sequence_length = 4194304\nsequences = 512",
       "plan.toml:13: a micro-batch of 512 x 4194304 tokens is too large (a matrix can have at most "
       "2147483647 rows); "
       "make it several micro-batches"},
      {&kByHost, "\"tiny\"", "\"405B\"\nmicro_batches = 1000",
       "plan.toml:12: 126 layers x 1000 micro-batches make a step of too many operations (layers x "
       "micro-batches can "
       "be 100000 at most); use fewer, larger micro-batches"},
  });
  EXPECT_THAT(complaint(huge),
              testing::MatchesRegex("plan\\.toml:10: one rank could need .* \\(more than 1 EiB is "
                                    "taken for a slip\\); check sequence_length, sequences and the "
                                    "model's sizes"));
}

TEST(BadPlans, TensorParallel) {
  const auto with = [](const std::string& model, int parallel) {
    return edited(kByHost, "model = \"tiny\"",
                  "model = \"" + model + "\"\ntensor_parallel = " + std::to_string(parallel));
  };
  EXPECT_EQ(complaint(with("tiny", 4)), "accepted");
  EXPECT_EQ(
      complaint(with("tiny", 16)),
      "plan.toml:12: workload.tensor_parallel is 16, but site 'A' has 8 ranks (the ranks of one replica are "
      "always inside one site); lower tensor_parallel, or give the site more slots");
  EXPECT_EQ(complaint(with("tiny", 3)),
            "plan.toml:12: workload.tensor_parallel is 3, which does not divide the 8 ranks of site 'A' "
            "(every rank "
            "must belong to a whole replica); change tensor_parallel, or the site's hosts or slots");
  EXPECT_EQ(complaint(with("tiny", 8)),
            "plan.toml:12: workload.tensor_parallel is 8, which does not divide the model's kv_heads = 4 "
            "(each rank "
            "holds an equal share of it); change tensor_parallel, or the model");
  const std::string odd_heads = edited(with("tiny", 2), "model = \"tiny\"\n", "");
  const auto shape = [&](const std::string& sizes) {
    return complaint(edited(odd_heads, "[run]",
                            "[workload.shape]\nlayers = 1\nhidden = 8\nhead_dim = 4\n" + sizes + "[run]"));
  };
  EXPECT_THAT(shape("heads = 3\nkv_heads = 3\nffn = 8\nvocab = 8\n"),
              testing::HasSubstr("the model's heads = 3"));
  EXPECT_THAT(shape("heads = 4\nkv_heads = 1\nffn = 8\nvocab = 8\n"),
              testing::HasSubstr("the model's kv_heads = 1"));
  EXPECT_THAT(shape("heads = 4\nkv_heads = 2\nffn = 9\nvocab = 8\n"),
              testing::HasSubstr("the model's ffn = 9"));
  EXPECT_THAT(shape("heads = 4\nkv_heads = 2\nffn = 8\nvocab = 9\n"),
              testing::HasSubstr("the model's vocab = 9"));
  // How many ranks a network has is known at launch only.
  const std::string network = edited(with("405B", 8), "[\"a[1-4]\"]", "[\"10.0.0.0/8\"]");
  EXPECT_EQ(complaint(network), "accepted");
}

TEST(BadPlans, Legs) {
  const std::string long_names = edited(edited(kWithLegs, "\"A\"", "\"north\""), "\"B\"", "\"south\"");
  expect_messages({
      {&long_names, "sites = [\"A\"]", "sites = [\"norht\"]",
       "plan.toml:19: leg 'A1' has the unknown site 'norht' (valid: north, south); did you mean \"north\"?"},
      {&kWithLegs, "sites = [\"A\", \"B\"]", "sites = [\"A\", \"C\"]",
       "plan.toml:27: leg 'all' has the unknown site 'C' (valid: A, B)"},
      {&kWithLegs, "sites = [\"A\", \"B\"]", "sites = [\"A\", \"A\"]",
       "plan.toml:27: leg 'all' names site 'A' twice (a site takes part once); remove one of the two"},
      {&kWithLegs, "sites = [\"A\", \"B\"]", "sites = [\"A\"]",
       "plan.toml:27: joint leg 'all' has 1 site (it is where sites train together, so it needs two or "
       "more); name "
       "all sites, or set kind = \"baseline\""},
      {&kWithLegs, "sites = [\"B\"]", "sites = [\"A\", \"B\"]",
       "plan.toml:23: baseline leg 'B1' has 2 sites (a baseline is one site alone); name one site, or set "
       "kind = "
       "\"joint\""},
      {&kWithLegs, "sites = [\"B\"]", "sites = []",
       "plan.toml:23: baseline leg 'B1' has 0 sites (a baseline is one site alone); name one site, or set "
       "kind = "
       "\"joint\""},
      {&kWithLegs, "\"B1\"", "\"A1\"",
       "plan.toml:21: two legs are named 'A1' (the first is at line 17); rename one of them"},
      {&kWithLegs, "sites = [\"B\"]", "sites = [\"A\"]",
       "plan.toml:23: legs 'A1' and 'B1' are both the baseline of site 'A' (one leg of each site alone is "
       "what the "
       "joint leg is held against); remove one; run.rounds repeats it"},
      {&kWithLegs, "[[leg]]\nname = \"B1\"\nkind = \"baseline\"\nsites = [\"B\"]\n", "",
       "plan.toml:16: site 'B' has no baseline leg (the joint leg is held against each site alone); add a "
       "[[leg]] with "
       "kind = \"baseline\" and sites = [\"B\"]"},
      {&kWithLegs, "[[leg]]\nname = \"all\"\nkind = \"joint\"\nsites = [\"A\", \"B\"]\n", "",
       "plan.toml:16: no leg is joint (without the sites together there is nothing to judge); add a [[leg]] "
       "with kind "
       "= \"joint\" and all sites"},
      {&kWithLegs, "[[leg]]\nname = \"all\"",
       "[[leg]]\nname = \"all2\"\nkind = \"joint\"\nsites = [\"B\", \"A\"]\n[[leg]]\nname = \"all\"",
       "plan.toml:30: legs 'all2' and 'all' are both joint (one plan gives one verdict); put the second into "
       "a plan of "
       "its own"},
      {&kWithLegs, "[workload]", "[[site]]\nname = \"C\"\nhosts = [\"c1\"]\n[workload]",
       "plan.toml:11: site 'C' takes no part in the joint leg (the verdict is about all sites of the plan); "
       "add it to "
       "that leg, or remove the site"},
  });
}

TEST(BadPlans, Paced) {
  expect_messages({
      {&kColocated, "paced_gflops = 10.0\n", "",
       "plan.toml:13: compute.backend is \"paced\", but compute.paced_gflops is not given (a paced run waits "
       "as long "
       "as the work would take at that rate); set compute.paced_gflops = 100.0, for example"},
      {&kColocated, "paced_memory_gbps = 5.0", "paced_memory_gbps = 0",
       "plan.toml:15: compute.backend is \"paced\", but compute.paced_memory_gbps is 0 (a paced run waits as "
       "long as "
       "the work would take at that rate); set compute.paced_memory_gbps = 10.0, for example"},
      {&kColocated, "[compute]", "[compute]\nkernel = \"\"",
       "plan.toml:13: compute.kernel is empty (it names a kernel); write \"auto\""},
  });
}

TEST(BadPlans, FabricsThatCannotSendWhatIsComputed) {
  expect_messages({
      {&kByHost, "[run]", "[compute]\nbackend = \"cuda\"\n[run]",
       "plan.toml:14: fabric.backend is \"mpi\" and compute.backend is \"cuda\" (MPI from host memory cannot "
       "send "
       "what lies on GPUs); set fabric.backend = \"nccl\", or \"host-staged\" to go through host memory"},
      {&kByHost, "[run]", "[fabric]\nbackend = \"host-staged\"\n[run]",
       "plan.toml:14: fabric.backend is \"host-staged\" and compute.backend is \"cpu\" (it sends what lies "
       "on "
       "GPUs); set fabric.backend = \"mpi\""},
      {&kByHost, "[run]", "[fabric]\nbackend = \"rccl\"\n[run]",
       "plan.toml:14: fabric.backend is 'rccl' (it must be one of \"mpi\", \"nccl\", \"cuda-aware\", "
       "\"host-staged\"); did you mean \"nccl\"?"},
      {&kByHost, "[run]", "[fabric]\nall_reduce = \"flatt\"\n[run]",
       "plan.toml:14: fabric.all_reduce is 'flatt' (it must be one of \"flat\", \"hierarchical\"); did you "
       "mean \"flat\"?"},
  });
}

TEST(BadPlans, DtypesThatNoBackendMultiplies) {
  expect_messages({
      {&kByHost, "[workload]", "[workload]\ndtype = \"f64\"",
       "plan.toml:11: workload.dtype is 'f64' (it must be one of \"f32\", \"tf32\", \"bf16\", \"f16\", "
       "\"fp8\"); did you mean \"f32\"?"},
      {&kByHost, "[workload]", "[workload]\ndtype = \"bf16\"",
       "plan.toml:11: workload.dtype is \"bf16\" and compute.backend \"cpu\" (the cpu backend multiplies in "
       "f32 "
       "only); set workload.dtype = \"f32\", or use \"cuda\" or \"paced\""},
      {&kByHost, "[workload]",
       "[compute]\nbackend = \"cuda\"\n[workload]\ndtype = \"bf16\"\ntensor_parallel = 2",
       "plan.toml:13: workload.dtype is \"bf16\", workload.tensor_parallel 2 and fabric.backend \"mpi\" "
       "(tensor-parallel ranks add up 16-bit activations, and MPI has no sum of those); set fabric.backend = "
       "\"nccl\", or workload.tensor_parallel = 1"},
      {&kByHost, "[workload]",
       "[compute]\nbackend = \"cuda\"\n[fabric]\nbackend = \"host-staged\"\n[workload]\ndtype = \"bf16\"\n"
       "tensor_parallel = 2",
       "plan.toml:15: workload.dtype is \"bf16\", workload.tensor_parallel 2 and fabric.backend "
       "\"host-staged\" (tensor-parallel ranks add up 16-bit activations, and MPI has no sum of those); set "
       "fabric.backend = \"nccl\", or workload.tensor_parallel = 1"},
      {&kColocated, "sequence_length = 64", "sequence_length = 72\ndtype = \"fp8\"",
       "plan.toml:12: workload.dtype is \"fp8\" and tokens in a micro-batch is 72 (tensor cores take fp8 in "
       "multiples "
       "of 16); change the shape, or use \"bf16\""},
  });
}

TEST(Dtypes, CombinationsThatABackendRunsAreAccepted) {
  for (const char* dtype : {"f32", "tf32", "bf16", "f16", "fp8"}) {
    const std::string text = edited(kColocated, "sequence_length = 64",
                                    std::string("sequence_length = 64\ndtype = \"") + dtype + "\"");
    EXPECT_STREQ(to_string(parse_plan(text, "plan.toml").workload.dtype), dtype);
    const std::string cuda = edited(text, "backend = \"paced\"", "backend = \"cuda\"\ngraphs = \"off\"") +
                             "[fabric]\nbackend = \"nccl\"\n";
    const Plan plan = parse_plan(cuda, "plan.toml");
    EXPECT_EQ(plan.compute.backend, ComputeBackend::cuda);
    EXPECT_EQ(plan.compute.graphs, GraphCapture::off);
  }
}

TEST(BadPlans, VerdictsThatCouldOnlyBeInconclusive) {
  expect_messages({
      {&kByHost, "steps = 100", "steps = 99",
       "plan.toml:15: run.steps 99 x run.rounds 2 = 198 steady steps a leg, but criteria.min_steps is 200 "
       "(the verdict "
       "could only be inconclusive); set run.steps to 100 or more, run.rounds to 3 or more, or lower "
       "criteria.min_steps"},
      {&kByHost, "[run]", "[validation]\nstep_share = 0\n[run]",
       "plan.toml:14: validation.step_share 0 of 100 steps checks none (data that were never checked leave "
       "the verdict "
       "inconclusive); set validation.step_share to 0.01 or more"},
      {&kByHost, "[run]", "[validation]\nstep_share = 0.009\n[run]",
       "plan.toml:14: validation.step_share 0.009 of 100 steps checks none (data that were never checked "
       "leave the "
       "verdict inconclusive); set validation.step_share to 0.01 or more"},
  });
  EXPECT_EQ(complaint(edited(kByHost, "[run]", "[validation]\nstep_share = 0.01\n[run]")), "accepted");
}

TEST(BadPlans, CriteriaInDisorder) {
  expect_messages({
      {&kByHost, "[run]", "[criteria]\neta_a = 0.98\n[run]",
       "plan.toml:14: criteria.eta_a is 0.98, above criteria.eta_a_plus = 0.97 (a better grade cannot ask "
       "for less); "
       "order them eta_b <= eta_a <= eta_a_plus"},
      {&kByHost, "[run]", "[criteria]\neta_b = 0.9\neta_a = 0.8\n[run]",
       "plan.toml:15: criteria.eta_b is 0.9, above criteria.eta_a = 0.8 (a better grade cannot ask for "
       "less); order "
       "them eta_b <= eta_a <= eta_a_plus"},
  });
}

TEST(BadPlans, DrillsThatFitNothing) {
  const auto drill = [](const std::string& keys, const std::string& next = "[run]") {
    return "[[drill]]\n" + keys + "\n" + next;
  };
  expect_messages({
      {&kByHost, "[run]", drill("kind = \"kil\""),
       "plan.toml:14: drill.kind is 'kil' (it must be one of \"kill\", \"crash\", \"abort\", \"stop\", "
       "\"slow\", "
       "\"hang\", \"flip\", \"fill\", \"cut\", \"degrade\", \"lose\"); did you mean \"kill\"?"},
      {&kByHost, "[run]", drill("rank = 0"),
       "plan.toml:13: missing key 'drill.kind' (this [[drill]] needs it: one of \"kill\", \"crash\", "
       "\"abort\", "
       "\"stop\", \"slow\", \"hang\", \"flip\", \"fill\", \"cut\", \"degrade\", \"lose\"); add kind = ... "
       "there"},
      {&kByHost, "[run]", drill("kind = \"kill\""),
       "plan.toml:14: a drill of kind \"kill\" names 0 targets (it acts on one rank or host); give it rank "
       "or host"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 0\nhost = \"a1\""),
       "plan.toml:14: a drill of kind \"kill\" names 2 targets (it acts on one rank or host); give it rank "
       "or host"},
      {&kByHost, "[run]", drill("kind = \"flip\"\nsite = \"A\""),
       "plan.toml:15: a drill of kind \"flip\" has site (it acts on a rank); give rank instead"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 0\nleg = \"join\""),
       "plan.toml:16: a drill is for the unknown leg 'join' (valid: A, B, joint); did you mean \"joint\"?"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 99"),
       "plan.toml:15: a drill acts on rank 99 (leg 'joint' has 16 ranks, counted from 0); lower it"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 0\nround = 5"),
       "plan.toml:16: a drill is for round 5 (run.rounds is 2, and they are counted from 0); lower it"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 0\nstep = 105"),
       "plan.toml:16: a drill acts at step 105 (a launch has 105 steps, warm-up included, counted from 0); "
       "lower it, or raise run.steps"},
      {&kByHost, "[run]", drill("kind = \"lose\"\nsite = \"C\""),
       "plan.toml:15: a drill names site 'C' (leg 'joint' has A, B)"},
      {&kByHost, "[run]", drill("kind = \"lose\"\nsite = \"B\"\nleg = \"A\""),
       "plan.toml:15: a drill names site 'B' (leg 'A' has A)"},
      {&kByHost, "[run]", drill("kind = \"cut\"\nbetween = [\"A\", \"A\"]"),
       "plan.toml:15: a drill is between 2 site(s) (a link lies between two); write between = [\"A\", "
       "\"B\"]"},
      {&kByHost, "[run]", drill("kind = \"slow\"\nrank = 0"),
       "plan.toml:14: a drill of kind \"slow\" has no factor (it says how many times as long computing "
       "takes); "
       "add factor = 3.0, for example"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 0\nfactor = 2"),
       "plan.toml:16: a drill of kind \"kill\" has a factor (it says how many times as long computing "
       "takes); "
       "remove it"},
      {&kByHost, "[run]", drill("kind = \"degrade\"\nbetween = [\"A\", \"B\"]"),
       "plan.toml:14: a drill of kind \"degrade\" has no settings (they say what becomes of the link); add "
       "settings = [\"loss=1%\"], for example"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 0\none_way = true"),
       "plan.toml:16: a drill of kind \"kill\" has one_way (only a link has two ways); remove it"},
      {&kByHost, "[run]", drill("kind = \"kill\"\nrank = 0\nfor_s = 2"),
       "plan.toml:16: a drill of kind \"kill\" has for_s (it cannot be taken back); remove it"},
      {&kColocated, "[compute]", drill("kind = \"lose\"\nsite = \"A\"", "[compute]"),
       "plan.toml:13: a drill of kind \"lose\" acts on more than a rank (with placement = \"colocated\" all "
       "sites "
       "are one machine, which is this one); give it a rank, or run the plan in a lab"},
  });
  EXPECT_EQ(
      complaint(edited(kByHost, "[run]", drill("kind = \"cut\"\nbetween = [\"B\", \"A\"]\nfor_s = 0.5"))),
      "accepted");
  EXPECT_EQ(complaint(edited(kColocated, "[compute]", drill("kind = \"stop\"\nrank = 1", "[compute]"))),
            "accepted");
}

TEST(BadPlans, RecoveryWithoutMeans) {
  expect_messages({
      {&kByHost, "[run]", "[recovery]\npolicy = \"spare\"\n[run]",
       "plan.toml:14: recovery.policy is \"spare\", but no site has spares (hosts in reserve take the place "
       "of "
       "those that fail); add spares = [\"...\"] to a [[site]], or choose \"exclude\""},
      {&kColocated, "[compute]", "[recovery]\npolicy = \"exclude\"\n[compute]",
       "plan.toml:13: recovery.policy is \"exclude\" (with placement = \"colocated\" there is one host, "
       "which can "
       "be neither left out nor replaced); choose \"same\" or \"stop\""},
      {&kByHost, "slots = 2", "slots = 2\nspares = [\"b1\"]",
       "plan.toml:9: host 'b1' is in two sites: 'A' and 'B' (a rank there could not tell its site); name it "
       "in "
       "one site only"},
  });
  EXPECT_EQ(complaint(edited(edited(kByHost, "slots = 2", "slots = 2\nspares = [\"x1\"]"), "[run]",
                             "[recovery]\npolicy = \"spare\"\n[run]")),
            "accepted");
}

}  // namespace
}  // namespace lockstep::plan
