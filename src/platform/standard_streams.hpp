// Descriptors 0, 1 and 2, if the process was started without them, or has closed them.
#pragma once

namespace ringo::detail {

// Opens /dev/null for the missing ones, so that no socket of this library gets their numbers, and the program does not
// print into a connection. Call it before the library makes a descriptor; it costs three system calls. Thread: any.
void hold_standard_streams() noexcept;

// Whether hold_standard_streams() has opened this descriptor, so the process has no such stream.
bool is_held(int descriptor) noexcept;

}  // namespace ringo::detail
