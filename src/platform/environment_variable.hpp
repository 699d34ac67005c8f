// Variables of the environment that set options. One that only observes keeps no program from running: a value that
// cannot be read or obeyed is a warning, and the variable counts as not set. RINGO_DRIVER is obeyed or refused.
#pragma once
#include <string>
#include <string_view>

namespace ringo::detail {

// Empty if it is not set. Always empty in a program that has more rights than the user that starts it, as a setuid one:
// that user must not choose the files that it writes and the addresses at which it listens.
std::string_view environment_variable(const char* name) noexcept;

// The warning that the variable is not used, and why.
std::string unused_variable(const char* name, std::string_view value, std::string_view why);

// With the process's number in place of %p.
std::string with_process_number(std::string_view text);

}  // namespace ringo::detail
