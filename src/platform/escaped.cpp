#include "platform/escaped.hpp"

#include <algorithm>
#include <cstdio>

namespace ringo::detail {
namespace {

// How many bytes at the front of the text are one character of UTF-8; 0: none.
std::size_t character_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](std::size_t i, unsigned from = 0x80, unsigned to = 0xBF) {
    return byte(i) >= from && byte(i) <= to;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {  // without overlong forms and surrogates
    return follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    return follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// The code point of a character of several bytes.
unsigned code_point_of(std::string_view character) {
  unsigned code = static_cast<unsigned char>(character[0]) & (0xFFU >> (character.size() + 1));
  for (const char c : character.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3F);
  return code;
}

// C1 control characters, and those of the directions of writing, by which a text may look like another one.
bool is_control(unsigned code) {
  return code < 0xA0 || code == 0x61C || code == 0x200E || code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

// ASCII that JSON has as it is.
bool is_plain(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code >= 0x20 && code < 0x80 && c != '"' && c != '\\';
}

void append_escape(std::string& out, const char* format, unsigned number) {
  char escaped[8];
  std::snprintf(escaped, sizeof escaped, format, number);
  out += escaped;
}

}  // namespace

void append_json(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const auto as_it_is = static_cast<std::size_t>(std::ranges::find_if_not(text, is_plain) - text.begin());
    out += text.substr(0, as_it_is);
    text.remove_prefix(as_it_is);
    if (text.empty()) break;
    const std::size_t length = character_at(text);
    const char c = text.front();
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (length == 1) {
      append_escape(out, "\\u%04x", static_cast<unsigned>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

void append_printable(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = character_at(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (text.front() == '\n' || text.front() == '\t') {
      out += text.front() == '\n' ? "\\n" : "\\t";
    } else if (length == 0 || (length == 1 && (first < 0x20 || first == 0x7F))) {
      append_escape(out, "\\x%02x", first);
    } else if (length > 1 && is_control(code_point_of(text.substr(0, length)))) {
      append_escape(out, "\\u%04x", code_point_of(text.substr(0, length)));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  append_printable(out, text);
  return out;
}

}  // namespace ringo::detail
