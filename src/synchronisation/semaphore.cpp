#include <ringo/semaphore.hpp>

#include <stdexcept>
#include <string>

namespace ringo {

namespace detail {

void throw_negative_permits(std::size_t n, const char* call) {
  throw std::invalid_argument(std::string("ringo: ") + call + " of " + std::to_string(n) +
                              " permits: was it a negative number?");
}

}  // namespace detail

semaphore::semaphore(std::size_t n)
    : core_(new detail::permit_core(detail::permit_core::kind::semaphore, detail::checked_permits(n, "a semaphore"))) {}

semaphore::permit semaphore::try_acquire(std::size_t n) {
  (void)detail::checked_permits(n, "semaphore::try_acquire");
  return core_->try_take(n, "semaphore::try_acquire") ? permit(detail::hold(*core_, n)) : permit();
}

std::size_t semaphore::available() const { return core_->available("semaphore::available"); }

}  // namespace ringo
