// Reads Prometheus's text format, version 0.0.4, and is stricter than Prometheus: a family has its help, its type, and
// then all its samples, once each; a histogram's buckets come in order, and end with +Inf, a sum and the same count.
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

class exposition {
 public:
  struct family {
    std::string type;
    std::map<std::string, std::uint64_t>
        samples;                         // by the labels' values, as "1,0"; "" without. Of a histogram: counts
    std::map<std::string, double> sums;  // of a histogram
    std::map<std::string, std::map<double, std::uint64_t>> buckets;  // by the upper bound
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
      if (of.type == "histogram") {
        while (left_.starts_with(name)) take_histogram(name, of);
        continue;
      }
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
  struct sample {
    std::string labels;  // their values, but that of `le`
    std::string bound;   // the value of `le`
    std::string value;
  };
  sample read_sample(const std::string& name) {
    expect(name);
    sample read;
    std::string names;
    for (std::string_view before = "{"; left_.starts_with(before); before = ",") {
      expect(before);
      const std::string label = take_name();
      if ((names + ",").find("," + label + ",") != names.npos) fail("the label comes twice");
      names += "," + label;
      expect("=\"");
      const std::string value = take_until('"');
      if (value.find_first_of("\\\n") != value.npos) fail("the label is not plain");
      if (label == "le") {
        read.bound = value;
      } else {
        read.labels += (read.labels.empty() ? "" : ",") + value;
      }
    }
    if (!names.empty()) expect("}");
    expect(" ");
    read.value = take("0123456789.");
    expect("\n");
    return read;
  }
  std::uint64_t whole(const std::string& value) const {
    if (value.find('.') != value.npos) fail("not a whole number: " + value);
    return std::stoull(value);
  }
  void take_sample(const std::string& name, family& of) {
    const sample read = read_sample(name);
    if (!read.bound.empty()) fail("only a bucket has the label le");
    if (!of.samples.emplace(read.labels, whole(read.value)).second) fail("the sample comes twice");
  }
  void take_histogram(const std::string& name, family& of) {
    std::string labels;
    std::map<double, std::uint64_t> buckets;
    double last = -1;
    std::uint64_t count = 0;
    for (bool more = true; more;) {
      const sample read = read_sample(name + "_bucket");
      if (buckets.empty()) labels = read.labels;
      if (read.labels != labels) fail("another series begins before +Inf");
      more = read.bound != "+Inf";
      const double bound = more ? std::stod(read.bound) : std::numeric_limits<double>::infinity();
      if (bound <= last || whole(read.value) < count) fail("buckets do not ascend");
      last = bound;
      buckets[bound] = count = whole(read.value);
    }
    const sample sum = read_sample(name + "_sum"), all = read_sample(name + "_count");
    if (sum.labels != labels || all.labels != labels || whole(all.value) != count) fail("it does not fit its buckets");
    of.sums[labels] = std::stod(sum.value);
    of.buckets[labels] = std::move(buckets);
    if (!of.samples.emplace(labels, count).second) fail("the histogram comes twice");
  }

  std::string_view left_;
};
