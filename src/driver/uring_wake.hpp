// A wake_event that a ring waits for: while a read of the eventfd is in flight, a wake() completes it.
#pragma once
#include <liburing.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>

#include "driver/wake_event.hpp"

namespace ringo::detail {

class uring_wake : public wake_event {
 public:
  bool reads() const noexcept { return reads_; }  // a read is in flight, as it has to be before a sleep
  void fill_read(io_uring_sqe& entry) noexcept {
    ::io_uring_prep_read(&entry, number(), &count_, sizeof count_, 0);
    reads_ = true;
  }
  // Throws std::system_error if the descriptor was closed behind the runtime.
  void has_read(int result) {
    reads_ = false;
    if (result == sizeof count_ || result == -ECANCELED || result == -EINTR || result == -EAGAIN) return;
    const int closed = number();
    forget_descriptor();
    throw std::system_error(result < 0 ? -result : EIO, std::generic_category(),
                            "ringo: a worker's eventfd (" + std::to_string(closed) + ") was closed behind the runtime");
  }

 private:
  std::uint64_t count_ = 0;  // the kernel writes here; the value is not used
  bool reads_ = false;
};

}  // namespace ringo::detail
