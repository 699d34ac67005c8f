// A call as an entry of io_uring's submission queue.
#pragma once
#include "driver/kernel_call.hpp"

struct io_uring_sqe;

namespace ringo::detail {

// The entry is zero, except for its user_data.
void translate(const kernel_call& call, io_uring_sqe& entry) noexcept;

}  // namespace ringo::detail
