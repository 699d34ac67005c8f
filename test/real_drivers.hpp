// The drivers over the kernel, for tests that any of them must pass.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "driver/driver.hpp"
#include "driver/epoll.hpp"
#include "driver/uring.hpp"

struct real_driver {
  const char* name;
  std::unique_ptr<ringo::detail::driver> (*make)();
};

template <ringo::detail::task_work Kind>
std::unique_ptr<ringo::detail::driver> make_ring() {
  return ringo::detail::make_uring(64, Kind);
}

// Those of the kind that the environment's RINGO_DRIVER names ("io_uring" or "epoll"); all, if it names none.
inline std::vector<real_driver> real_drivers() {
  using ringo::detail::task_work;
  static constexpr real_driver rings[] = {{"io_uring, deferred", make_ring<task_work::deferred>},
                                          {"io_uring, cooperative", make_ring<task_work::cooperative>},
                                          {"io_uring, eager", make_ring<task_work::eager>}};
  const char* const named = std::getenv("RINGO_DRIVER");
  const std::string_view name = named == nullptr ? "" : named;
  std::vector<real_driver> found;
  if (name != "epoll") found.insert(found.end(), std::begin(rings), std::end(rings));
  if (name != "io_uring") found.push_back({"epoll", ringo::detail::make_epoll});
  if (found.empty()) throw std::runtime_error("no such driver: " + std::string(name));
  return found;
}

// The first of them, which a runtime takes, too.
inline std::unique_ptr<ringo::detail::driver> make_chosen_driver() { return real_drivers().front().make(); }

// Calls it with each of them, attached to this thread. Nothing may be in flight afterwards.
template <class Body>
void on_every_driver(Body body) {
  for (const real_driver& each : real_drivers()) {
    CAPTURE(each.name);
    const auto driver = each.make();
    driver->attach();
    body(*driver);
    CHECK(driver->in_flight() == 0);
  }
}
