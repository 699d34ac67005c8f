// Reads small files of /proc and /sys, whole, without locale or buffering.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringo::detail {

// The whole text; none if the file cannot be read.
std::optional<std::string> read_text(const std::string& path);

// The decimal number that `text` begins with, after blanks; none if there is none, or if it does not fit.
std::optional<std::int64_t> leading_number(std::string_view text);

// The text after `key` on the first line that begins with it, without leading blanks; none without such a line.
std::optional<std::string_view> value_after(std::string_view text, std::string_view key);

}  // namespace ringo::detail
