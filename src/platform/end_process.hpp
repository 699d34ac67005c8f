// Ends the process when ringo cannot go on.
#pragma once

namespace ringo::detail {

// Call it after the message is written: it calls the program's own terminate handler, if there is one, else abort().
// (The default handler would write a second message.) Call it inside the handler of the exception that ends the
// process, so that the program's terminate handler finds that exception.
[[noreturn]] void end_process() noexcept;

}  // namespace ringo::detail
