// Waits for children that the program does not wait for, so that they do not stay as zombies.
#pragma once
#include <sys/types.h>

#include <vector>

#include "runtime/child.hpp"

namespace ringo::detail {

// Takes the child, with its descriptor. One thread waits for all such children that still run, and ends with the last.
// Thread: any.
void reap_in_background(const child& c) noexcept;

// Adds the id of that thread, which never posts work to a runtime.
void list_reaper(std::vector<pid_t>& threads);

}  // namespace ringo::detail
