#include "workloads/transformer.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "harness/core/error.hpp"

namespace lockstep::workloads {
namespace {

using step::BufferRef;
using step::BufferRole;
using step::Comm;
using step::CommKind;
using step::Gemm;
using step::Op;
using step::Phase;

/// One weight, in the order in which backward completes the gradients.
struct Weight {
  std::string name;
  std::uint64_t rows = 0;     ///< k of the forward product; 1 for a vector
  std::uint64_t columns = 0;  ///< n of the forward product
  std::uint64_t offset = 0;   ///< in the weights buffer
  std::uint32_t bucket = 0;
  std::uint64_t bucket_offset = 0;
  [[nodiscard]] std::uint64_t elements() const { return rows * columns; }
};

struct LayerWeights {
  std::size_t qkv, projection, gate_up, down;  // indices into the weights
};

/// Per-rank sizes that all products are made of.
struct Sizes {
  explicit Sizes(const plan::Workload& workload) {
    const plan::ModelShape& model = workload.model;
    const std::uint64_t t = workload.tensor_parallel;
    tokens = static_cast<std::uint64_t>(workload.sequences) * workload.sequence_length;
    sequence = workload.sequence_length;
    hidden = model.hidden;
    head_dim = model.head_dim;
    heads = workload.sequences * (model.heads / t);
    qkv = (model.heads + 2ULL * model.kv_heads) * model.head_dim / t;
    attention = static_cast<std::uint64_t>(model.heads) * model.head_dim / t;
    ffn = model.ffn / t;
    gate_up = (model.gated_mlp ? 2 : 1) * ffn;
    vocab = model.vocab / t;
  }
  std::uint64_t tokens, sequence, hidden, head_dim;
  std::uint64_t heads;  ///< attention products in a micro-batch: sequences x heads of this rank
  std::uint64_t qkv, attention, ffn, gate_up, vocab;
};

/// What is stored and multiplied in which format.
struct Types {
  step::Dtype wide = step::Dtype::f32;  ///< weights and activations
  Gemm::Math math = Gemm::Math::full;
  bool fp8 = false;  ///< linear layers; `wide` is for the rest
};

Types types_of(plan::WorkloadDtype dtype) {
  switch (dtype) {
    case plan::WorkloadDtype::f32:
      return {};
    case plan::WorkloadDtype::tf32:
      return {step::Dtype::f32, Gemm::Math::tf32, false};
    case plan::WorkloadDtype::bf16:
      return {step::Dtype::bf16, Gemm::Math::full, false};
    case plan::WorkloadDtype::f16:
      return {step::Dtype::f16, Gemm::Math::full, false};
    case plan::WorkloadDtype::fp8:
      return {step::Dtype::bf16, Gemm::Math::full, true};
  }
  LOCKSTEP_EXPECT(false, "no such dtype of a workload");
}

class Builder {
 public:
  Builder(const plan::Workload& workload, const step::RankLayout& layout)
      : workload_(workload), layout_(layout), sizes_(workload), types_(types_of(workload.dtype)) {}

  step::StepGraph build() {
    graph_.workload = "transformer";
    graph_.tokens_per_rank =
        static_cast<double>(sizes_.tokens) * workload_.micro_batches / workload_.tensor_parallel;
    make_groups();
    list_weights();
    fill_buckets();
    make_buffers();
    for (std::uint32_t mb = 0; mb < workload_.micro_batches; ++mb) {
      prefix_ = "mb" + std::to_string(mb) + ".";
      accumulate_ = mb > 0;
      last_micro_batch_ = mb + 1 == workload_.micro_batches;
      forward();
      backward();
    }
    optimizer();
    graph_.check();
    return std::move(graph_);
  }

 private:
  void make_groups() {
    const std::uint32_t ranks = layout_.ranks();
    const std::uint32_t t = workload_.tensor_parallel;
    for (const std::uint32_t in_site : layout_.ranks_per_site)
      LOCKSTEP_EXPECT(in_site > 0 && in_site % t == 0, "a replica must lie inside one site");
    step::Group data{"data_parallel", {}, layout_.ranks_per_site.size() > 1};
    data.parts.resize(t);
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      data.parts[rank % t].emplace_back(rank);
    graph_.groups.push_back(std::move(data));
    step::Group tensor{"tensor_parallel", {}, false};
    tensor.parts.resize(ranks / t);
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      tensor.parts[rank / t].emplace_back(rank);
    graph_.groups.push_back(std::move(tensor));
  }

  std::size_t add_weight(std::string name, std::uint64_t rows, std::uint64_t columns) {
    weights_.push_back({std::move(name), rows, columns, 0, 0, 0});
    return weights_.size() - 1;
  }

  void list_weights() {
    head_ = add_weight("head", sizes_.hidden, sizes_.vocab);
    add_weight("final_norm", 1, sizes_.hidden);
    layers_.resize(workload_.model.layers);
    for (std::uint32_t layer = workload_.model.layers; layer-- > 0;) {
      const std::string name = "layer" + std::to_string(layer) + ".";
      LayerWeights& of = layers_[layer];
      of.down = add_weight(name + "down", sizes_.ffn, sizes_.hidden);
      of.gate_up = add_weight(name + "gate_up", sizes_.hidden, sizes_.gate_up);
      of.projection = add_weight(name + "projection", sizes_.attention, sizes_.hidden);
      of.qkv = add_weight(name + "qkv", sizes_.hidden, sizes_.qkv);
      add_weight(name + "norms", 2, sizes_.hidden);
    }
    add_weight("embedding", sizes_.vocab, sizes_.hidden);
  }

  void fill_buckets() {
    const std::uint64_t replicas = layout_.ranks() / workload_.tensor_parallel;
    const std::uint64_t least = workload_.bucket_parameters > 0
                                    ? workload_.bucket_parameters
                                    : std::max<std::uint64_t>(40'000'000, 1'000'000 * replicas);
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      if (bucket_elements_.empty() || bucket_elements_.back() >= least)
        bucket_elements_.push_back(0);
      Weight& weight = weights_[i];
      weight.offset = offset;
      weight.bucket = static_cast<std::uint32_t>(bucket_elements_.size() - 1);
      weight.bucket_offset = bucket_elements_.back();
      offset += weight.elements();
      bucket_elements_.back() += weight.elements();
    }
    parameters_ = offset;
  }

  BufferId add_buffer(std::string name, BufferRole role, std::uint64_t elements,
                      step::Dtype dtype = step::Dtype::f32) {
    graph_.buffers.push_back({std::move(name), role, dtype, elements});
    return BufferId{static_cast<std::uint32_t>(graph_.buffers.size() - 1)};
  }

  void make_buffers() {
    const Sizes& s = sizes_;
    const std::uint64_t scores = s.heads * s.sequence * s.sequence;
    const std::uint64_t rows = s.tokens;
    const std::uint64_t widest = std::max(
        {rows * s.hidden, rows * s.qkv, rows * s.attention, rows * s.gate_up, rows * s.vocab, scores});
    weights_buffer_ = add_buffer("weights", BufferRole::weights, parameters_, types_.wide);
    if (types_.wide != step::Dtype::f32)
      main_weights_ = add_buffer("weights.main", BufferRole::weights, parameters_);
    // Inputs are never written and outputs never read back, so that values neither grow nor fade over the
    // steps.
    inputs_ = add_buffer("activations.read", BufferRole::activations, 2 * widest, types_.wide);
    outputs_ = add_buffer("activations.written", BufferRole::activations, widest, types_.wide);
    if (workload_.tensor_parallel > 1)
      summed_ = add_buffer("activations.summed", BufferRole::activations, rows * s.hidden, types_.wide);
    if (types_.fp8) {
      const std::uint64_t widest_fp8 =
          std::max({rows * s.hidden, rows * s.qkv, rows * s.attention, rows * s.gate_up});
      inputs_fp8_ =
          add_buffer("activations.read.e4m3", BufferRole::activations, widest_fp8, step::Dtype::e4m3);
      gradients_fp8_ =
          add_buffer("gradients.read.e5m2", BufferRole::activations, widest_fp8, step::Dtype::e5m2);
      weights_fp8_ = add_buffer("weights.e4m3", BufferRole::weights, parameters_, step::Dtype::e4m3);
    }
    for (std::size_t i = 0; i < bucket_elements_.size(); ++i) {
      const std::string name = "bucket" + std::to_string(i);
      gradients_.push_back(add_buffer(name + ".gradients", BufferRole::gradients, bucket_elements_[i]));
      reduced_.push_back(add_buffer(name + ".reduced", BufferRole::reduced, bucket_elements_[i]));
    }
    first_moment_ = add_buffer("first_moment", BufferRole::optimizer_state, parameters_);
    second_moment_ = add_buffer("second_moment", BufferRole::optimizer_state, parameters_);
    input_elements_ = widest;
  }

  OpId add(const std::string& name, Phase phase, Op op) {
    op.name = prefix_ + name;
    op.phase = phase;
    if (awaited_) {
      op.after.push_back(*awaited_);
      awaited_.reset();
    }
    graph_.ops.push_back(std::move(op));
    return OpId{static_cast<std::uint32_t>(graph_.ops.size() - 1)};
  }

  OpId add_gemm(const std::string& name, Phase phase, const Gemm& gemm) {
    Op op;
    op.work = gemm;
    return add(name, phase, std::move(op));
  }

  /// Linear layers in fp8: all but the head, as is usual.
  [[nodiscard]] bool in_fp8(std::size_t index) const { return types_.fp8 && index != head_; }

  [[nodiscard]] BufferRef first_input() const { return {inputs_, 0}; }
  [[nodiscard]] BufferRef second_input() const { return {inputs_, input_elements_}; }
  [[nodiscard]] BufferRef output() const { return {outputs_, 0}; }

  [[nodiscard]] Gemm product(std::uint64_t m, std::uint64_t n, std::uint64_t k, Gemm::Layout layout,
                             BufferRef a, BufferRef b, BufferRef c) const {
    Gemm gemm;
    gemm.dtype = graph_.buffer(a.buffer).dtype;
    gemm.math = types_.math;
    gemm.m = m;
    gemm.n = n;
    gemm.k = k;
    gemm.layout = layout;
    gemm.a = a;
    gemm.b = b;
    gemm.c = c;
    return gemm;
  }

  void forward_weight(std::size_t index) {
    const Weight& weight = weights_[index];
    if (in_fp8(index)) {
      add_gemm(weight.name, Phase::forward,
               product(sizes_.tokens, weight.columns, weight.rows, Gemm::Layout::nt, {inputs_fp8_, 0},
                       {weights_fp8_, weight.offset}, output()));
      return;
    }
    add_gemm(weight.name, Phase::forward,
             product(sizes_.tokens, weight.columns, weight.rows, Gemm::Layout::nn, first_input(),
                     {weights_buffer_, weight.offset}, output()));
  }

  OpId input_gradient(std::size_t index) {
    const Weight& weight = weights_[index];
    const BufferRef gradient = in_fp8(index) ? BufferRef{gradients_fp8_, 0} : first_input();
    const BufferId weights = in_fp8(index) ? weights_fp8_ : weights_buffer_;
    return add_gemm(weight.name + ".input_gradient", Phase::backward,
                    product(sizes_.tokens, weight.rows, weight.columns, Gemm::Layout::nt, gradient,
                            {weights, weight.offset}, output()));
  }

  void weight_gradient(std::size_t index) {
    const Weight& weight = weights_[index];
    const BufferRef result{gradients_[weight.bucket], weight.bucket_offset};
    Gemm gemm = in_fp8(index) ? product(weight.rows, weight.columns, sizes_.tokens, Gemm::Layout::nt,
                                        {inputs_fp8_, 0}, {gradients_fp8_, 0}, result)
                              : product(weight.rows, weight.columns, sizes_.tokens, Gemm::Layout::tn,
                                        first_input(), second_input(), result);
    gemm.accumulate = accumulate_;
    note_gradient(index, add_gemm(weight.name + ".weight_gradient", Phase::backward, gemm));
  }

  /// Remembers the op that completes a weight's gradient, and sends the bucket once nothing is missing in it.
  void note_gradient(std::size_t index, OpId op) {
    if (!last_micro_batch_)
      return;
    const std::uint32_t bucket = weights_[index].bucket;
    const bool closes = index + 1 == weights_.size() || weights_[index + 1].bucket != bucket;
    if (workload_.overlap && closes)
      send_bucket(bucket, op);
  }

  void attention(const std::string& name, Phase phase, std::uint64_t m, std::uint64_t n, std::uint64_t k,
                 Gemm::Layout layout) {
    Gemm gemm = product(m, n, k, layout, first_input(), second_input(), output());
    gemm.batch = sizes_.heads;
    add_gemm(name, phase, gemm);
  }

  /// Sum of partial results over the tensor-parallel group; the next compute op waits for it.
  void sum_over_tensor_group(const std::string& name, Phase phase, OpId partial_sums) {
    if (workload_.tensor_parallel == 1)
      return;
    Comm comm;
    comm.kind = CommKind::all_reduce;
    comm.group = GroupId{1};
    comm.dtype = types_.wide;
    comm.elements = sizes_.tokens * sizes_.hidden;
    comm.from = output();
    comm.to = {summed_, 0};
    Op op;
    op.work = comm;
    op.after = {partial_sums};
    awaited_ = add(name + ".all_reduce", phase, std::move(op));
  }

  /// Both gradients of a column-parallel weight: the sum over the group runs beside the weight gradient.
  void input_gradient_summed(const std::string& name, std::size_t index) {
    const OpId partial_sums = input_gradient(index);
    weight_gradient(index);
    sum_over_tensor_group(name + ".input_gradient", Phase::backward, partial_sums);
  }

  void forward() {
    const std::uint64_t s = sizes_.sequence;
    const std::uint64_t d = sizes_.head_dim;
    for (std::uint32_t layer = 0; layer < workload_.model.layers; ++layer) {
      const std::string name = "layer" + std::to_string(layer) + ".";
      forward_weight(layers_[layer].qkv);
      attention(name + "scores", Phase::forward, s, s, d, Gemm::Layout::nt);
      attention(name + "context", Phase::forward, s, d, s, Gemm::Layout::nn);
      forward_weight(layers_[layer].projection);
      sum_over_tensor_group(name + "projection", Phase::forward, last_op());
      forward_weight(layers_[layer].gate_up);
      forward_weight(layers_[layer].down);
      sum_over_tensor_group(name + "down", Phase::forward, last_op());
    }
    forward_weight(head_);
  }

  void backward() {
    const std::uint64_t s = sizes_.sequence;
    const std::uint64_t d = sizes_.head_dim;
    input_gradient(head_);
    weight_gradient(head_);
    note_gradient(head_ + 1, last_op());  // final norm
    for (std::uint32_t layer = workload_.model.layers; layer-- > 0;) {
      const std::string name = "layer" + std::to_string(layer) + ".";
      const LayerWeights& of = layers_[layer];
      input_gradient(of.down);
      weight_gradient(of.down);
      input_gradient_summed(name + "gate_up", of.gate_up);
      input_gradient(of.projection);
      weight_gradient(of.projection);
      attention(name + "probability_gradient", Phase::backward, s, s, d, Gemm::Layout::nt);
      attention(name + "value_gradient", Phase::backward, s, d, s, Gemm::Layout::tn);
      attention(name + "query_gradient", Phase::backward, s, d, s, Gemm::Layout::nn);
      attention(name + "key_gradient", Phase::backward, s, d, s, Gemm::Layout::tn);
      input_gradient_summed(name + "qkv", of.qkv);
      note_gradient(of.qkv + 1, last_op());  // norms
    }
    note_gradient(weights_.size() - 1, last_op());  // embedding
  }

  [[nodiscard]] OpId last_op() const {
    // The last compute op: a bucket that was just sent must not become a dependency of the next one.
    for (std::size_t i = graph_.ops.size(); i-- > 0;) {
      if (graph_.ops[i].stream() == step::Stream::compute)
        return OpId{static_cast<std::uint32_t>(i)};
    }
    LOCKSTEP_EXPECT(false, "no compute op yet");
    return {};
  }

  void send_bucket(std::uint32_t bucket, OpId ready) {
    Comm comm;
    comm.kind = CommKind::all_reduce;
    comm.group = GroupId{0};
    comm.elements = bucket_elements_[bucket];
    comm.from = {gradients_[bucket], 0};
    comm.to = {reduced_[bucket], 0};
    comm.validated = true;
    Op op;
    op.name = "bucket" + std::to_string(bucket) + ".all_reduce";
    op.phase = Phase::backward;
    op.work = comm;
    op.after = {ready};
    graph_.ops.push_back(std::move(op));
    sent_.emplace_back(static_cast<std::uint32_t>(graph_.ops.size() - 1));
  }

  void optimizer() {
    if (!workload_.overlap) {
      const OpId end = last_op();
      for (std::uint32_t bucket = 0; bucket < bucket_elements_.size(); ++bucket)
        send_bucket(bucket, end);
    }
    LOCKSTEP_EXPECT(sent_.size() == bucket_elements_.size(), "a bucket was never sent");
    prefix_.clear();
    if (workload_.gradient_clipping) {
      add_update("optimizer", 0, parameters_, reduced_, sent_);
      return;
    }
    std::uint64_t offset = 0;
    for (std::uint32_t bucket = 0; bucket < bucket_elements_.size(); ++bucket) {
      add_update("bucket" + std::to_string(bucket) + ".optimizer", offset, bucket_elements_[bucket],
                 {reduced_[bucket]}, {sent_[bucket]});
      offset += bucket_elements_[bucket];
    }
  }

  void add_update(const std::string& name, std::uint64_t offset, std::uint64_t elements,
                  std::vector<BufferId> gradients, std::vector<OpId> after) {
    step::Update update;
    update.elements = elements;
    update.gradients = std::move(gradients);
    update.parameters = {types_.wide == step::Dtype::f32 ? weights_buffer_ : main_weights_, offset};
    if (types_.wide != step::Dtype::f32) {
      // With fp8, the copy is what most products read; the head's bf16 weights are not written anew.
      update.copy = BufferRef{types_.fp8 ? weights_fp8_ : weights_buffer_, offset};
      update.copy_bytes = bytes_of(graph_.buffer(update.copy->buffer).dtype);
    }
    update.first_moment = {first_moment_, offset};
    update.second_moment = {second_moment_, offset};
    Op op;
    op.work = std::move(update);
    op.after = std::move(after);
    add(name, Phase::optimizer, std::move(op));
  }

  const plan::Workload& workload_;
  const step::RankLayout& layout_;
  const Sizes sizes_;
  const Types types_;
  step::StepGraph graph_;
  std::vector<Weight> weights_;
  std::vector<LayerWeights> layers_;
  std::size_t head_ = 0;
  std::vector<std::uint64_t> bucket_elements_;
  std::vector<OpId> sent_;
  std::uint64_t parameters_ = 0;
  std::uint64_t input_elements_ = 0;
  BufferId main_weights_, weights_fp8_, inputs_fp8_, gradients_fp8_;  // where the dtype asks for them
  BufferId weights_buffer_, inputs_, outputs_, summed_, first_moment_, second_moment_;
  std::vector<BufferId> gradients_, reduced_;
  std::string prefix_;
  bool accumulate_ = false;
  bool last_micro_batch_ = false;
  std::optional<OpId> awaited_;
};

}  // namespace

step::StepGraph build_transformer(const plan::Workload& workload, const step::RankLayout& layout) {
  return Builder(workload, layout).build();
}

double parameters_per_rank(const plan::Workload& workload) {
  const Sizes s(workload);
  const auto hidden = static_cast<double>(s.hidden);
  const double layer = hidden * static_cast<double>(s.qkv + s.attention + s.gate_up + s.ffn + 2);
  return layer * workload.model.layers + hidden * (2.0 * static_cast<double>(s.vocab) + 1.0);
}

}  // namespace lockstep::workloads
