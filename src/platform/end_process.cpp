#include "platform/end_process.hpp"

#include <cstdlib>
#include <exception>

namespace ringo::detail {

void end_process() noexcept {
#ifdef __GLIBCXX__
  if (std::get_terminate() == __gnu_cxx::__verbose_terminate_handler) std::abort();
#endif
  std::terminate();
}

}  // namespace ringo::detail
