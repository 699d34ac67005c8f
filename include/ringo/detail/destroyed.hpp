// A destroyed object leaves a mark in its memory, so that a later use of it throws. The mark stays as long as the
// memory: main's frame is kept until the run ends, and so is each frame in simulations and in builds without NDEBUG
// (frame_cache::keep).
#pragma once
#include <cstddef>
#include <string>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/frame_cache.hpp>
#include <ringo/detail/machine_code.hpp>

namespace ringo::detail {

// Tells AddressSanitizer that this part of a frame may be read after the frame's end.
void note_mark(void* at, std::size_t size) noexcept;

// Call it in the destructor, after the last store to `field`: compilers omit stores to an object that ends.
template <class Field>
RINGO_ALWAYS_INLINE inline void keep_mark(Field& field) noexcept {
  keep_stores(field);
  if constexpr (!frame_cache::recycles) note_mark(&field, sizeof field);
}

// "by the routine started at FILE:LINE", or a text for another caller.
std::string the_caller();
[[noreturn]] void throw_used_after_end(const char* call);
// For objects that may also be default-constructed or moved from.
[[noreturn]] void throw_empty_or_ended(const char* call, const char* what);

}  // namespace ringo::detail
