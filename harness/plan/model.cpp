#include "harness/plan/model.hpp"

#include <algorithm>

#include "harness/core/error.hpp"
#include "harness/plan/check.hpp"
#include "harness/plan/read.hpp"

namespace lockstep::plan {
namespace {

struct NumberedShape {
  int line = 0;
  ModelShape shape;
};

std::vector<ModelShape> read_models() {
  const std::string file = "workloads/models.toml";
  const toml::table root = parse_toml(models_text(), file);
  std::vector<NumberedShape> found;
  for (const auto& [name, node] : root) {
    const toml::table* table = node.as_table();
    const Place place = place_of(node, file);
    if (table == nullptr)
      throw InputError(
          problem_at(place, "'" + std::string(name.str()) + "' is no table", "each model is one"));
    Draft draft;
    draft.places[""] = {file, 0};
    draft.places["workload.shape"] = place;
    read_section(*table, "workload.shape", file, draft);
    draft.plan.workload.model.name = name.str();
    check_shape(draft);
    found.push_back({place.line, draft.plan.workload.model});
  }
  std::sort(found.begin(), found.end(),
            [](const NumberedShape& a, const NumberedShape& b) { return a.line < b.line; });
  std::vector<ModelShape> shapes;
  shapes.reserve(found.size());
  for (const NumberedShape& numbered : found)
    shapes.push_back(numbered.shape);
  return shapes;
}

}  // namespace

double parameters(const ModelShape& shape) {
  const double h = shape.hidden;
  const double f = shape.ffn;
  const double q = shape.heads;
  const double kv = shape.kv_heads;
  const double d = shape.head_dim;
  const double matrices = shape.gated_mlp ? 3.0 : 2.0;
  const double layer = h * (q + 2.0 * kv) * d + q * d * h + matrices * h * f + 2.0 * h;
  return shape.layers * layer + 2.0 * shape.vocab * h + h;
}

const std::vector<ModelShape>& builtin_models() {
  static const std::vector<ModelShape> models = read_models();
  return models;
}

}  // namespace lockstep::plan
