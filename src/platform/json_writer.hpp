// Writes JSON: the commas, quotes and escapes of all that ringo writes as JSON are here.
#pragma once
#include <charconv>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <string>
#include <string_view>

#include "platform/escaped.hpp"

namespace ringo::detail {

// Appends one value, mostly an object or an array, to a string. This writes {"number":7,"chain":["a","b"]}:
//
//   json_writer(out).begin_object().member("number", 7).key("chain").begin_array().value("a").value("b").end_array()
//       .end_object();
//
// The caller ends what it begins, and gives each value of an object its key.
class json_writer {
 public:
  explicit json_writer(std::string& out) : out_(out) {}
  json_writer(const json_writer&) = delete;
  json_writer& operator=(const json_writer&) = delete;

  json_writer& begin_object() { return begin('{'); }
  json_writer& end_object() { return end('}'); }
  json_writer& begin_array() { return begin('['); }
  json_writer& end_array() { return end(']'); }

  json_writer& key(std::string_view name) {
    separate();
    append_json(out_, name);
    out_ += ':';
    return *this;
  }

  // A bool, an integer, a text, an optional (null without a value), a range (an array), or a type of which a function
  // write_json(json_writer&, const T&) in namespace ringo::detail writes one value.
  template <class T>
  json_writer& value(const T& v) {
    if constexpr (std::same_as<T, bool>) {
      raw(v ? "true" : "false");
    } else if constexpr (std::integral<T>) {
      char digits[24];
      raw({digits, std::to_chars(digits, digits + sizeof digits, v).ptr});
    } else if constexpr (std::convertible_to<const T&, std::string_view>) {
      separate();
      append_json(out_, v);
      has_item_ = true;
    } else if constexpr (requires { v.has_value(); }) {
      v.has_value() ? value(*v) : raw("null");
    } else if constexpr (std::ranges::range<T>) {
      begin_array();
      for (const auto& each : v) value(each);
      end_array();
    } else {
      write_json(*this, v);
    }
    return *this;
  }

  template <class T>
  json_writer& member(std::string_view name, const T& v) {
    return key(name).value(v);
  }

  // A value that is JSON already.
  json_writer& raw(std::string_view json) {
    separate();
    out_ += json;
    has_item_ = true;
    return *this;
  }

  // What follows in the array, an item or the end, begins on a line of its own.
  json_writer& new_line() {
    new_line_ = true;
    return *this;
  }

 private:
  json_writer& begin(char bracket) {
    separate();
    out_ += bracket;
    return *this;
  }
  json_writer& end(char bracket) {
    has_item_ = false;
    separate();
    out_ += bracket;
    has_item_ = true;
    return *this;
  }
  void separate() {
    if (has_item_) out_ += ',';
    if (new_line_) out_ += '\n';
    has_item_ = new_line_ = false;
  }

  std::string& out_;
  bool has_item_ = false;  // what comes next follows an item of the same object or array
  bool new_line_ = false;
};

}  // namespace ringo::detail
