#include "io/passed_descriptors.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ringo::detail {

shared<passed_descriptors> duplicate(std::span<const int> numbers) {
  if (numbers.size() > most_descriptors) {
    throw std::invalid_argument("ringo: " + std::to_string(numbers.size()) + " descriptors in one message: at most " +
                                std::to_string(most_descriptors) + " can pass at once");
  }
  const shared<passed_descriptors> copies(new passed_descriptors);
  copies->all.reserve(numbers.size());
  for (const int number : numbers) {
    const int copy = ::fcntl(number, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
      throw std::system_error(errno, std::generic_category(),
                              "ringo: descriptor " + std::to_string(number) + " to be passed on");
    }
    copies->all.emplace_back(copy);
  }
  return copies;
}

msghdr* message_in_flight::receive(void* to, std::size_t size) noexcept {
  bytes_ = {to, size};
  header_.msg_iovlen = 1;
  header_.msg_control = control_;
  header_.msg_controllen = sizeof control_;
  header_.msg_flags = 0;
  return &header_;
}

std::unique_ptr<passed_descriptors> message_in_flight::received() noexcept {
  std::unique_ptr<passed_descriptors> all;
  if ((header_.msg_flags & MSG_CTRUNC) != 0) {
    all.reset(new (std::nothrow) passed_descriptors);
    if (all != nullptr) all->some_lost = true;
  }
  for (cmsghdr* each = CMSG_FIRSTHDR(&header_); each != nullptr; each = CMSG_NXTHDR(&header_, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (all == nullptr) all.reset(new (std::nothrow) passed_descriptors);
    for (std::size_t i = 0; i < count; ++i) {
      int number;
      std::memcpy(&number, CMSG_DATA(each) + i * sizeof number, sizeof number);
      descriptor one(number);
      if (all == nullptr) continue;  // for want of memory it is closed
      try {
        all->all.push_back(std::move(one));
      } catch (const std::bad_alloc&) {
        all->some_lost = true;
      }
    }
  }
  header_.msg_controllen = 0;
  header_.msg_flags = 0;
  return all;
}

msghdr* message_in_flight::send(const std::byte* from, std::size_t size) noexcept {
  bytes_ = {const_cast<std::byte*>(from), size};
  header_.msg_iovlen = 1;
  header_.msg_control = nullptr;
  header_.msg_controllen = 0;
  if (!going || going->all.empty()) return &header_;
  const std::size_t bytes = going->all.size() * sizeof(int);
  std::memset(control_, 0, CMSG_SPACE(bytes));
  header_.msg_control = control_;
  // The fields' types differ between C libraries.
  header_.msg_controllen = static_cast<decltype(header_.msg_controllen)>(CMSG_SPACE(bytes));
  cmsghdr* rights = CMSG_FIRSTHDR(&header_);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = static_cast<decltype(rights->cmsg_len)>(CMSG_LEN(bytes));
  for (std::size_t i = 0; i < going->all.size(); ++i) {
    const int number = going->all[i].native_handle();
    std::memcpy(CMSG_DATA(rights) + i * sizeof number, &number, sizeof number);
  }
  return &header_;
}

}  // namespace ringo::detail
