#include <ringo/errors.hpp>

#include "runtime/outside_error.hpp"

namespace ringo {

const char* cancelled::what() const noexcept { return "ringo: cancelled"; }
std::error_code cancelled::code() const noexcept { return std::make_error_code(std::errc::operation_canceled); }

timed_out::timed_out() : std::system_error(detail::code_of(detail::time_limit), "ringo") {}

}  // namespace ringo
