// Texts that come from outside, such as names and paths, within JSON and within texts for people.
#pragma once
#include <string>
#include <string_view>

namespace ringo::detail {

// In quotes, and escaped. Bytes that are no UTF-8, as a file's name may have them, become U+FFFD.
void append_json(std::string& out, std::string_view text);

// What a terminal would obey is shown instead: line ends, escapes and other control characters, and those that turn the
// direction of writing, as "\n", "\x1b" and "\u202e"; bytes that are no UTF-8 as "\xff". A backslash stays as it is, so
// a text that is already printable does not change.
void append_printable(std::string& out, std::string_view text);
std::string printable(std::string_view text);

}  // namespace ringo::detail
