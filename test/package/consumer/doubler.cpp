#include "doubler.hpp"

ringo::task<> doubler(ringo::receiver<int> in, ringo::sender<int> out) {
  while (auto value = co_await in.recv()) co_await out.send(*value * 2);
  out.close();
}
