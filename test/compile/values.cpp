// What a channel carries, what is sent, what a pipeline is made of, and what is read and written in pieces.
// each in one short error
// refused 1: std::reference_wrapper
// refused 2: a plain type for const
// refused 3: [Bb]ox
// refused 4: [Bb]ox
// refused 5: into which this is not converted
// refused 6: into which this is not converted
// refused 7: into which this is not converted
// refused 8: into which this is not converted
// refused 9: write ch.send.std::move
// refused 10: write ch.send.std::move
// refused 11: write ch.send.std::move
// refused 12: write ch.send..
// refused 13: write ch.send.x.
// refused 14: can be built
// refused 15: called with a value of the input's type
// refused 16: write std::move.f.
// refused 17: input is a channel
// refused 18: input is a channel
// refused 19: input is a channel
// refused 20: input is a channel
// refused 21: one type of values
// refused 22: takes a range
// refused 23: write std::move.range.
// refused 24: byte_source
// refused 25: byte_source
// refused 26: byte_sink
// refused 27: byte_sink
#include <ringo/ringo.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

using namespace ringo;
using namespace std::chrono_literals;

struct throwing {
  throwing() = default;
  throwing(throwing&&) {}
};
struct no_bytes {};

task<> values(channel<int> ch, channel<std::unique_ptr<int>> owners, channel<> signals) {
  auto u = std::make_unique<int>(1);
  auto stateful = [u = std::make_unique<int>(1)](int n) { return n + *u; };
  std::vector<std::unique_ptr<int>> many;
  std::vector<int> few;
  no_bytes none;
#if REFUSED == 1
  channel<int&> bad;
#elif REFUSED == 2
  sender<const int> bad;
#elif REFUSED == 3
  channel<throwing> bad;
  co_await bad.emplace();
#elif REFUSED == 4
  channel<std::mutex> bad;
  co_await bad.recv();
#elif REFUSED == 5
  co_await ch.send("text");
#elif REFUSED == 6
  co_await select(ch.send("text"), ch.recv());
#elif REFUSED == 7
  ch.try_send("text");
#elif REFUSED == 8
  ch.send_blocking("text");
#elif REFUSED == 9
  co_await owners.send(u);
#elif REFUSED == 10
  owners.try_send(u);
#elif REFUSED == 11
  owners.send_blocking(u);
#elif REFUSED == 12
  co_await signals.send(1);
#elif REFUSED == 13
  co_await ch.send();
#elif REFUSED == 14
  co_await ch.emplace("text");
#elif REFUSED == 15
  map(ch, 2, [](std::string) { return 1; });
#elif REFUSED == 16
  map(ch, 2, stateful);
#elif REFUSED == 17
  map(few, 2, [](int n) { return n; });
#elif REFUSED == 18
  take(few, 2);
#elif REFUSED == 19
  tee(5, 2);
#elif REFUSED == 20
  batch(few, 2, 1s);
#elif REFUSED == 21
  merge(ch, channel<long>());
#elif REFUSED == 22
  generate(1);
#elif REFUSED == 23
  generate(many);
#elif REFUSED == 24
  buffered_reader in(none);
  auto line = co_await in.read_line();
#elif REFUSED == 25
  buffered_reader in(ch);
#elif REFUSED == 26
  buffered_writer out(none);
  co_await out.write("text");
  co_await out.flush();
#elif REFUSED == 27
  buffered_writer out(owners);
#else
  co_await ch.send(1);
  co_await owners.send(std::move(u));
  co_await owners.emplace(new int(1));
  owners.send_blocking(nullptr);
  co_await signals.send();
  map(ch, 2, std::move(stateful));
  take(map(ch, 2, [](int n) { return n; }), 2);
  merge(ch, receiver<int>(ch));
  generate(std::move(many));
  generate(few);
  channel<std::string> text;
  buffered_reader in(text);
  buffered_writer out(text);
#endif
  co_return;
}
