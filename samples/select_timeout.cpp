// A time limit is one more case of a select: the work takes two seconds, and the limit is one second.
#include <chrono>
#include <cstdio>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> work(sender<std::string> result) {
  co_await sleep(2s);
  co_await result.send("the result");
}

task<> program() {
  // With room for one value, the work can leave its result and end, although main no longer waits for it.
  channel<std::string> result(1);
  go(work, result);

  auto ready = co_await select(result.recv(), sleep(1s));
  if (ready.index() == 0) {
    std::printf("%s\n", std::get<0>(ready)->c_str());
  } else {
    std::printf("timeout after a second\n");
  }
}

int main() { run(program); }
