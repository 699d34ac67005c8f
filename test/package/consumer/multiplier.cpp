#include "multiplier.hpp"

ringo::task<> multiplier(ringo::receiver<int> in, ringo::sender<int> out) {
  const factor* const f = ringo::context::current().value<factor>();
  while (auto value = co_await in.recv()) co_await out.send(f != nullptr ? *value * f->by : 0);
  out.close();
}
