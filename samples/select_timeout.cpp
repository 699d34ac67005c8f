// A timeout is one more case of select: the work takes two seconds, our patience ends after one.
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
  // With room for one value the work could leave its result and end, though nobody waits for it any more.
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
