#include "harness/plan/check.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/plan/model.hpp"

namespace lockstep::plan {
namespace {

[[noreturn]] void refuse(const Place& place, std::string what, std::string why, std::string suggestion = {}) {
  throw InputError(problem_at(place, std::move(what), std::move(why), std::move(suggestion)));
}

/// Of two keys that do not fit together, the place of the one that was written last.
Place later_place(const Draft& draft, const std::string& a, const std::string& b) {
  if (!draft.was_given(a))
    return draft.place(b);
  if (!draft.was_given(b))
    return draft.place(a);
  const Place place_a = draft.place(a);
  const Place place_b = draft.place(b);
  const bool a_is_override = place_a.line == 0;
  return a_is_override || (place_b.line != 0 && place_a.line > place_b.line) ? place_a : place_b;
}

std::string site_path(std::size_t index, const char* key) {
  return fmt::format("site.{}.{}", index, key);
}
std::string leg_path(std::size_t index, const char* key) {
  return fmt::format("leg.{}.{}", index, key);
}

// --- names -----------------------------------------------------------------------------------------------

enum class Dots { allowed, refused };

/// Names become folder names, command-line arguments and table columns.
bool is_simple_name(std::string_view name, Dots dots) {
  constexpr std::size_t kLongest = 64;
  const auto is_letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const auto is_allowed = [&](char c) {
    return is_letter_or_digit(c) || c == '-' || c == '_' || (c == '.' && dots == Dots::allowed);
  };
  return !name.empty() && name.size() <= kLongest && is_letter_or_digit(name.front()) &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

void check_name(const Place& place, const char* key, const std::string& name, Dots dots) {
  if (!is_simple_name(name, dots))
    refuse(place, fmt::format("{} '{}' is not usable", key, name),
           fmt::format("it must begin with a letter or digit, have only letters, digits, '-'{} '_', and at "
                       "most 64 of them",
                       dots == Dots::allowed ? ", '.' and" : " and"));
}

void check_sites(const Draft& draft) {
  const auto& sites = draft.plan.sites;
  constexpr std::size_t kMostSites = 1024;
  if (sites.empty())
    refuse(draft.place(""), "the plan has no site", "it asks whether sites can train as one",
           "add two [[site]] tables, each with name and hosts; inside a Slurm job they can come from its "
           "network");
  for (std::size_t i = 0; i < sites.size(); ++i) {
    check_name(draft.place(site_path(i, "name")), "site.name", sites[i].name, Dots::refused);
    for (std::size_t j = 0; j < i; ++j) {
      if (sites[j].name == sites[i].name)
        refuse(draft.place(site_path(i, "name")), fmt::format("two sites are named '{}'", sites[i].name),
               fmt::format("the first is at line {}", draft.place(site_path(j, "name")).line),
               "rename one of them");
    }
  }
  if (sites.size() < 2)
    refuse(draft.place("site.0"), fmt::format("the plan has one site, '{}'", sites[0].name),
           "a verdict compares sites together with each site alone, so it needs two or more",
           "add another [[site]]");
  if (sites.size() > kMostSites)
    refuse(draft.place("site"), fmt::format("the plan has {} sites", sites.size()),
           fmt::format("at most {} are supported", kMostSites));
}

// --- model -----------------------------------------------------------------------------------------------

/// `path`: the key that holds the name.
const ModelShape& model_named(const Draft& draft, const std::string& name, const char* path) {
  std::vector<std::string> names;
  for (const ModelShape& shape : builtin_models()) {
    names.push_back(shape.name);
    if (shape.name == name)
      return shape;
  }
  const auto near = nearest_match(name, names);
  refuse(draft.place(path), fmt::format("there is no model '{}'", name), "valid: " + join(names, ", "),
         near ? fmt::format("did you mean \"{}\"?", *near) : "or give its sizes in [workload.shape]");
}

void resolve_model(Draft& draft) {
  const bool has_shape = draft.was_given("workload.shape");
  const bool has_model = draft.was_given("workload.model");
  if (has_shape && has_model)
    refuse(later_place(draft, "workload.shape", "workload.model"),
           "both workload.model and [workload.shape] are given", "they say the same thing twice",
           "remove one of the two");
  if (!has_shape && !has_model)
    refuse(draft.place("workload"), "neither workload.model nor [workload.shape] is given",
           "the sizes of the model are needed", "add model = \"tiny\", for example");
  if (has_shape) {
    draft.plan.workload.model.name = "inline";
    return;
  }
  draft.plan.workload.model = model_named(draft, draft.model_name, "workload.model");
}

void resolve_stands_for(Draft& draft) {
  if (!draft.was_given("stands_for"))
    return;
  draft.stands_for.model = model_named(draft, draft.stands_for_model, "stands_for.model");
  draft.plan.stands_for = draft.stands_for;
}

/// What a rank can need at most, in bytes: every buffer of the graph, with room to spare. Keeps sizes far
/// from 2^64, so that nobody downstream has to think of overflow.
double most_memory_bytes(const Workload& workload) {
  constexpr double kBytes = 8.0;  // of the widest element
  const ModelShape& m = workload.model;
  const double tokens = static_cast<double>(workload.sequence_length) * workload.sequences;
  const double scores = tokens * workload.sequence_length * m.heads;
  const double width = 8.0 * m.hidden + 6.0 * m.ffn + 4.0 * (m.heads + 2.0 * m.kv_heads) * m.head_dim;
  const double activations = m.layers * (tokens * width + 2.0 * scores) + 2.0 * tokens * m.vocab;
  constexpr double kCopiesOfParameters =
      6.0;  // weights, gradients, reduced gradients, two moments, one to spare
  return kBytes * (kCopiesOfParameters * parameters(m) + activations);
}

void check_sizes(const Draft& draft) {
  const Workload& workload = draft.plan.workload;
  const ModelShape& model = workload.model;
  constexpr double kMostTokens = 2147483647.0;  // a BLAS dimension is a signed 32-bit integer
  const double tokens = static_cast<double>(workload.sequence_length) * workload.sequences;
  if (tokens > kMostTokens)
    refuse(later_place(draft, "workload.sequence_length", "workload.sequences"),
           fmt::format("a micro-batch of {} x {} tokens is too large", workload.sequences,
                       workload.sequence_length),
           "a matrix can have at most 2147483647 rows", "make it several micro-batches");
  constexpr double kMostLayerPasses = 100'000.0;
  const double passes = static_cast<double>(model.layers) * workload.micro_batches;
  if (passes > kMostLayerPasses)
    refuse(later_place(draft, "workload.micro_batches", "workload.shape.layers"),
           fmt::format("{} layers x {} micro-batches make a step of too many operations", model.layers,
                       workload.micro_batches),
           "layers x micro-batches can be 100000 at most", "use fewer, larger micro-batches");
  constexpr double kMostBytes = 1152921504606846976.0;  // 2^60: 1 EiB
  const double bytes = most_memory_bytes(workload);
  if (bytes > kMostBytes)
    refuse(draft.place("workload"), fmt::format("one rank could need {}", format_bytes(bytes)),
           "more than 1 EiB is taken for a slip", "check sequence_length, sequences and the model's sizes");
}

void check_tensor_parallel(const Draft& draft) {
  const Plan& plan = draft.plan;
  const std::uint32_t parallel = plan.workload.tensor_parallel;
  const ModelShape& model = plan.workload.model;
  const Place place = draft.place("workload.tensor_parallel");
  for (std::uint32_t i = 0; i < plan.sites.size(); ++i) {
    const auto ranks = declared_ranks(plan, SiteId(i));
    if (!ranks)
      continue;
    if (parallel > *ranks)
      refuse(place,
             fmt::format("workload.tensor_parallel is {}, but site '{}' has {} rank{}", parallel,
                         plan.sites[i].name, *ranks, *ranks == 1 ? "" : "s"),
             "the ranks of one replica are always inside one site",
             "lower tensor_parallel, or give the site more slots");
    if (*ranks % parallel != 0)
      refuse(place,
             fmt::format("workload.tensor_parallel is {}, which does not divide the {} ranks of site '{}'",
                         parallel, *ranks, plan.sites[i].name),
             "every rank must belong to a whole replica",
             "change tensor_parallel, or the site's hosts or slots");
  }
  struct Divided {
    const char* name;
    std::uint32_t value;
  };
  for (const Divided& divided : {Divided{"heads", model.heads}, Divided{"kv_heads", model.kv_heads},
                                 Divided{"ffn", model.ffn}, Divided{"vocab", model.vocab}}) {
    if (divided.value % parallel != 0)
      refuse(place,
             fmt::format("workload.tensor_parallel is {}, which does not divide the model's {} = {}",
                         parallel, divided.name, divided.value),
             "each rank holds an equal share of it", "change tensor_parallel, or the model");
  }
}

// --- legs ------------------------------------------------------------------------------------------------

void default_legs(Draft& draft) {
  Leg joint{"joint", LegKind::joint, {}};
  for (std::uint32_t i = 0; i < draft.plan.sites.size(); ++i) {
    const std::string& name = draft.plan.sites[i].name;
    if (name == joint.name)
      refuse(draft.place(site_path(i, "name")), "a site is named 'joint'",
             "that is the name of the leg that has all sites", "rename the site");
    draft.plan.legs.push_back({name, LegKind::baseline, {SiteId(i)}});
    joint.sites.emplace_back(i);
  }
  draft.plan.legs.push_back(joint);
}

Leg resolve_leg(const Draft& draft, std::size_t index) {
  const LegDraft& written = draft.legs[index];
  std::vector<std::string> names;
  for (const Site& site : draft.plan.sites)
    names.push_back(site.name);
  Leg leg{written.name, written.kind, {}};
  for (std::size_t i = 0; i < written.sites.size(); ++i) {
    const std::string& name = written.sites[i];
    const Place place = draft.place(fmt::format("leg.{}.sites.{}", index, i));
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      const auto near = nearest_match(name, names);
      refuse(place, fmt::format("leg '{}' has the unknown site '{}'", leg.name, name),
             "valid: " + join(names, ", "), near ? fmt::format("did you mean \"{}\"?", *near) : "");
    }
    const SiteId site(static_cast<std::uint32_t>(found - names.begin()));
    if (std::find(leg.sites.begin(), leg.sites.end(), site) != leg.sites.end())
      refuse(place, fmt::format("leg '{}' names site '{}' twice", leg.name, name), "a site takes part once",
             "remove one of the two");
    leg.sites.push_back(site);
  }
  const Place sites_place = draft.place(leg_path(index, "sites"));
  if (leg.kind == LegKind::baseline && leg.sites.size() != 1)
    refuse(sites_place, fmt::format("baseline leg '{}' has {} sites", leg.name, leg.sites.size()),
           "a baseline is one site alone", "name one site, or set kind = \"joint\"");
  if (leg.kind == LegKind::joint && leg.sites.size() < 2)
    refuse(sites_place,
           fmt::format("joint leg '{}' has {} site{}", leg.name, leg.sites.size(),
                       leg.sites.size() == 1 ? "" : "s"),
           "it is where sites train together, so it needs two or more",
           "name all sites, or set kind = \"baseline\"");
  return leg;
}

/// One joint leg with every site, and one baseline of each: anything else leaves eta without a meaning.
void check_leg_set(const Draft& draft) {
  const Plan& plan = draft.plan;
  const Leg* joint = nullptr;
  for (std::size_t i = 0; i < plan.legs.size(); ++i) {
    const Leg& leg = plan.legs[i];
    for (std::size_t j = 0; j < i; ++j) {
      const Leg& other = plan.legs[j];
      if (other.name == leg.name)
        refuse(draft.place(leg_path(i, "name")), fmt::format("two legs are named '{}'", leg.name),
               fmt::format("the first is at line {}", draft.place(leg_path(j, "name")).line),
               "rename one of them");
      if (leg.kind == LegKind::baseline && other.kind == LegKind::baseline && other.sites == leg.sites)
        refuse(draft.place(leg_path(i, "sites")),
               fmt::format("legs '{}' and '{}' are both the baseline of site '{}'", other.name, leg.name,
                           plan.sites[leg.sites[0].value()].name),
               "one leg of each site alone is what the joint leg is held against",
               "remove one; run.rounds repeats it");
    }
    if (leg.kind != LegKind::joint)
      continue;
    if (joint != nullptr)
      refuse(draft.place(leg_path(i, "kind")),
             fmt::format("legs '{}' and '{}' are both joint", joint->name, leg.name),
             "one plan gives one verdict", "put the second into a plan of its own");
    joint = &leg;
  }
  if (joint == nullptr)
    refuse(draft.place("leg"), "no leg is joint", "without the sites together there is nothing to judge",
           "add a [[leg]] with kind = \"joint\" and all sites");
  for (std::uint32_t i = 0; i < plan.sites.size(); ++i) {
    const std::string& name = plan.sites[i].name;
    if (std::find(joint->sites.begin(), joint->sites.end(), SiteId(i)) == joint->sites.end())
      refuse(draft.place(site_path(i, "name")), fmt::format("site '{}' takes no part in the joint leg", name),
             "the verdict is about all sites of the plan", "add it to that leg, or remove the site");
    const auto is_baseline = [i](const Leg& leg) {
      return leg.kind == LegKind::baseline && leg.sites[0] == SiteId(i);
    };
    if (std::none_of(plan.legs.begin(), plan.legs.end(), is_baseline))
      refuse(draft.place("leg"), fmt::format("site '{}' has no baseline leg", name),
             "the joint leg is held against each site alone",
             fmt::format("add a [[leg]] with kind = \"baseline\" and sites = [\"{}\"]", name));
  }
}

void resolve_legs(Draft& draft) {
  if (draft.legs.empty())
    return default_legs(draft);
  for (std::size_t i = 0; i < draft.legs.size(); ++i) {
    check_name(draft.place(leg_path(i, "name")), "leg.name", draft.legs[i].name, Dots::refused);
    draft.plan.legs.push_back(resolve_leg(draft, i));
  }
  check_leg_set(draft);
}

// --- the rest --------------------------------------------------------------------------------------------

void check_compute(const Draft& draft) {
  const Compute& compute = draft.plan.compute;
  if (compute.kernel.empty())
    refuse(draft.place("compute.kernel"), "compute.kernel is empty", "it names a kernel", "write \"auto\"");
  if (compute.backend != ComputeBackend::paced)
    return;
  struct Rate {
    const char* key;
    double value;
    const char* example;
  };
  for (const Rate& rate : {Rate{"compute.paced_gflops", compute.paced_gflops, "100.0"},
                           Rate{"compute.paced_memory_gbps", compute.paced_memory_gbps, "10.0"}}) {
    if (rate.value > 0.0)
      continue;
    const bool given = draft.was_given(rate.key);
    refuse(draft.place(given ? rate.key : "compute.backend"),
           fmt::format("compute.backend is \"paced\", but {} {}", rate.key, given ? "is 0" : "is not given"),
           "a paced run waits as long as the work would take at that rate",
           fmt::format("set {} = {}, for example", rate.key, rate.example));
  }
}

/// Gradients must be where the fabric takes them from.
void check_fabric(const Draft& draft) {
  const ComputeBackend compute = draft.plan.compute.backend;
  const FabricBackend fabric = draft.plan.fabric.backend;
  const Place place = later_place(draft, "compute.backend", "fabric.backend");
  if (fabric == FabricBackend::mpi && compute == ComputeBackend::cuda)
    refuse(place, "fabric.backend is \"mpi\" and compute.backend is \"cuda\"",
           "MPI from host memory cannot send what lies on GPUs",
           "set fabric.backend = \"nccl\", or \"host-staged\" to go through host memory");
  if (fabric != FabricBackend::mpi && compute == ComputeBackend::cpu)
    refuse(place, fmt::format("fabric.backend is \"{}\" and compute.backend is \"cpu\"", to_string(fabric)),
           "it sends what lies on GPUs", "set fabric.backend = \"mpi\"");
}

void check_mpi(const Draft& draft) {
  for (const auto& [name, value] : draft.plan.mpi.mca) {
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!plain)
      refuse(draft.place("mpi.mca." + name), fmt::format("mpi.mca.{} is no name of an MCA parameter", name),
             "they have letters, digits and '_'", "write it like btl_tcp_if_include");
  }
}

void check_run_length(const Draft& draft) {
  const Run& run = draft.plan.run;
  const Criteria& criteria = draft.plan.criteria;
  const auto steps = static_cast<std::uint64_t>(run.steps) * run.rounds;
  if (steps < criteria.min_steps) {
    const Place place = draft.was_given("run.steps") || draft.was_given("run.rounds")
                            ? later_place(draft, "run.steps", "run.rounds")
                            : draft.place("criteria.min_steps");
    const auto up = [](std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; };
    refuse(place,
           fmt::format("run.steps {} x run.rounds {} = {} steady steps a leg, but criteria.min_steps is {}",
                       run.steps, run.rounds, steps, criteria.min_steps),
           "the verdict could only be inconclusive",
           fmt::format("set run.steps to {} or more, run.rounds to {} or more, or lower criteria.min_steps",
                       up(criteria.min_steps, run.rounds), up(criteria.min_steps, run.steps)));
  }
  const double checked = draft.plan.validation.step_share * run.steps;
  constexpr double kRounding = 1e-9;
  if (checked < 1.0 - kRounding)
    refuse(draft.place("validation.step_share"),
           fmt::format("validation.step_share {} of {} steps checks none", draft.plan.validation.step_share,
                       run.steps),
           "data that were never checked leave the verdict inconclusive",
           fmt::format("set validation.step_share to {:.2g} or more", std::ceil(100.0 / run.steps) / 100.0));
}

void check_criteria(const Draft& draft) {
  const Criteria& criteria = draft.plan.criteria;
  struct Ordered {
    const char* low;
    double low_value;
    const char* high;
    double high_value;
  };
  for (const Ordered& pair :
       {Ordered{"criteria.eta_a", criteria.eta_a, "criteria.eta_a_plus", criteria.eta_a_plus},
        Ordered{"criteria.eta_b", criteria.eta_b, "criteria.eta_a", criteria.eta_a}}) {
    if (pair.low_value > pair.high_value)
      refuse(later_place(draft, pair.low, pair.high),
             fmt::format("{} is {}, above {} = {}", pair.low, pair.low_value, pair.high, pair.high_value),
             "a better grade cannot ask for less", "order them eta_b <= eta_a <= eta_a_plus");
  }
}

}  // namespace

void check_shape(const Draft& draft) {
  const ModelShape& model = draft.plan.workload.model;
  if (model.heads % model.kv_heads != 0)
    refuse(later_place(draft, "workload.shape.heads", "workload.shape.kv_heads"),
           fmt::format("kv_heads = {} does not divide heads = {}", model.kv_heads, model.heads),
           "each key and value head serves the same number of query heads", "change one of the two");
}

void check_draft(Draft& draft) {
  check_name(draft.place("name"), "name", draft.plan.name, Dots::allowed);
  check_sites(draft);
  check_hosts(draft);
  resolve_model(draft);
  resolve_stands_for(draft);
  check_shape(draft);
  check_sizes(draft);
  check_tensor_parallel(draft);
  resolve_legs(draft);
  check_compute(draft);
  check_dtype(draft);
  check_fabric(draft);
  check_mpi(draft);
  resolve_drills(draft);
  check_recovery(draft);
  check_run_length(draft);
  check_criteria(draft);
}

}  // namespace lockstep::plan
