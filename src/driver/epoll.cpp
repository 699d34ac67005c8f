#include "driver/epoll.hpp"

#include <cerrno>
#include <system_error>

namespace ringo::detail {

std::unique_ptr<driver> make_epoll() {
  throw std::system_error(ENOSYS, std::generic_category(), "ringo: the epoll driver is not there yet");
}

}  // namespace ringo::detail
