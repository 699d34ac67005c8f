// Reads JSON as RFC 8259 has it, without exponents, and says whether it is all of the text.
#pragma once
#include <cctype>
#include <cstddef>
#include <string_view>

class json_checker {
 public:
  explicit json_checker(std::string_view text) : rest_(text) {}
  bool is_valid() { return value() && rest_.empty(); }

 private:
  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  bool value() {
    if (rest_.empty()) return false;
    if (rest_.front() == '{') return list('}', [this] { return string() && take(":") && value(); });
    if (rest_.front() == '[') return list(']', [this] { return value(); });
    if (rest_.front() == '"') return string();
    return take("true") || take("false") || take("null") || number();
  }
  template <class Element>
  bool list(char end, Element element) {
    rest_.remove_prefix(1);
    if (take(std::string_view(&end, 1))) return true;
    do {
      if (!element()) return false;
    } while (take(","));
    return take(std::string_view(&end, 1));
  }
  bool number() {
    (void)take("-");
    const bool begins_with_0 = rest_.starts_with('0');
    const std::size_t whole = digits();
    const bool has_fraction = take(".");
    const std::size_t fraction = has_fraction ? digits() : 0;
    return (whole == 1 || (whole > 1 && !begins_with_0)) && has_fraction == (fraction != 0);
  }
  std::size_t digits() {
    std::size_t count = 0;
    while (count < rest_.size() && std::isdigit(static_cast<unsigned char>(rest_[count]))) ++count;
    rest_.remove_prefix(count);
    return count;
  }
  bool string() {
    if (!take("\"")) return false;
    while (!rest_.empty() && rest_.front() != '"') {
      if (static_cast<unsigned char>(rest_.front()) < 0x20) return false;
      if (take("\\u")) {
        for (int i = 0; i < 4; ++i) {
          if (rest_.empty() || !std::isxdigit(static_cast<unsigned char>(rest_.front()))) return false;
          rest_.remove_prefix(1);
        }
      } else if (take("\\")) {
        if (rest_.empty() || std::string_view("\"\\/bfnrt").find(rest_.front()) == std::string_view::npos) return false;
        rest_.remove_prefix(1);
      } else {
        rest_.remove_prefix(1);
      }
    }
    return take("\"");
  }

  std::string_view rest_;
};
