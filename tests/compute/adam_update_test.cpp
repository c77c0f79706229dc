#include "harness/compute/adam_update.hpp"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "harness/core/hash.hpp"

namespace lockstep::compute {
namespace {

std::vector<float> uniform(std::size_t elements, std::uint64_t seed) {
  std::vector<float> values(elements);
  for (std::size_t i = 0; i < elements; ++i)
    values[i] = static_cast<float>(
        static_cast<double>(mix64(seed + i) >> 11) / static_cast<double>(1ULL << 52) - 1.0);
  return values;
}

struct State {
  double parameter = 0.0;
  double first = 0.0;
  double second = 0.0;
};

/// The published formula, in double precision.
State reference(const AdamSettings& settings, double gradient, State state) {
  const double b1 = static_cast<double>(settings.first_decay);
  const double b2 = static_cast<double>(settings.second_decay);
  state.first = b1 * state.first + (1.0 - b1) * gradient;
  state.second = b2 * state.second + (1.0 - b2) * gradient * gradient;
  const double direction = state.first / (std::sqrt(state.second) + static_cast<double>(settings.epsilon));
  state.parameter -= static_cast<double>(settings.rate) *
                     (direction + static_cast<double>(settings.weight_decay) * state.parameter);
  return state;
}

TEST(AdamUpdate, FollowsTheFormulaForEveryElement) {
  const AdamSettings settings{.rate = 0.01F, .weight_decay = 0.1F};  // large enough to be seen
  for (const std::size_t elements : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{1027}}) {
    const std::vector<float> gradients = uniform(elements, 1);
    std::vector<float> parameters = uniform(elements, 2);
    std::vector<float> first(elements, 0.0F);
    std::vector<float> second(elements, 0.0F);
    std::vector<State> expected(elements);
    for (std::size_t i = 0; i < elements; ++i)
      expected[i].parameter = static_cast<double>(parameters[i]);
    for (int step = 0; step < 10; ++step) {
      adam_update(settings, elements, gradients.data(), parameters.data(), first.data(), second.data());
      for (std::size_t i = 0; i < elements; ++i)
        expected[i] = reference(settings, static_cast<double>(gradients[i]), expected[i]);
    }
    for (std::size_t i = 0; i < elements; ++i) {
      EXPECT_NEAR(static_cast<double>(parameters[i]), expected[i].parameter, 2e-6) << i;
      EXPECT_NEAR(static_cast<double>(first[i]), expected[i].first, 1e-6) << i;
      EXPECT_NEAR(static_cast<double>(second[i]), expected[i].second, 1e-6) << i;
    }
  }
}

TEST(AdamUpdate, StopsAtTheEndOfItsRange) {
  std::vector<float> parameters{1.0F, 2.0F, 3.0F};
  std::vector<float> first(3, 0.0F);
  std::vector<float> second(3, 0.0F);
  const std::vector<float> gradients(3, 1.0F);
  adam_update({.rate = 0.1F}, 2, gradients.data(), parameters.data(), first.data(), second.data());
  EXPECT_NE(parameters[1], 2.0F);
  EXPECT_EQ(parameters[2], 3.0F);
  EXPECT_EQ(second[2], 0.0F);
}

TEST(AdamUpdate, StaysBoundedWhateverTheGradientsDo) {
  // A rate a million times the default's stands for as many steps more.
  AdamSettings settings;
  settings.rate = 0.5F;
  const double b1 = static_cast<double>(settings.first_decay);
  const double b2 = static_cast<double>(settings.second_decay);
  const double bound = (1.0 - b1) / std::sqrt((1.0 - b2) * (1.0 - b1 * b1 / b2));
  std::vector<float> parameters = uniform(64, 5);
  std::vector<float> first(64, 0.0F);
  std::vector<float> second(64, 0.0F);
  double largest = 0.0;
  for (std::uint64_t step = 0; step < 5000; ++step) {
    std::vector<float> gradients = uniform(64, 100 * step);
    for (float& gradient : gradients)
      gradient = step % 700 < 350 ? gradient * 1e4F : 0.0F;  // bursts, then silence
    adam_update(settings, 64, gradients.data(), parameters.data(), first.data(), second.data());
    for (const float parameter : parameters) {
      ASSERT_TRUE(std::isfinite(parameter));
      largest = std::max(largest, std::abs(static_cast<double>(parameter)));
    }
  }
  EXPECT_LE(largest, bound);
  EXPECT_GT(largest, 1.0) << "the test moves the parameters";
}

TEST(AdamUpdate, TheDefaultMovesParametersByLittle) {
  std::vector<float> parameters = uniform(32, 7);
  const std::vector<float> before = parameters;
  std::vector<float> first(32, 0.0F);
  std::vector<float> second(32, 0.0F);
  const std::vector<float> gradients = uniform(32, 8);
  adam_update({}, 32, gradients.data(), parameters.data(), first.data(), second.data());
  double moved = 0.0;
  for (std::size_t i = 0; i < 32; ++i) {
    moved = std::max(moved, std::abs(static_cast<double>(parameters[i]) - static_cast<double>(before[i])));
  }
  EXPECT_GT(moved, 0.0);
  EXPECT_LT(moved, 1e-5);
}

}  // namespace
}  // namespace lockstep::compute
