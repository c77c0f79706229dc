#include "harness/app/command_line.hpp"

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"

namespace lockstep::app {
namespace {

/// Whether the help names the subcommand.
bool is_shown(const CLI::App* command) {
  return !command->get_group().empty();
}

/// What the parser does not know, told with the nearest thing that it does.
[[noreturn]] void refuse_unknown(const CLI::App& where, const std::string& argument,
                                 const std::string& help) {
  std::vector<std::string> candidates;
  const bool is_option = argument.starts_with('-');
  if (is_option) {
    for (const CLI::Option* option : where.get_options()) {
      for (const std::string& name : option->get_lnames())
        candidates.push_back("--" + name);
    }
  } else {
    for (const CLI::App* command : where.get_subcommands(is_shown))
      candidates.push_back(command->get_name());
  }
  const std::string word = argument.substr(0, argument.find('='));
  const auto nearest = nearest_match(word, candidates);
  const char* kind = is_option ? "option" : candidates.empty() ? "argument" : "subcommand";
  throw InputError(
      {.what = fmt::format("unknown {} \"{}\"", kind, argument),
       .why = {},
       .suggestion = (nearest ? fmt::format("did you mean \"{}\"? ", *nearest) : "") + "see " + help,
       .file = {}});
}

std::string help_of(const CLI::App& parser, const CLI::App* command) {
  return command == nullptr ? parser.get_name() + " --help"
                            : parser.get_name() + " " + command->get_name() + " --help";
}

const CLI::App* chosen_in(const CLI::App& parser) {
  const auto commands = parser.get_subcommands();
  return commands.empty() ? nullptr : commands.front();
}

void refuse_extras(const CLI::App& parser) {
  const CLI::App* command = chosen_in(parser);
  const CLI::App& where = command != nullptr ? *command : parser;
  // What a command passes on is its own affair.
  if (where.get_prefix_command())
    return;
  if (const auto extras = where.remaining(false); !extras.empty())
    refuse_unknown(where, extras.front(), help_of(parser, command));
}

}  // namespace

const CLI::App* parse_command_line(CLI::App& parser, int argc, char** argv) {
  parser.require_subcommand(0, 1);
  parser.allow_extras();
  for (CLI::App* command : parser.get_subcommands([](const CLI::App*) { return true; }))
    command->allow_extras();
  try {
    parser.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    parser.exit(asked);
    return nullptr;
  } catch (const CLI::ParseError& error) {
    refuse_extras(parser);
    throw InputError({.what = error.what(),
                      .why = {},
                      .suggestion = "see " + help_of(parser, chosen_in(parser)),
                      .file = {}});
  }
  refuse_extras(parser);
  if (chosen_in(parser) == nullptr)
    throw InputError({.what = "a subcommand is missing",
                      .why = {},
                      .suggestion = "see " + help_of(parser, nullptr),
                      .file = {}});
  return chosen_in(parser);
}

}  // namespace lockstep::app
