#include <ringo/errors.hpp>

#include <stdexcept>
#include <string>

#include <ringo/detail/bridge.hpp>

namespace ringo {

const char* cancelled::what() const noexcept { return "ringo: cancelled"; }
std::error_code cancelled::code() const noexcept { return std::make_error_code(std::errc::operation_canceled); }

timed_out::timed_out() : std::system_error(std::make_error_code(std::errc::timed_out), "ringo: timed out") {}

namespace detail {

void throw_cancelled() { throw cancelled(); }
void throw_empty_task() {
  throw std::logic_error("ringo: awaiting an empty task: it was moved from, or has been awaited before");
}
void throw_empty_handle(const char* call) {
  throw std::logic_error(std::string("ringo: ") + call +
                         " on an empty handle: it was moved from, or no routine was started for it");
}
void throw_joined_twice() {
  throw std::logic_error("ringo: a second join of a routine: its result has been taken by the first");
}

}  // namespace detail
}  // namespace ringo
