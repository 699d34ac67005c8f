// A number is no length of time; the POSIX function of that name would even take it, and block a worker.
// refused 1: deleted function
// refused 2: deleted function
#include <unistd.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> sleeps() {
#if REFUSED == 1
  co_await ringo::sleep(5);
#elif REFUSED == 2
  sleep(5);
#else
  co_await sleep(5s);
#endif
  co_return;
}
