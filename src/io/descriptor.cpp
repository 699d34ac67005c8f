#include <ringo/descriptor.hpp>

#include <unistd.h>

namespace ringo {

descriptor::~descriptor() {
  if (number_ >= 0) ::close(number_);
}

}  // namespace ringo
