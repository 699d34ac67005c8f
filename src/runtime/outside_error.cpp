#include "runtime/outside_error.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <ringo/errors.hpp>

namespace ringo::detail {

void throw_outside_error(int error, const std::string& what) {
  const std::error_code code(error, std::generic_category());
  switch (error) {
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
    case ESHUTDOWN:
    case ENETRESET:
      throw disconnected(code, what);
    default:
      throw std::system_error(code, what);
  }
}

void refuse_in_simulation(const std::string& what) {
  throw std::logic_error("ringo: " + what +
                         " in a simulation, which has no outside world: give what is tested a channel instead");
}

void check_not_simulated(const char* call) {
  const worker* w = current_worker();
  if (w != nullptr && w->simulated) refuse_in_simulation(call);
}

}  // namespace ringo::detail
