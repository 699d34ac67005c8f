// The types of the runtime's clock, for headers that need no more of clock.hpp.
#pragma once
#include <ringo/detail/library.hpp>

namespace ringo {

using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

}  // namespace ringo

#include <ringo/detail/library.hpp>
