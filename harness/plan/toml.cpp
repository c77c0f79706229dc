// The TOML parser's only definition; every other file of this room sees its declarations.
#define TOML_IMPLEMENTATION
#include <toml++/toml.h>
