// How the process ends where ringo cannot go on.
#pragma once

namespace ringo::detail {

// When a person has been told why: by the program's own terminate handler, if it has set one, else by abort(). The
// default handler would tell of the exception once more, or that there is none. Call it where the exception that ends
// the process is being handled, if there is one, so that the program's handler finds it.
[[noreturn]] void end_process() noexcept;

}  // namespace ringo::detail
