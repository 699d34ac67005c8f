// For tests that start programs.
#pragma once
#include <sys/wait.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <ringo/ringo.hpp>

#include "states.hpp"

using strings = std::vector<std::string>;

inline strings shell(std::string script) { return {"sh", "-c", std::move(script)}; }

// Children that have ended, and whose end has not been noted, count.
inline bool has_children() { return ::waitid(P_ALL, 0, nullptr, WEXITED | WNOWAIT | WNOHANG) == 0; }

inline ringo::task<> until_zombie(int id) {
  while (state_of(id) != 'Z') co_await ringo::sleep(std::chrono::milliseconds(1));
}
