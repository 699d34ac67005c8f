// Counts the threads of this process that could still wake a routine. The detection of deadlocks needs this.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>

namespace ringo::detail {

// The number of threads of this process that are not in `own` (ids from gettid()), not the kernel's (io_uring's
// workers), not ThreadSanitizer's background thread, and not about to exit. None if it is not known, because /proc
// cannot be read or threads come and go too fast; then no deadlock may be reported.
//
// It never returns too few: a thread that it cannot identify counts. (ThreadSanitizer's own thread counts while it
// starts, and in a forked child, where g++'s sanitizer can have two, the second one counts.)
//
// Reads some files for each thread of the process, so it is for idle programs. Thread: any. Throws: std::bad_alloc.
std::optional<std::size_t> foreign_threads(std::span<const pid_t> own);

}  // namespace ringo::detail
