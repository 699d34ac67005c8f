#include <climits>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "json_checker.hpp"
#include "platform/json_writer.hpp"

namespace ringo::detail {
namespace {

struct point {
  int x, y;
};

}  // namespace

static void write_json(json_writer& json, const point& p) {
  json.begin_object().member("x", p.x).member("y", p.y).end_object();
}

namespace {

template <class T>
std::string json_of(const T& v) {
  std::string out;
  json_writer(out).value(v);
  return out;
}

TEST_CASE("Each type of value has its form in JSON") {
  CHECK(json_of(true) == "true");
  CHECK(json_of(false) == "false");
  CHECK(json_of(std::uint64_t{UINT64_MAX}) == "18446744073709551615");
  CHECK(json_of(std::int64_t{INT64_MIN}) == "-9223372036854775808");
  CHECK(json_of("text") == "\"text\"");
  CHECK(json_of(std::string("text")) == "\"text\"");
  CHECK(json_of(std::string_view("")) == "\"\"");
  CHECK(json_of(std::optional<int>()) == "null");
  CHECK(json_of(std::optional<int>(0)) == "0");
  CHECK(json_of(std::optional<bool>(false)) == "false");
  CHECK(json_of(std::vector<int>()) == "[]");
  CHECK(json_of(std::vector<std::vector<int>>{{}, {1}, {2, 3}}) == "[[],[1],[2,3]]");
  CHECK(json_of(std::vector<bool>{true, false}) == "[true,false]");
  CHECK(json_of(std::vector<point>{{1, 2}, {3, 4}}) == R"([{"x":1,"y":2},{"x":3,"y":4}])");
}

TEST_CASE("JSON has a comma between two items, and nowhere else") {
  std::string out;
  json_writer json(out);
  json.begin_object();
  json.key("none").begin_object().end_object();
  json.key("empty").begin_array().end_array();
  json.member("point", point{1, 2}).key("null").raw("null");
  json.key("mixed").begin_array();
  json.value("a").value(1).begin_array().end_array().begin_object().end_object().raw("1.5").value(point{3, 4});
  json.end_array().member("last", true).end_object();
  CHECK(out == R"({"none":{},"empty":[],"point":{"x":1,"y":2},"null":null,)"
               R"("mixed":["a",1,[],{},1.5,{"x":3,"y":4}],"last":true})");
  CHECK(json_checker(out).is_valid());
}

TEST_CASE("A value follows what the text had before") {
  std::string out = "{\"of another\":";
  json_writer(out).begin_array().value(1).end_array();
  CHECK(out == "{\"of another\":[1]");
}

TEST_CASE("Items of an array of JSON are on lines of their own if asked for") {
  std::string out;
  json_writer json(out);
  json.begin_array();
  for (int i = 1; i <= 2; ++i) json.new_line().begin_array().value(i).value(i).end_array();
  json.new_line().end_array();
  CHECK(out == "[\n[1,1],\n[2,2]\n]");
}

TEST_CASE("Every text is a valid string of JSON") {
  CHECK(json_of("a \"b\" \\ /") == R"("a \"b\" \\ /")");
  CHECK(json_of(std::string_view("\0\x01\t\n\r\x1b\x1f \x7f", 9)) ==
        "\"\\u0000\\u0001\\u0009\\u000a\\u000d\\u001b\\u001f \x7f\"");
  // Characters of two, three and four bytes; the first and the last ones of UTF-8.
  for (const std::string text : {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xc2\x80", "\xed\x9f\xbf",
                                 "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(json_of(text) == '"' + text + '"');
    CHECK(json_of("a" + text + "b\n" + text) == "\"a" + text + "b\\u000a" + text + '"');
  }
  CHECK(json_of("\xff") == R"("\ufffd")");
  CHECK(json_of("a\x80z") == R"("a\ufffdz")");                            // no character begins so
  CHECK(json_of("\xe2\x82") == R"("\ufffd\ufffd")");                      // the rest is missing
  CHECK(json_of("\xc3\"") == R"("\ufffd\"")");                            // and something else follows
  CHECK(json_of("\xc0\xaf") == R"("\ufffd\ufffd")");                      // overlong
  CHECK(json_of("\xed\xa0\x80") == R"("\ufffd\ufffd\ufffd")");            // a surrogate
  CHECK(json_of("\xf4\x90\x80\x80") == R"("\ufffd\ufffd\ufffd\ufffd")");  // more than U+10FFFF
}

TEST_CASE("Keys are escaped as texts are") {
  std::string out;
  json_writer(out).begin_object().member("a \"key\"\n", 1).end_object();
  CHECK(out == R"({"a \"key\"\u000a":1})");
}

}  // namespace
}  // namespace ringo::detail
