// The drivers over the kernel, for tests that any of them must pass.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "driver/driver.hpp"
#include "driver/epoll.hpp"
#include "driver/uring.hpp"

struct real_driver {
  const char* name;
  std::unique_ptr<ringo::detail::driver> (*make)();
};

#ifndef RINGO_WITHOUT_URING
template <ringo::detail::task_work Kind>
std::unique_ptr<ringo::detail::driver> make_ring() {
  return ringo::detail::make_uring(64, Kind);
}
#endif

// Those of the kind that the environment's RINGO_DRIVER names ("io_uring" or "epoll"); if it names none, all that this
// process may use.
inline std::vector<real_driver> real_drivers() {
  const char* const variable = std::getenv("RINGO_DRIVER");
  const std::string_view named = variable == nullptr ? "" : variable;
  std::vector<real_driver> found;
#ifndef RINGO_WITHOUT_URING
  using ringo::detail::task_work;
  bool has_rings = named == "io_uring";
  if (named.empty()) {
    try {
      make_ring<task_work::deferred>();
      has_rings = true;
    } catch (const std::system_error&) {
      MESSAGE("without io_uring");
    }
  }
  if (has_rings) {
    found = {{"io_uring, deferred", make_ring<task_work::deferred>},
             {"io_uring, cooperative", make_ring<task_work::cooperative>}};
  }
#endif
  if (named != "io_uring") found.push_back({"epoll", ringo::detail::make_epoll});
  return found;
}

// The first of them, which a runtime takes, too.
inline std::unique_ptr<ringo::detail::driver> make_chosen_driver() { return real_drivers().front().make(); }

// Calls it with each of them, attached to this thread. Nothing may be in flight afterwards.
template <class Body>
void on_every_driver(Body body) {
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    const auto driver = each.make();
    driver->attach();
    body(*driver);
    CHECK(driver->in_flight() == 0);
  }
}
