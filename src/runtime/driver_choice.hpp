// Which driver the workers of a runtime use.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include <ringo/run.hpp>

#include "driver/driver.hpp"

namespace ringo::detail {

struct chosen_drivers {
  std::vector<std::unique_ptr<driver>> drivers;  // one for each worker, all of one kind
  ringo::driver kind = ringo::driver::automatic;
  std::string warning;  // one line, if the choice was automatic and the kernel refused io_uring; else empty
};

// runtime_options::driver decides; if it is automatic, RINGO_DRIVER in the environment; if that is not set or
// automatic, the kernel: io_uring where this process may use one that has all that ringo needs, else epoll. An error
// that epoll would meet, too, is thrown: too many open descriptors, for example. Throws std::invalid_argument,
// std::system_error.
chosen_drivers choose_drivers(const runtime_options& o, unsigned workers);

}  // namespace ringo::detail
