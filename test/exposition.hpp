// Reads Prometheus's text format, version 0.0.4, of families whose labels have numbers, and is stricter than
// Prometheus: a family has its help, its type, and then all its samples, once each.
#pragma once
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

class exposition {
 public:
  struct family {
    std::string type;
    std::map<std::string, std::uint64_t> samples;  // by the labels' values, as "1,0"; "" without
  };

  explicit exposition(std::string_view text) : left_(text) {
    while (!left_.empty()) {
      expect("# HELP ");
      const std::string name = take_name();
      expect(" ");
      if (take_until('\n').empty()) fail("no help");
      expect("# TYPE " + name + " ");
      family& of = families[name];
      if (!of.type.empty()) fail("the family comes twice: " + name);
      of.type = take_until('\n');
      if (of.type != "counter" && of.type != "gauge") fail("no type");
      if (name.ends_with("_total") != (of.type == "counter")) fail("counters, and only they, are named _total");
      while (left_.starts_with(name)) take_sample(name, of);
      if (of.samples.empty()) fail("no samples");
    }
  }

  std::map<std::string, family> families;

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error(why + ", before: " + std::string(left_.substr(0, 40)));
  }
  void expect(std::string_view text) {
    if (!left_.starts_with(text)) fail("expected " + std::string(text));
    left_.remove_prefix(text.size());
  }
  std::string take(std::string_view letters) {
    std::string taken(left_.substr(0, left_.find_first_not_of(letters)));
    if (taken.empty()) fail("expected one of " + std::string(letters));
    left_.remove_prefix(taken.size());
    return taken;
  }
  std::string take_name() { return take("abcdefghijklmnopqrstuvwxyz_"); }
  std::string take_until(char end) {
    const auto at = left_.find(end);
    if (at == left_.npos) fail("no end of the line");
    std::string taken(left_.substr(0, at));
    left_.remove_prefix(at + 1);
    return taken;
  }
  void take_sample(const std::string& name, family& of) {
    expect(name);
    std::string labels, names;
    for (std::string_view before = "{"; left_.starts_with(before); before = ",") {
      expect(before);
      const std::string label = take_name();
      if ((names + ",").find("," + label + ",") != names.npos) fail("the label comes twice");
      names += "," + label;
      expect("=\"");
      labels += (labels.empty() ? "" : ",") + take("0123456789");
      expect("\"");
    }
    if (!names.empty()) expect("}");
    expect(" ");
    const std::uint64_t value = std::stoull(take("0123456789"));
    expect("\n");
    if (!of.samples.emplace(labels, value).second) fail("the sample comes twice");
  }

  std::string_view left_;
};
