#include "harness/plan/keys.hpp"

#include <algorithm>
#include <initializer_list>
#include <set>

#include <fmt/format.h>

#include "harness/core/text.hpp"

namespace lockstep::plan {
namespace {

constexpr double kAWeek = 604800.0;

template <class Enum>
ChoiceField choice(Enum& (*at)(Draft&), std::initializer_list<Enum> values) {
  const std::vector<Enum> list(values);
  ChoiceField field;
  for (const Enum value : list)
    field.choices.emplace_back(to_string(value));
  field.choose = [at, list](Draft& draft, std::size_t index) { at(draft) = list[index]; };
  field.chosen = [at, list](Draft& draft) {
    return static_cast<std::size_t>(std::find(list.begin(), list.end(), at(draft)) - list.begin());
  };
  return field;
}

ChoiceField word(std::string& (*at)(Draft&), const std::vector<std::string>& words) {
  ChoiceField field;
  field.choices = words;
  field.choose = [at, words](Draft& draft, std::size_t index) { at(draft) = words[index]; };
  field.chosen = [at, words](Draft& draft) {
    return static_cast<std::size_t>(std::find(words.begin(), words.end(), at(draft)) - words.begin());
  };
  return field;
}

IntegerField integer(std::uint32_t& (*at)(Draft&), std::int64_t least, std::int64_t most) {
  return {at, least, most};
}
IntegerField integer64(std::uint64_t& (*at)(Draft&), std::int64_t least, std::int64_t most) {
  return {at, least, most};
}
NumberField number(double& (*at)(Draft&), double least, double most) {
  return {at, least, most, LowerBound::included};
}
NumberField above_zero(double& (*at)(Draft&), double most) {
  return {at, 0.0, most, LowerBound::excluded};
}
NumberField share(double& (*at)(Draft&)) {
  return number(at, 0.0, 1.0);
}

// The upper limits of the shape keep every product of two of them, and every BLAS dimension, inside 31 bits
// or are checked as products in check.cpp.
std::vector<Key> make_table() {
  using enum Presence;
  using D = Draft&;
  using U32 = std::uint32_t&;
  using F64 = double&;
  using Text = std::string&;
  using Texts = std::vector<std::string>&;
  return {
      // --- what, and where
      {"name", StringField{[](D d) -> Text { return d.plan.name; }}, required},
      {"placement", choice<Placement>([](D d) -> Placement& { return d.plan.placement; },
                                      {Placement::by_host, Placement::colocated})},
      {"site.name", StringField{[](D d) -> Text { return d.plan.sites.back().name; }}, required},
      {"site.hosts", StringsField{[](D d) -> Texts { return d.plan.sites.back().hosts; }}, conditional},
      {"site.slots", integer([](D d) -> U32 { return d.plan.sites.back().slots; }, 1, 1024)},
      {"site.spares", StringsField{[](D d) -> Texts { return d.plan.sites.back().spares; }}},
      {"leg.name", StringField{[](D d) -> Text { return d.legs.back().name; }}, required},
      {"leg.kind",
       choice<LegKind>([](D d) -> LegKind& { return d.legs.back().kind; },
                       {LegKind::baseline, LegKind::joint}),
       required},
      {"leg.sites", StringsField{[](D d) -> Texts { return d.legs.back().sites; }}, required},

      // --- what is trained
      {"workload.kind", word([](D d) -> Text { return d.plan.workload.kind; }, {"transformer"})},
      {"workload.model", StringField{[](D d) -> Text { return d.model_name; }}, conditional},
      {"workload.dtype", choice<WorkloadDtype>([](D d) -> WorkloadDtype& { return d.plan.workload.dtype; },
                                               {WorkloadDtype::f32, WorkloadDtype::tf32, WorkloadDtype::bf16,
                                                WorkloadDtype::f16, WorkloadDtype::fp8})},
      {"workload.sequence_length",
       integer([](D d) -> U32 { return d.plan.workload.sequence_length; }, 1, 4194304), required},
      {"workload.sequences", integer([](D d) -> U32 { return d.plan.workload.sequences; }, 1, 65536)},
      {"workload.micro_batches", integer([](D d) -> U32 { return d.plan.workload.micro_batches; }, 1, 65536)},
      {"workload.tensor_parallel",
       integer([](D d) -> U32 { return d.plan.workload.tensor_parallel; }, 1, 1024)},
      {"workload.bucket_parameters",
       integer64([](D d) -> std::uint64_t& { return d.plan.workload.bucket_parameters; }, 0,
                 1'000'000'000'000)},
      {"workload.overlap", BooleanField{[](D d) -> bool& { return d.plan.workload.overlap; }}},
      {"workload.gradient_clipping",
       BooleanField{[](D d) -> bool& { return d.plan.workload.gradient_clipping; }}},
      {"workload.shape.layers", integer([](D d) -> U32 { return d.plan.workload.model.layers; }, 1, 4096),
       required},
      {"workload.shape.hidden", integer([](D d) -> U32 { return d.plan.workload.model.hidden; }, 1, 1048576),
       required},
      {"workload.shape.ffn", integer([](D d) -> U32 { return d.plan.workload.model.ffn; }, 1, 4194304),
       required},
      {"workload.shape.heads", integer([](D d) -> U32 { return d.plan.workload.model.heads; }, 1, 4096),
       required},
      {"workload.shape.kv_heads", integer([](D d) -> U32 { return d.plan.workload.model.kv_heads; }, 1, 4096),
       required},
      {"workload.shape.head_dim", integer([](D d) -> U32 { return d.plan.workload.model.head_dim; }, 1, 4096),
       required},
      {"workload.shape.vocab", integer([](D d) -> U32 { return d.plan.workload.model.vocab; }, 1, 16777216),
       required},
      {"workload.shape.gated_mlp",
       BooleanField{[](D d) -> bool& { return d.plan.workload.model.gated_mlp; }}},

      // --- on what
      {"compute.backend",
       choice<ComputeBackend>([](D d) -> ComputeBackend& { return d.plan.compute.backend; },
                              {ComputeBackend::cpu, ComputeBackend::paced, ComputeBackend::cuda})},
      {"compute.kernel", StringField{[](D d) -> Text { return d.plan.compute.kernel; }}},
      {"compute.graphs",
       choice<GraphCapture>([](D d) -> GraphCapture& { return d.plan.compute.graphs; },
                            {GraphCapture::automatic, GraphCapture::off, GraphCapture::on})},
      {"compute.paced_gflops", number([](D d) -> F64 { return d.plan.compute.paced_gflops; }, 0.0, 1e9),
       conditional},
      {"compute.paced_memory_gbps",
       number([](D d) -> F64 { return d.plan.compute.paced_memory_gbps; }, 0.0, 1e6), conditional},
      {"fabric.backend", choice<FabricBackend>([](D d) -> FabricBackend& { return d.plan.fabric.backend; },
                                               {FabricBackend::mpi, FabricBackend::nccl,
                                                FabricBackend::cuda_aware, FabricBackend::host_staged})},
      {"fabric.progress", choice<Progress>([](D d) -> Progress& { return d.plan.fabric.progress; },
                                           {Progress::automatic, Progress::spin, Progress::backoff})},
      {"fabric.all_reduce", choice<AllReduce>([](D d) -> AllReduce& { return d.plan.fabric.all_reduce; },
                                              {AllReduce::flat, AllReduce::hierarchical})},
      {"fabric.piece_mib", integer([](D d) -> U32 { return d.plan.fabric.piece_mib; }, 1, 65536)},
      {"fabric.nccl_ctas", integer([](D d) -> U32 { return d.plan.fabric.nccl_ctas; }, 0, 64)},
      {"fabric.share_gpu", BooleanField{[](D d) -> bool& { return d.plan.fabric.share_gpu; }}},
      {"links.lan_latency_s", number([](D d) -> F64 { return d.plan.links.lan_latency_s; }, 0.0, 10.0)},
      {"links.lan_gbps", above_zero([](D d) -> F64 { return d.plan.links.lan_gbps; }, 1e6)},
      {"links.wan_latency_s", number([](D d) -> F64 { return d.plan.links.wan_latency_s; }, 0.0, 10.0)},
      {"links.wan_gbps", above_zero([](D d) -> F64 { return d.plan.links.wan_gbps; }, 1e6)},

      {"stands_for.model", StringField{[](D d) -> Text { return d.stands_for_model; }}, required},
      {"stands_for.gpus_per_rank",
       integer([](D d) -> U32 { return d.stands_for.gpus_per_rank; }, 1, 1000000)},
      {"stands_for.gpu_gflops", above_zero([](D d) -> F64 { return d.stands_for.gpu_gflops; }, 1e9),
       required},
      {"stands_for.time_scale", above_zero([](D d) -> F64 { return d.stands_for.time_scale; }, 1e6)},

      // --- for how long, and with which care
      {"run.steps", integer([](D d) -> U32 { return d.plan.run.steps; }, 1, 1000000)},
      {"run.warmup_steps", integer([](D d) -> U32 { return d.plan.run.warmup_steps; }, 0, 100000)},
      {"run.rounds", integer([](D d) -> U32 { return d.plan.run.rounds; }, 1, 1000)},
      {"run.op_stamp_steps", integer([](D d) -> U32 { return d.plan.run.op_stamp_steps; }, 1, 1000)},
      {"validation.step_share", share([](D d) -> F64 { return d.plan.validation.step_share; })},
      {"validation.samples", integer([](D d) -> U32 { return d.plan.validation.samples; }, 1, 1048576)},
      {"deadlines.launch_s", above_zero([](D d) -> F64 { return d.plan.deadlines.launch_s; }, kAWeek)},
      {"deadlines.init_s", above_zero([](D d) -> F64 { return d.plan.deadlines.init_s; }, kAWeek)},
      {"deadlines.site_map_s", above_zero([](D d) -> F64 { return d.plan.deadlines.site_map_s; }, kAWeek)},
      {"deadlines.first_op_s", above_zero([](D d) -> F64 { return d.plan.deadlines.first_op_s; }, kAWeek)},
      {"deadlines.op_s", number([](D d) -> F64 { return d.plan.deadlines.op_s; }, 0.0, kAWeek)},
      {"deadlines.wan_op_s", number([](D d) -> F64 { return d.plan.deadlines.wan_op_s; }, 0.0, kAWeek)},
      {"deadlines.step_s", number([](D d) -> F64 { return d.plan.deadlines.step_s; }, 0.0, kAWeek)},
      {"deadlines.least_s", above_zero([](D d) -> F64 { return d.plan.deadlines.least_s; }, kAWeek)},
      {"deadlines.merge_s", above_zero([](D d) -> F64 { return d.plan.deadlines.merge_s; }, kAWeek)},
      {"deadlines.finalize_s", above_zero([](D d) -> F64 { return d.plan.deadlines.finalize_s; }, kAWeek)},
      {"recovery.policy", choice<RestartPolicy>([](D d) -> RestartPolicy& { return d.plan.recovery.policy; },
                                                {RestartPolicy::stop, RestartPolicy::same,
                                                 RestartPolicy::exclude, RestartPolicy::spare})},
      {"recovery.max_restarts", integer([](D d) -> U32 { return d.plan.recovery.max_restarts; }, 0, 1000)},
      {"recovery.backoff_s", number([](D d) -> F64 { return d.plan.recovery.backoff_s; }, 0.0, kAWeek)},
      {"recovery.checkpoint_steps",
       integer([](D d) -> U32 { return d.plan.recovery.checkpoint_steps; }, 0, 1000000)},
      {"recovery.checkpoint_folder",
       StringField{[](D d) -> Text { return d.plan.recovery.checkpoint_folder; }}},
      {"recovery.checkpoint_bytes_per_parameter",
       number([](D d) -> F64 { return d.plan.recovery.checkpoint_bytes_per_parameter; }, 0.0, 1000.0)},
      {"probes.per_second", number([](D d) -> F64 { return d.plan.probes.per_second; }, 0.0, 1000.0)},
      {"health.per_second", number([](D d) -> F64 { return d.plan.health.per_second; }, 0.0, 100.0)},
      {"drill.kind",
       choice<DrillKind>([](D d) -> DrillKind& { return d.plan.drills.back().kind; },
                         {DrillKind::kill, DrillKind::crash, DrillKind::abort, DrillKind::stop,
                          DrillKind::slow, DrillKind::hang, DrillKind::flip, DrillKind::fill, DrillKind::cut,
                          DrillKind::degrade, DrillKind::lose}),
       required},
      {"drill.leg", StringField{[](D d) -> Text { return d.plan.drills.back().leg; }}},
      {"drill.round", integer([](D d) -> U32 { return d.plan.drills.back().round; }, 0, 999)},
      {"drill.step", integer([](D d) -> U32 { return d.plan.drills.back().step; }, 0, 1100000)},
      {"drill.after_s", number([](D d) -> F64 { return d.plan.drills.back().after_s; }, 0.0, kAWeek)},
      {"drill.for_s", number([](D d) -> F64 { return d.plan.drills.back().for_s; }, 0.0, kAWeek)},
      {"drill.factor", number([](D d) -> F64 { return d.plan.drills.back().factor; }, 1.0, 1e6), conditional},
      {"drill.rank", integer([](D d) -> U32 { return d.plan.drills.back().rank.emplace(0); }, 0, 1000000),
       conditional},
      {"drill.host", StringField{[](D d) -> Text { return d.plan.drills.back().host; }}, conditional},
      {"drill.site", StringField{[](D d) -> Text { return d.plan.drills.back().site; }}, conditional},
      {"drill.between", StringsField{[](D d) -> Texts { return d.plan.drills.back().between; }}, conditional},
      {"drill.one_way", BooleanField{[](D d) -> bool& { return d.plan.drills.back().one_way; }}, conditional},
      {"drill.settings", StringsField{[](D d) -> Texts { return d.plan.drills.back().settings; }},
       conditional},
      {"mpi.mpirun_args", StringsField{[](D d) -> Texts { return d.plan.mpi.mpirun_args; }}},
      {"mpi.mca", FreeTableField{[](D d) -> std::map<std::string, std::string>& { return d.plan.mpi.mca; }}},

      // --- and what counts as success
      {"criteria.required_grade", choice<Grade>([](D d) -> Grade& { return d.plan.criteria.required_grade; },
                                                {Grade::a_plus, Grade::a, Grade::b, Grade::c})},
      {"criteria.confidence", number([](D d) -> F64 { return d.plan.criteria.confidence; }, 0.5, 0.9999)},
      {"criteria.min_steps", integer([](D d) -> U32 { return d.plan.criteria.min_steps; }, 1, 1000000000)},
      {"criteria.eta_a_plus", share([](D d) -> F64 { return d.plan.criteria.eta_a_plus; })},
      {"criteria.eta_a", share([](D d) -> F64 { return d.plan.criteria.eta_a; })},
      {"criteria.eta_b", share([](D d) -> F64 { return d.plan.criteria.eta_b; })},
      {"criteria.eta_max", number([](D d) -> F64 { return d.plan.criteria.eta_max; }, 1.0, 1000.0)},
      {"criteria.tail_ratio_max",
       number([](D d) -> F64 { return d.plan.criteria.tail_ratio_max; }, 1.0, 1000.0)},
      {"criteria.exposed_wan_max", share([](D d) -> F64 { return d.plan.criteria.exposed_wan_max; })},
      {"criteria.site_contribution_min",
       share([](D d) -> F64 { return d.plan.criteria.site_contribution_min; })},
      {"criteria.effective_time_min", share([](D d) -> F64 { return d.plan.criteria.effective_time_min; })},
      {"criteria.clock_bound_max", share([](D d) -> F64 { return d.plan.criteria.clock_bound_max; })},
      {"criteria.rate_drift_max", share([](D d) -> F64 { return d.plan.criteria.rate_drift_max; })},
      {"criteria.low_communication_min",
       share([](D d) -> F64 { return d.plan.criteria.low_communication_min; })},
      {"criteria.low_communication_inner_steps",
       integer([](D d) -> U32 { return d.plan.criteria.low_communication_inner_steps; }, 1, 1000000)},
  };
}

const std::set<std::string>& sections() {
  static const std::set<std::string> all = [] {
    std::set<std::string> found;
    for (const Key& key : key_table()) {
      for (std::string section = section_of(key.path); !section.empty(); section = section_of(section))
        found.insert(section);
    }
    return found;
  }();
  return all;
}

/// Keys and tables directly inside a section, as full paths.
std::vector<std::string> members_of(const std::string& section) {
  std::vector<std::string> members;
  for (const Key& key : key_table()) {
    if (section_of(key.path) == section)
      members.push_back(key.path);
  }
  for (const std::string& other : sections()) {
    if (section_of(other) == section)
      members.push_back(other);
  }
  return members;
}

std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".einf") == std::string::npos)
    text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  return "\"" + text + "\"";
}

}  // namespace

const std::vector<Key>& key_table() {
  static const std::vector<Key> table = make_table();
  return table;
}

bool is_section(const std::string& path) {
  return path.empty() || sections().contains(path);
}

bool is_array_section(const std::string& path) {
  return path == "site" || path == "leg" || path == "drill";
}

const Key* find_key(const std::string& path) {
  const auto& table = key_table();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Key& key) { return key.path == path; });
  return found == table.end() ? nullptr : &*found;
}

std::string section_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string leaf_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

std::optional<std::string> nearest_key(const std::string& path) {
  // A misspelt word in the right table is the likeliest slip.
  const std::vector<std::string> members = members_of(section_of(path));
  std::vector<std::string> leaves;
  leaves.reserve(members.size());
  for (const std::string& member : members)
    leaves.push_back(leaf_of(member));
  if (const auto leaf = nearest_match(leaf_of(path), leaves))
    return members[static_cast<std::size_t>(std::find(leaves.begin(), leaves.end(), *leaf) - leaves.begin())];
  // Then the right word in the wrong table, when only one table has that word.
  std::vector<std::string> same_leaf;
  std::vector<std::string> all;
  for (const Key& key : key_table()) {
    all.push_back(key.path);
    if (leaf_of(key.path) == leaf_of(path))
      same_leaf.push_back(key.path);
  }
  if (same_leaf.size() == 1)
    return same_leaf.front();
  all.insert(all.end(), sections().begin(), sections().end());
  return nearest_match(path, all);
}

std::string suggest_key(const std::string& path) {
  if (const auto near = nearest_key(path))
    return "did you mean '" + *near + "'?";
  std::string section = section_of(path);
  if (!is_section(section))
    section.clear();
  std::vector<std::string> leaves;
  for (const std::string& member : members_of(section))
    leaves.push_back(leaf_of(member));
  return "valid here: " + join(leaves, ", ");
}

std::string type_name(const Field& field) {
  struct Name {
    std::string operator()(const StringField&) const { return "string"; }
    std::string operator()(const StringsField&) const { return "array of strings"; }
    std::string operator()(const BooleanField&) const { return "boolean"; }
    std::string operator()(const IntegerField&) const { return "integer"; }
    std::string operator()(const NumberField&) const { return "number"; }
    std::string operator()(const ChoiceField&) const { return "string"; }
    std::string operator()(const FreeTableField&) const { return "table"; }
  };
  return std::visit(Name{}, field);
}

std::string limits_text(const Field& field) {
  if (const auto* integers = std::get_if<IntegerField>(&field))
    return fmt::format("{} to {}", integers->least, integers->most);
  if (const auto* numbers = std::get_if<NumberField>(&field))
    return fmt::format("{}{} to {}", numbers->lower_bound == LowerBound::excluded ? "above " : "",
                       numbers->least, numbers->most);
  if (const auto* choices = std::get_if<ChoiceField>(&field)) {
    std::vector<std::string> words;
    for (const std::string& word : choices->choices)
      words.push_back(quoted(word));
    return join(words, ", ");
  }
  return {};
}

std::string requirement_text(const Field& field) {
  struct Text {
    std::string operator()(const StringField&) const { return "a string"; }
    std::string operator()(const StringsField&) const { return "an array of strings"; }
    std::string operator()(const BooleanField&) const { return "true or false"; }
    std::string operator()(const IntegerField& f) const { return "an integer, " + limits_text(f); }
    std::string operator()(const NumberField& f) const { return "a number, " + limits_text(f); }
    std::string operator()(const ChoiceField& f) const { return "one of " + limits_text(f); }
    std::string operator()(const FreeTableField&) const { return "a table of strings, integers or booleans"; }
  };
  return std::visit(Text{}, field);
}

std::string value_text(const Field& field, Draft& draft) {
  struct Value {
    Draft& draft;
    std::string operator()(const StringField& f) const { return quoted(f.at(draft)); }
    std::string operator()(const StringsField& f) const {
      std::vector<std::string> texts;
      for (const std::string& text : f.at(draft))
        texts.push_back(quoted(text));
      return "[" + join(texts, ", ") + "]";
    }
    std::string operator()(const BooleanField& f) const { return f.at(draft) ? "true" : "false"; }
    std::string operator()(const IntegerField& f) const {
      return std::visit([this](auto at) { return std::to_string(at(draft)); }, f.at);
    }
    std::string operator()(const NumberField& f) const { return number_text(f.at(draft)); }
    std::string operator()(const ChoiceField& f) const { return quoted(f.choices[f.chosen(draft)]); }
    std::string operator()(const FreeTableField&) const { return "{}"; }
  };
  return std::visit(Value{draft}, field);
}

std::string default_text(const Key& key) {
  if (key.presence == Presence::required)
    return "required";
  Draft draft;  // default-constructed: the defaults are written in plan.hpp and nowhere else
  draft.plan.sites.emplace_back();
  draft.legs.emplace_back();
  draft.plan.drills.emplace_back();
  return value_text(key.field, draft);
}

}  // namespace lockstep::plan
