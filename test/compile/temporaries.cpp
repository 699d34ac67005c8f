// What g++ 12 destroys twice in a full expression with a co_await, where the types show it.
// refused 1 by g++ 12: name
// refused 2 by g++ 12: emplace
// refused 3 by g++ 12: name the lambda
// refused 4 by g++ 12: name the lambda, or the call
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;

struct message {
  int id;
  std::string text;
};

task<> temporaries(channel<int> numbers, channel<message> messages, std::string text) {
#if REFUSED == 1
  co_await select(on(numbers.recv(), [text](auto) {}), otherwise);
#elif REFUSED == 2
  co_await messages.send(message{1, text});
#elif REFUSED == 3
  co_await go([text]() -> task<> { co_return; });
#elif REFUSED == 4
  co_await blocking([text] { return text.size(); });
#else
  auto handler = [text](auto) {};
  co_await select(on(numbers.recv(), handler), otherwise);
  co_await select(on(numbers.recv(), [&text](auto) { text.clear(); }), otherwise);
  message named{1, text};
  co_await messages.emplace(std::move(named));
  co_await messages.emplace(2, text);
  go([text]() -> task<> { co_return; });
  auto call = blocking([text] { return text.size(); });
  co_await select(call, numbers.recv());
  co_await call;
#endif
}
