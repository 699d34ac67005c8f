// Calls of channels and select, of what awaits an operation in another way, of pipelines and of buffered streams.
//
//   calls ...                as all benchmark programs (timing.hpp)
//   calls --allocations      fails if a call allocates more memory than it promises
#include "calls.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

std::vector<bench::call>& bench::calls() {
  static std::vector<call> all;
  return all;
}

namespace {

using namespace std::chrono_literals;
using bench::allocates;
using bench::keep;
using ringo::channel;
using ringo::receiver;
using ringo::select;
using ringo::sender;
using ringo::task;

const std::string short_text = "eleven char";
const std::string long_text(40, 'x');

// A channel from its making to its end.

CALL(channel_make) {
  EACH { keep(channel<int>()); }
}
CALL(channel_make_buffered, allocates(1)) {
  EACH { keep(channel<int>(16)); }
}
CALL(channel_make_close) {
  EACH { channel<int>().close(); }
}
CALL(channel_copy) {
  const channel<int> original;
  EACH { keep(channel<int>(original)); }
}
CALL(channel_move) {
  sender<int> here(channel<int>(1));
  EACH {
    sender<int> there(std::move(here));
    keep(there);
    here = std::move(there);
    keep(here);
  }
}
CALL(channel_size) {
  const channel<int> three(4);
  for (int i = 0; i < 3; ++i) three.try_send(i);
  EACH { keep(three.size()); }
}
CALL(channel_is_closed) {
  const channel<int> open(4);
  EACH { keep(open.is_closed()); }
}

// Sends and receives of one routine: no wait.

CALL(try_recv_empty) {
  const channel<int> empty(1);
  EACH { keep(empty.try_recv()); }
}
CALL(try_recv_closed) {
  const channel<int> closed(1);
  closed.close();
  EACH { keep(closed.try_recv()); }
}
CALL(try_recv_nil) {
  const auto nil = channel<int>::nil();
  EACH { keep(nil.try_recv()); }
}
CALL(try_send_full) {
  const channel<int> full(1);
  full.try_send(1);
  EACH { keep(full.try_send(1)); }
}
CALL(try_send_try_recv) {
  const channel<int> one(1);
  EACH {
    keep(one.try_send(1));
    keep(one.try_recv());
  }
}
CALL(recv_closed) {
  const channel<int> closed(1);
  closed.close();
  EACH { keep(co_await closed.recv()); }
}
CALL(post_recv, allocates(1)) {
  const channel<int> one(1);
  EACH {
    one.post(n);
    keep(co_await one.recv());
  }
}
CALL(signal_send_recv) {
  const channel<> one(1);
  EACH {
    co_await one.send();
    keep(co_await one.recv());
  }
}
CALL(emplace_string_recv) {
  const channel<std::string> one(1);
  EACH {
    co_await one.emplace("eleven char");
    keep(co_await one.recv());
  }
}

// The value goes into the buffer, and comes back out of it.
template <class T>
task<> send_and_receive(bench::timing& timing, T value) {
  const channel<T> one(1);
  EACH {
    co_await one.send(std::move(value));
    auto got = co_await one.recv();
    value = std::move(*got);
  }
}
template <std::size_t N>
struct bytes {
  std::array<std::byte, N> all{};
};
CALL(send_recv_1) { return send_and_receive(timing, char()); }
CALL(send_recv_8) { return send_and_receive(timing, 0L); }
CALL(send_recv_16) { return send_and_receive(timing, bytes<16>()); }
CALL(send_recv_64) { return send_and_receive(timing, bytes<64>()); }
CALL(send_recv_256) { return send_and_receive(timing, bytes<256>()); }
CALL(send_recv_short_string) { return send_and_receive(timing, short_text); }
CALL(send_recv_long_string) { return send_and_receive(timing, long_text); }
CALL(send_recv_unique_ptr) { return send_and_receive(timing, std::make_unique<int>()); }
CALL(send_recv_shared_ptr) { return send_and_receive(timing, std::make_shared<int>()); }
CALL(send_copy_recv_long_string, allocates(1)) {
  const channel<std::string> one(1);
  EACH {
    co_await one.send(long_text);
    keep(co_await one.recv());
  }
}

// A value from one routine to another that waits for it.
template <class T>
task<> feed(sender<T> out, T value) {
  for (int i = 0; i < bench::batch; ++i) co_await out.send(T(value));
}
template <class T>
task<> hand_over(bench::timing& timing, T value) {
  const channel<T> between;
  BATCH {
    ringo::go(feed<T>, between, value);
    for (int i = 0; i < bench::batch; ++i) keep(co_await between.recv());
  }
}
CALL(hand_over_8) { return hand_over(timing, 0L); }
CALL(hand_over_256) { return hand_over(timing, bytes<256>()); }
CALL(hand_over_short_string) { return hand_over(timing, short_text); }

// Selects.

CALL(select_2) {
  const channel<int> a(1);
  const channel<int> b(1);
  EACH {
    a.try_send(n);
    keep(co_await select(a.recv(), b.recv()));
  }
}
CALL(select_send_2) {
  const channel<int> a(1);
  const channel<int> b(1);
  EACH {
    keep(co_await select(a.send(n), b.recv()));
    a.try_recv();
  }
}
CALL(select_prefer_first_2) {
  const channel<int> a(1);
  const channel<int> b(1);
  EACH {
    a.try_send(n);
    keep(co_await select(ringo::prefer_first, a.recv(), b.recv()));
  }
}
CALL(select_otherwise_2) {
  const channel<int> a(1);
  const channel<int> b(1);
  EACH { keep(co_await select(a.recv(), b.recv(), ringo::otherwise)); }
}
CALL(select_on_2) {
  const channel<int> a(1);
  const channel<int> b(1);
  int sum = 0;
  const auto add = [&sum](auto got) { sum += *got; };
  EACH {
    a.try_send(n);
    co_await select(ringo::on(a.recv(), add), ringo::on(b.recv(), add));
  }
  keep(sum);
}
CALL(select_on_8) {
  std::vector<channel<int>> c;
  for (int i = 0; i < 8; ++i) c.emplace_back(1);
  int sum = 0;
  const auto add = [&sum](auto got) { sum += *got; };
  EACH {
    c[static_cast<std::size_t>(n % 8)].try_send(n);
    co_await select(ringo::on(c[0].recv(), add), ringo::on(c[1].recv(), add), ringo::on(c[2].recv(), add),
                    ringo::on(c[3].recv(), add), ringo::on(c[4].recv(), add), ringo::on(c[5].recv(), add),
                    ringo::on(c[6].recv(), add), ringo::on(c[7].recv(), add));
  }
  keep(sum);
}
task<> add_to(int& sum, std::optional<int> got) {
  sum += *got;
  co_return;
}
CALL(select_on_task) {
  const channel<int> a(1);
  const channel<int> b(1);
  int sum = 0;
  const auto add = [&sum](std::optional<int> got) { return add_to(sum, got); };
  EACH {
    a.try_send(n);
    co_await select(ringo::on(a.recv(), add), ringo::on(b.recv(), add));
  }
  keep(sum);
}
CALL(select_sleep) {
  const channel<int> a(1);
  EACH {
    a.try_send(n);
    keep(co_await select(a.recv(), ringo::sleep(1s)));
  }
}
CALL(select_context) {
  const channel<int> a(1);
  const auto within = ringo::context::with_cancel();
  EACH {
    a.try_send(n);
    keep(co_await select(a.recv(), within.wait()));
  }
}
CALL(select_any_8) {
  std::vector<channel<int>> c;
  for (int i = 0; i < 8; ++i) c.emplace_back(1);
  std::vector<decltype(c[0].recv())> cases;
  for (auto& each : c) cases.push_back(each.recv());
  EACH {
    c[static_cast<std::size_t>(n % 8)].try_send(n);
    keep(co_await ringo::select_any(cases));
  }
}
CALL(try_select_any_8) {
  std::vector<channel<int>> c;
  for (int i = 0; i < 8; ++i) c.emplace_back(1);
  std::vector<decltype(c[0].recv())> cases;
  for (auto& each : c) cases.push_back(each.recv());
  EACH { keep(ringo::try_select_any(cases)); }
}

// What awaits an operation in another way. The value is there, but where the name ends in _waits.

CALL(with_timeout) {
  const channel<int> a(1);
  EACH {
    a.try_send(n);
    keep(co_await ringo::with_timeout(1s, a.recv()));
  }
}
CALL(with_timeout_waits) {
  const channel<int> a;
  BATCH {
    ringo::go(feed<int>, a, 1);
    for (int i = 0; i < bench::batch; ++i) keep(co_await ringo::with_timeout(1s, a.recv()));
  }
}
CALL(with_deadline) {
  const channel<int> a(1);
  const auto deadline = ringo::now() + 1h;
  EACH {
    a.try_send(n);
    keep(co_await ringo::with_deadline(deadline, a.recv()));
  }
}
CALL(with_context) {
  const channel<int> a(1);
  const auto within = ringo::context::with_cancel();
  EACH {
    a.try_send(n);
    keep(co_await ringo::with_context(within, a.recv()));
  }
}
CALL(shield) {
  const channel<int> a(1);
  EACH {
    a.try_send(n);
    keep(co_await ringo::shield(a.recv()));
  }
}
CALL(outcome) {
  const channel<int> a(1);
  EACH {
    a.try_send(n);
    keep(co_await ringo::outcome(a.recv()));
  }
}
CALL(finally) {
  const channel<int> a(1);
  const channel<> b(1);
  EACH {
    a.try_send(n);
    b.try_recv();
    keep(co_await ringo::finally(a.recv(), b.send()));
  }
}
CALL(all_2) {
  const channel<int> a(1);
  const channel<int> b(1);
  EACH {
    a.try_send(n);
    b.try_send(n);
    keep(co_await ringo::all(a.recv(), b.recv()));
  }
}

// One element of a pipeline, from `generate` to the receiver.

auto numbers() { return ringo::generate(std::views::iota(0, bench::batch)); }
template <class T>
task<> drain(receiver<T> in) {
  while (const auto got = co_await in.recv()) keep(*got);
}
int twice(int n) { return 2 * n; }
task<int> twice_in_task(int n) { co_return 2 * n; }

CALL(generate) { BATCH co_await drain(numbers()); }
CALL(generate_buffered) { BATCH co_await drain(ringo::generate(std::views::iota(0, bench::batch), 64)); }
CALL(map) { BATCH co_await drain(ringo::map(numbers(), 1, twice)); }
CALL(map_task) { BATCH co_await drain(ringo::map(numbers(), 1, twice_in_task)); }
CALL(map_4) { BATCH co_await drain(ringo::map(numbers(), 4, twice)); }
CALL(map_4_ordered) { BATCH co_await drain(ringo::map(numbers(), 4, twice, {.ordered = true})); }
CALL(take) { BATCH co_await drain(ringo::take(numbers(), bench::batch)); }
CALL(batch_100, allocates(0.1)) { BATCH co_await drain(ringo::batch(numbers(), 100, 1s)); }
CALL(merge_2) {
  BATCH {
    co_await drain(ringo::merge(ringo::generate(std::views::iota(0, bench::batch / 2)),
                                ringo::generate(std::views::iota(0, bench::batch / 2))));
  }
}
CALL(tee_2) {
  BATCH {
    auto outputs = ringo::tee(numbers(), 2);
    while (const auto first = co_await outputs[0].recv()) keep(co_await outputs[1].recv());
    keep(co_await outputs[1].recv());
  }
}
task<> receive_all(receiver<int> in) {
  while (const auto value = co_await in.recv()) keep(*value);
}
CALL(tee_16) {
  BATCH {
    auto outputs = ringo::tee(numbers(), 16);
    ringo::wait_group readers;
    for (auto& each : outputs) readers.go(receive_all, each);
    outputs.clear();
    co_await readers.wait();
  }
}

// Lines and pieces of 32 bytes, of a stream that is in memory.

struct nowhere {
  task<> send(std::string_view) { co_return; }
};
const std::string lines = [] {
  std::string all;
  for (int i = 0; i < bench::batch; ++i) all += "a line of thirty-one characters\n";
  return all;
}();
CALL(read_line, allocates(1)) {
  const channel<std::string> pieces(1);
  ringo::buffered_reader in{receiver<std::string>(pieces)};
  BATCH {
    co_await pieces.send(lines);
    for (int i = 0; i < bench::batch; ++i) keep(co_await in.read_line());
  }
}
CALL(read_exactly_into) {
  const channel<std::string> pieces(1);
  ringo::buffered_reader in{receiver<std::string>(pieces)};
  std::array<std::byte, 32> into;
  BATCH {
    co_await pieces.send(lines);
    for (int i = 0; i < bench::batch; ++i) co_await in.read_exactly(into);
  }
}
CALL(write_line) {
  ringo::buffered_writer out{nowhere()};
  EACH { co_await out.write("a line of ", "thirty-one characters", "\n"); }
}
CALL(write_and_flush) {
  ringo::buffered_writer out{nowhere()};
  EACH {
    co_await out.write("a line of thirty-one characters\n");
    co_await out.flush();
  }
}

int check_allocations() {
  bool right = true;
  for (const bench::call& each : bench::calls()) {
    if (each.in_kernel) continue;
    bench::timing timing("4x", each.name);
    ringo::run(each.workload(timing), {.workers = 1});
    const double made = timing.allocations_per_operation();
    const bool few = made <= each.allocates + 0.1;  // what begins and ends a batch of calls may allocate
    right = right && few;
    if (!few) std::printf("%s allocates %.2f times, promised: %.2f\n", each.name.data(), made, each.allocates);
  }
  return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--allocations") return check_allocations();
  std::vector<bench::named<bench::workload>> measured;
  for (const bench::call& each : bench::calls()) {
    if (!each.in_kernel || argc < 4 || !bench::timing::counts(argv[3])) measured.push_back(each);
  }
  return bench::measure(argc, argv, measured);
}
