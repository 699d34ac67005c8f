#include <ringo/ready.hpp>

#include <liburing.h>
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

template void answer_of<void>(one_shot&);

}  // namespace detail

detail::one_shot_operation<void> readable(int descriptor) {
  return detail::one_shot_operation<void>(new detail::poll_call(descriptor, POLLIN));
}
detail::one_shot_operation<void> writable(int descriptor) {
  return detail::one_shot_operation<void>(new detail::poll_call(descriptor, POLLOUT));
}

}  // namespace ringo
