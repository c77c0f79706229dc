#pragma once

#include <string>

/// Files of a results folder that give way to others and are kept. Internal to this room. All throw RunError.
namespace lockstep::campaign {

/// Moves a file or folder, and makes the folders above `to`. Nothing happens when `from` is not there.
void move_if_there(const std::string& from, const std::string& to);

/// Puts `next` in the place of `path`, which stays as `kept_path`. Whenever this is cut short, `path` is one
/// of the two.
void replace_keeping(const std::string& next, const std::string& path, const std::string& kept_path);

}  // namespace lockstep::campaign
