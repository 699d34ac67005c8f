// Descriptors 0, 1 and 2, where the process was started without them, or has closed them.
#pragma once

namespace ringo::detail {

// Opens /dev/null as those that are not there, so that nothing of this library's gets their numbers, and what the
// program prints does not go to a client. To be called before the library makes a descriptor; it costs three cheap
// system calls. Any thread.
void hold_standard_streams() noexcept;

// That the descriptor is one that hold_standard_streams() has opened: the process has no such stream.
bool is_held(int descriptor) noexcept;

}  // namespace ringo::detail
