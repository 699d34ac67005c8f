// Descriptors that pass through a Unix socket, with bytes (unix(7), SCM_RIGHTS), and the kernel's message for them.
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <ringo/descriptor.hpp>
#include <ringo/detail/pointers.hpp>

namespace ringo::detail {

// The kernel's limit for one message (SCM_MAX_FD).
inline constexpr std::size_t most_descriptors = 253;

class passed_descriptors final : public shared_object {
 public:
  std::vector<descriptor> all;
  bool some_lost = false;  // this process had no room for all of them
  passed_descriptors* next = nullptr;
};

// Duplicates descriptors that are to be sent, so that the caller may close its own at any time. Throws:
// std::system_error, std::invalid_argument.
shared<passed_descriptors> duplicate(std::span<const int> numbers);

// One message in flight, in one direction.
class message_in_flight {
 public:
  message_in_flight() noexcept { header_.msg_iov = &bytes_; }
  message_in_flight(const message_in_flight&) = delete;
  message_in_flight& operator=(const message_in_flight&) = delete;

  // Prepares to receive, into `to`, which is null if the kernel chooses the buffer.
  msghdr* receive(void* to, std::size_t size) noexcept;
  // The descriptors that came with the bytes; null if none came.
  std::unique_ptr<passed_descriptors> received() noexcept;

  // Prepares to send, with the descriptors in `going`.
  msghdr* send(const std::byte* from, std::size_t size) noexcept;
  shared<passed_descriptors> going;

 private:
  msghdr header_{};
  iovec bytes_{};
  alignas(cmsghdr) std::byte control_[CMSG_SPACE(most_descriptors * sizeof(int))];
};

}  // namespace ringo::detail
