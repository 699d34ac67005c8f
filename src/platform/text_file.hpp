// Reading what the kernel says of itself in /proc and /sys: small files, whole, without locale or buffering.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringo::detail {

// The whole text; none when it cannot be read.
std::optional<std::string> read_text(const std::string& path);

// The decimal number that `text` starts with, after blanks; none when there is none or it does not fit.
std::optional<std::int64_t> leading_number(std::string_view text);

// What follows `key` on the first line that starts with it, without the blanks before it; none without such a line.
std::optional<std::string_view> value_after(std::string_view text, std::string_view key);

}  // namespace ringo::detail
