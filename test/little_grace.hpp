// Options of a runtime that ends with routines that never end: it gives them no time, and does not warn of them.
#pragma once
#include <chrono>
#include <ringo/ringo.hpp>
#include <string_view>

inline ringo::runtime_options with_little_grace(unsigned workers = 1) {
  ringo::runtime_options how;
  how.workers = workers;
  how.shutdown_grace = std::chrono::milliseconds(1);
  how.on_warning = [](std::string_view) {};
  return how;
}
