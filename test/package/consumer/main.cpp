#include <cstring>
#include <system_error>

#include "multiplier.hpp"

// Two files include ringo, so whatever it defines twice does not link. The timer takes the program through the kernel.
ringo::task<int> doubled(int value) {
  ringo::channel<int> in, out;
  ringo::go(ringo::context::current().with_value(factor{2}), multiplier, in, out);
  co_await ringo::sleep(std::chrono::milliseconds(1));
  co_await in.send(value);
  in.close();
  auto result = co_await out.recv();
  co_return result.value_or(0);
}

// A ringo that was built with RINGO_URING=OFF has epoll, and says so if io_uring is asked for.
bool has_epoll_alone() {
  if (ringo::runtime().driver() != ringo::driver::epoll) return false;
  try {
    ringo::runtime(ringo::runtime_options{.driver = ringo::driver::io_uring});
    return false;
  } catch (const std::system_error& refused) {
    return std::strstr(refused.what(), "RINGO_URING=OFF") != nullptr;
  }
}

int main(int count, char** arguments) {
  if (count > 1 && std::strcmp(arguments[1], "epoll") == 0 && !has_epoll_alone()) return 2;
  return ringo::run(doubled(21)) == 42 ? 0 : 1;
}
