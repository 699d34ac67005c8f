// Takes note of the end of children that nobody waits for, so that they do not stay as zombies.
#pragma once
#include <sys/types.h>

#include <vector>

namespace ringo::detail {

// Takes the descriptor of a child (pidfd). Any thread. A child that still runs is waited for by a thread of its own for
// all of them, which ends with the last.
void reap_in_background(int pidfd) noexcept;

// Adds that thread, which brings no work to any runtime.
void list_reaper(std::vector<pid_t>& threads);

}  // namespace ringo::detail
