#include <ringo/buffered.hpp>

#include <cstring>
#include <string>

#include "runtime/outside_error.hpp"

namespace ringo::detail {

namespace {

[[noreturn]] void throw_too_long(const char* what, std::size_t limit) {
  throw_outside_error(
      too_long, std::string("ringo: ") + what + ", of which more than " + std::to_string(limit) + " bytes have come");
}
[[noreturn]] void throw_ended_early(const char* what, std::size_t there) {
  throw_outside_error(ended_early,
                      std::string("ringo: ") + what + ", of which " + std::to_string(there) + " are there");
}

}  // namespace

void sole_use::guard::refuse(const char* call) {
  throw std::logic_error(std::string("ringo: ") + call +
                         ": another routine, or another case of the same select, uses the buffered reader or writer");
}

bool line_request::satisfied(std::string_view there, bool ended) {
  const std::size_t end = there.find('\n', looked_at_);
  looked_at_ = there.size();
  if (end != std::string_view::npos) {
    size_ = end != 0 && there[end - 1] == '\r' ? end - 1 : end;
    size_with_end_ = end + 1;
    if (size_ > limit_) throw_too_long("reading a line", limit_);
    return true;
  }
  // A '\r' may belong to the line's end.
  if (there.size() - (there.ends_with('\r') ? 1 : 0) > limit_) throw_too_long("reading a line", limit_);
  size_ = size_with_end_ = there.size();
  return ended;
}
line_request::result_type line_request::take(std::string_view there, std::size_t& taken) const {
  if (size_with_end_ == 0) return std::nullopt;
  result_type line(std::in_place, there.substr(0, size_));
  taken = size_with_end_;
  return line;
}

until_request::until_request(std::string_view delimiter, std::size_t limit) : delimiter_(delimiter), limit_(limit) {
  if (delimiter.empty()) throw std::invalid_argument("ringo: read_until: an empty delimiter");
}
bool until_request::satisfied(std::string_view there, bool ended) {
  const std::size_t end = there.find(delimiter_, looked_at_);
  found_ = end != std::string_view::npos;
  if (found_) {
    if (end > limit_) throw_too_long("read_until", limit_);
    looked_at_ = end;
    return true;
  }
  // The delimiter's first bytes may have come already.
  looked_at_ = there.size() - std::min(there.size(), delimiter_.size() - 1);
  if (looked_at_ > limit_) throw_too_long("read_until", limit_);
  if (ended && !there.empty()) throw_ended_early("read_until", there.size());
  return ended;
}
until_request::result_type until_request::take(std::string_view there, std::size_t& taken) const {
  if (!found_) return std::nullopt;
  result_type record(std::in_place, there.substr(0, looked_at_));
  taken = looked_at_ + delimiter_.size();
  return record;
}

bool exactly_request::satisfied(std::string_view there, bool ended) const {
  if (there.size() >= size_) return true;
  if (ended) throw_ended_early("read_exactly", there.size());
  return false;
}
std::string exactly_request::take(std::string_view there, std::size_t& taken) const {
  std::string all(there.substr(0, size_));
  taken = size_;
  return all;
}

bool exactly_into_request::satisfied(std::string_view there, bool ended) const {
  return exactly_request(into_.size()).satisfied(there, ended);
}
void exactly_into_request::take(std::string_view there, std::size_t& taken) const noexcept {
  taken = some_into_request(into_).take(there, taken);
}

some_request::result_type some_request::take(std::string_view there, std::size_t& taken) const {
  if (there.empty() && most_ != 0) return std::nullopt;
  result_type some(std::in_place, there.substr(0, most_));
  taken = some->size();
  return some;
}

std::size_t some_into_request::take(std::string_view there, std::size_t& taken) const noexcept {
  taken = std::min(there.size(), into_.size());
  if (taken != 0) std::memcpy(into_.data(), there.data(), taken);
  return taken;
}

}  // namespace ringo::detail
