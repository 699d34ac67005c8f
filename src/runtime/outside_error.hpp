// What the outside world answers, as exceptions.
#pragma once
#include <string>

#include <ringo/detail/worker.hpp>

namespace ringo::detail {

// disconnected where the errno says that the peer is gone, else std::system_error. `what`: what was being done, to
// what.
[[noreturn]] void throw_outside_error(int error, const std::string& what);

// A simulation has no outside world: throws std::logic_error.
[[noreturn]] void refuse_in_simulation(const std::string& what);
// The same, if a simulation runs the caller. For what has an effect at the call: before it has any.
void check_not_simulated(const char* call);

}  // namespace ringo::detail
