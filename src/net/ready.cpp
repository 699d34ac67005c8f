#include <ringo/ready.hpp>

#include <liburing.h>
#include <poll.h>

#include <cerrno>
#include <string>

#include "runtime/kernel_call.hpp"

namespace ringo {
namespace detail {
namespace {

class poll_call final : public kernel_call_of<void> {
 public:
  poll_call(int descriptor, short events) noexcept : descriptor_(descriptor), events_(events) {}

  void ask(io_uring_sqe& entry) noexcept override {
    ::io_uring_prep_poll_add(&entry, descriptor_, static_cast<unsigned>(events_));
  }
  bool try_at_once(int& answer) noexcept override {
    pollfd one{descriptor_, events_, 0};
    if (::poll(&one, 1, 0) != 1) return false;
    answer = (one.revents & POLLNVAL) != 0 ? -EBADF : one.revents;
    return true;
  }
  std::string name() const override {
    return "descriptor " + std::to_string(descriptor_) + " to be " + (events_ == POLLIN ? "readable" : "writable");
  }
  void result() override { take(); }

 private:
  const int descriptor_;
  const short events_;
};

}  // namespace

template void answer_of<void>(kernel_call&);

}  // namespace detail

detail::kernel_call_operation<void> readable(int descriptor) {
  return detail::kernel_call_operation<void>(new detail::poll_call(descriptor, POLLIN));
}
detail::kernel_call_operation<void> writable(int descriptor) {
  return detail::kernel_call_operation<void>(new detail::poll_call(descriptor, POLLOUT));
}

}  // namespace ringo
