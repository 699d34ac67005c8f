#include "doubler.hpp"

// Two files include ringo, so whatever it defines twice does not link. The timer takes the program through the kernel.
ringo::task<int> doubled(int value) {
  ringo::channel<int> in, out;
  ringo::go(doubler, in, out);
  co_await ringo::sleep(std::chrono::milliseconds(1));
  co_await in.send(value);
  in.close();
  auto result = co_await out.recv();
  co_return result.value_or(0);
}

int main() { return ringo::run(doubled(21)) == 42 ? 0 : 1; }
