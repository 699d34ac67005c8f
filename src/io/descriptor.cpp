#include <ringo/descriptor.hpp>

#include <unistd.h>

#include <ringo/detail/lock_rank.hpp>

namespace ringo {

descriptor::~descriptor() {
  if (number_ < 0) return;
  detail::without_locks("close");
  ::close(number_);
}

}  // namespace ringo
