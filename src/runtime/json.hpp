// Strings of JSON.
#pragma once
#include <string>
#include <string_view>

namespace ringo::detail {

// In quotes, and escaped. Bytes that are no UTF-8, as a file's name may have them, become U+FFFD.
void append_json(std::string& out, std::string_view text);

}  // namespace ringo::detail
