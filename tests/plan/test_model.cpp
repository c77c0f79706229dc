#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "harness/plan/model.hpp"

namespace lockstep::plan {
namespace {

const ModelShape& model(const std::string& name) {
  const auto& models = builtin_models();
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const ModelShape& m) { return m.name == name; });
  EXPECT_NE(found, models.end()) << name;
  return found == models.end() ? models.front() : *found;
}

TEST(Model, ParametersOfASmallShapeCountedByHand) {
  // Per layer: QKV 6 x (2 + 2*1)*3 = 72, projection 2*3 x 6 = 36, MLP 3 x 6 x 5 = 90, norms 12: 210.
  // Two layers, embedding and head 2 x 7 x 6 = 84, last norm 6.
  ModelShape shape{"by hand", 2, 6, 5, 2, 1, 3, 7, true};
  EXPECT_DOUBLE_EQ(parameters(shape), 2 * 210 + 84 + 6);
  shape.gated_mlp = false;  // one matrix of 6 x 5 fewer in each layer
  EXPECT_DOUBLE_EQ(parameters(shape), 2 * 180 + 84 + 6);
}

TEST(Model, ParametersOfTheKnownModelsAreNearTheirNames) {
  EXPECT_NEAR(parameters(model("8B")), 8.03e9, 0.005e9);
  EXPECT_NEAR(parameters(model("70B")), 70.55e9, 0.05e9);
  EXPECT_NEAR(parameters(model("405B")), 405.9e9, 0.05e9);
  // 174.6e9 with embedding and head tied, and with learned positions and biases: within 2 %.
  EXPECT_NEAR(parameters(model("175B")), 174.6e9, 0.02 * 174.6e9);
  EXPECT_NEAR(parameters(model("nano")), 0.164e6, 0.001e6);
  EXPECT_NEAR(parameters(model("micro")), 1.05e6, 0.01e6);
  EXPECT_NEAR(parameters(model("tiny")), 6.82e6, 0.01e6);
  EXPECT_NEAR(parameters(model("small")), 42e6, 0.1e6);
}

TEST(Model, ShapesOfTheKnownModels) {
  EXPECT_EQ(model("8B"), (ModelShape{"8B", 32, 4096, 14336, 32, 8, 128, 128256, true}));
  EXPECT_EQ(model("70B"), (ModelShape{"70B", 80, 8192, 28672, 64, 8, 128, 128256, true}));
  EXPECT_EQ(model("405B"), (ModelShape{"405B", 126, 16384, 53248, 128, 8, 128, 128256, true}));
  EXPECT_EQ(model("175B"), (ModelShape{"175B", 96, 12288, 49152, 96, 96, 128, 51200, false}));
}

TEST(Model, BuiltInModelsAreInTheOrderOfTheFileAndUnique) {
  std::set<std::string> names;
  for (const ModelShape& shape : builtin_models()) {
    EXPECT_TRUE(names.insert(shape.name).second) << shape.name;
    EXPECT_EQ(shape.heads % shape.kv_heads, 0U) << shape.name;
  }
  EXPECT_EQ(builtin_models().front().name, "nano");
  EXPECT_EQ(names.size(), 8U);
}

}  // namespace
}  // namespace lockstep::plan
