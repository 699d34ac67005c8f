#include <ringo/ready.hpp>

#include <poll.h>

#include <cerrno>
#include <string>

#include "io/one_shot.hpp"

namespace ringo {
namespace detail {
namespace {

class poll_call final : public one_shot_of<void> {
 public:
  poll_call(int descriptor, short events) noexcept : descriptor_(descriptor), events_(events) {}

 private:
  std::string describe() const override {
    return "descriptor " + std::to_string(descriptor_) + " to be " + (events_ == POLLIN ? "readable" : "writable");
  }
  bool try_at_once(int& answer) noexcept override {
    pollfd one{descriptor_, events_, 0};
    without_locks("poll");
    if (::poll(&one, 1, 0) != 1) return false;
    answer = (one.revents & POLLNVAL) != 0 ? -EBADF : one.revents;
    return true;
  }
  void ask(kernel_call& call) noexcept override { call.set_poll(descriptor_, events_); }
  void result() override { take(); }

  const int descriptor_;
  const short events_;
};

}  // namespace
}  // namespace detail

detail::one_shot_operation<void> readable(int descriptor) {
  return detail::one_shot_operation<void>(new detail::poll_call(descriptor, POLLIN));
}
detail::one_shot_operation<void> writable(int descriptor) {
  return detail::one_shot_operation<void>(new detail::poll_call(descriptor, POLLOUT));
}

}  // namespace ringo
