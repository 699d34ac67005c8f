// Select waits for two channels at once, and takes the value that comes first: two seconds in all, not three.
#include <chrono>
#include <cstdio>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

task<> say_after(delay wait, std::string word, sender<std::string> out) {
  co_await sleep(wait);
  co_await out.send(word);
}

task<> program() {
  channel<std::string> first;
  channel<std::string> second;
  go(say_after, 1s, "one", first);
  go(say_after, 2s, "two", second);

  for (int i = 0; i < 2; ++i) {
    co_await select(on(first.recv(), [](auto word) { std::printf("first channel: %s\n", word->c_str()); }),
                    on(second.recv(), [](auto word) { std::printf("second channel: %s\n", word->c_str()); }));
  }
}

int main() { run(program); }
