#pragma once

#include <CLI/CLI.hpp>

namespace lockstep::app {

/// Parses for a program with subcommands, one of which must be given. Returns that one; nullptr when help or
/// the version was asked for and has been printed. Throws InputError for anything that it cannot understand,
/// with the nearest thing that it can, and where help is.
[[nodiscard]] const CLI::App* parse_command_line(CLI::App& parser, int argc, char** argv);

}  // namespace lockstep::app
