// Memory for coroutine frames, and for what comes and goes with them: recycled by size in the worker that frees it,
// without a lock; shared between workers in batches. Outside a worker, and under AddressSanitizer (which would not see
// a use after free), plain new and delete.
#pragma once
#include <cstddef>

namespace ringo::detail {

// Inline, in worker.hpp.
void* allocate_frame(std::size_t size);  // throws std::bad_alloc
void free_frame(void* frame, std::size_t size) noexcept;

// The same, but not counted as a frame (testing::live).
void* allocate_block(std::size_t size);  // throws std::bad_alloc
void free_block(void* block, std::size_t size) noexcept;

}  // namespace ringo::detail
