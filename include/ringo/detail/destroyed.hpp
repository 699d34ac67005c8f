// What an object leaves behind where it was, so that a later use of it can say so. The mark stays as long as the memory
// does: main's frame, and in simulations and where ringo is compiled without NDEBUG every frame, is kept until the run
// ends (frame_cache::keep).
#pragma once
#include <cstddef>
#include <string>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/frame_cache.hpp>
#include <ringo/detail/machine_code.hpp>

namespace ringo::detail {

// Under AddressSanitizer: this part of a frame may be read when the frame has gone.
void note_mark(void* at, std::size_t size) noexcept;

// To be called in the destructor, after the last store to `field`: compilers leave out what is written into an object
// that is about to end.
template <class Field>
RINGO_ALWAYS_INLINE inline void keep_mark(Field& field) noexcept {
  keep_stores(field);
  if constexpr (!frame_cache::recycles) note_mark(&field, sizeof field);
}

// "by the routine started at FILE:LINE", or what else the caller is.
std::string the_caller();
[[noreturn]] void throw_used_after_end(const char* call);
// For what may also be default-made or moved from.
[[noreturn]] void throw_empty_or_ended(const char* call, const char* what);

}  // namespace ringo::detail
