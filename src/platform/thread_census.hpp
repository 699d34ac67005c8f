// Who else lives in this process, and might yet wake a routine: what a deadlock report has to know.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>

namespace ringo::detail {

// How many threads of this process are none of `own` (the ids that gettid() gives), nor the kernel's (io_uring's
// workers), nor the background thread of ThreadSanitizer, nor on their way out of exit. None: not known, because /proc
// cannot be read or threads come and go faster than they are counted; then nobody may speak of a deadlock.
//
// Errs only towards more: a thread that it cannot place counts. (Under ThreadSanitizer its own thread does too, for the
// moment in which it starts; and in a forked child, where g++'s can have two, the second.)
//
// Any thread. Reads some files for each thread of the process: for when all is idle, not for a hot path.
// Throws std::bad_alloc.
std::optional<std::size_t> foreign_threads(std::span<const pid_t> own);

}  // namespace ringo::detail
