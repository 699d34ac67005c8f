// Descriptors that pass through a Unix socket, beside bytes (unix(7), SCM_RIGHTS), and what the kernel is told of them.
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <ringo/descriptor.hpp>

namespace ringo::detail {

// As many as the kernel lets pass at once (SCM_MAX_FD).
inline constexpr std::size_t most_descriptors = 253;

class passed_descriptors {
 public:
  std::vector<descriptor> all;
  bool some_lost = false;  // there was no room for all of them in this process
};

// For what is sent: its own of the same files, so that the caller's may be closed at any moment. Throws
// std::system_error, std::invalid_argument.
std::shared_ptr<passed_descriptors> duplicate(std::span<const int> numbers);

// One message in flight, one way.
class message_in_flight {
 public:
  message_in_flight() noexcept { header_.msg_iov = &bytes_; }
  message_in_flight(const message_in_flight&) = delete;
  message_in_flight& operator=(const message_in_flight&) = delete;

  // To be received: into these bytes, null where the kernel chooses the block.
  msghdr* receive(void* to, std::size_t size) noexcept;
  // What has come besides bytes; null if nothing has.
  std::unique_ptr<passed_descriptors> received() noexcept;

  // To be sent, with `going`.
  msghdr* send(const std::byte* from, std::size_t size) noexcept;
  std::shared_ptr<passed_descriptors> going;

 private:
  msghdr header_{};
  iovec bytes_{};
  alignas(cmsghdr) std::byte control_[CMSG_SPACE(most_descriptors * sizeof(int))];
};

}  // namespace ringo::detail
