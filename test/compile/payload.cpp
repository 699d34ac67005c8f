// A value is moved while the channel is locked, so its move must not throw; what cannot promise that is boxed.
// refused 1: [Bb]ox
// refused 2: [Bb]ox
#include <ringo/ringo.hpp>

#include <memory>
#include <mutex>

using namespace ringo;

struct throwing {
  throwing() = default;
  throwing(throwing&&) {}
};

task<> sends() {
#if REFUSED == 1
  channel<throwing> values;
  co_await values.emplace();
#elif REFUSED == 2
  channel<std::mutex> values;
  co_await values.recv();
#else
  channel<std::unique_ptr<throwing>> values;
  co_await values.send(std::make_unique<throwing>());
#endif
}
