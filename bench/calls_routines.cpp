// Calls that start and join routines, of contexts, synchronisation and time, and those that the kernel or a thread
// answers.
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calls.hpp"

namespace {

using namespace std::chrono_literals;
using bench::allocates;
using bench::in_kernel;
using bench::keep;
using ringo::channel;
using ringo::context;
using ringo::task;

// Tasks and routines.

task<> nothing() { co_return; }
task<int> number() { co_return 7; }
task<> with_arguments(int, std::shared_ptr<int>, std::string_view) { co_return; }

CALL(task_call) {
  EACH { co_await nothing(); }
}
CALL(task_call_value) {
  EACH { keep(co_await number()); }
}
// A frame of 2 KB, and the small one of nothing().
task<> with_a_large_frame() {
  std::array<std::byte, 2000> large;
  keep(large);
  co_await nothing();
  keep(large);
}
CALL(task_call_large_frame) {
  EACH { co_await with_a_large_frame(); }
}
CALL(go_join) {
  EACH { keep(co_await ringo::go(number)); }
}
CALL(go_lambda_join) {
  EACH {
    keep(co_await ringo::go([n] { return n; }));
  }
}
CALL(go_detached) {
  EACH { ringo::go(nothing); }
}
CALL(go_with_arguments) {
  const auto shared = std::make_shared<int>();
  EACH { ringo::go(with_arguments, n, shared, "text"); }
}
CALL(go_task) {
  EACH { ringo::go(nothing()); }
}
CALL(go_under_context) {
  const auto within = context::with_cancel();
  EACH { ringo::go(within, nothing); }
}
CALL(join_ended) {
  std::vector<ringo::handle<int>> ended(bench::batch);
  BATCH {
    for (auto& each : ended) each = ringo::go(number);
    for (auto& each : ended) keep(co_await each);
  }
}
CALL(handle_is_done) {
  auto ended = ringo::go(number);
  co_await ended.wait();
  EACH { keep(ended.is_done()); }
}
CALL(wait_group_go) {
  BATCH {
    ringo::wait_group all;
    for (int n = 0; n < bench::batch; ++n) all.go(nothing);
    co_await all.wait();
  }
}
CALL(wait_group_add_done) {
  ringo::wait_group all;
  EACH {
    all.add();
    all.done();
  }
}
CALL(wait_group_wait_open) {
  ringo::wait_group all;
  EACH { co_await all.wait(); }
}
CALL(group_go) {
  BATCH {
    ringo::group all;
    for (int n = 0; n < bench::batch; ++n) all.go(nothing);
    co_await all.wait();
  }
}
CALL(group_go_limited) {
  BATCH {
    ringo::group all;
    all.limit(10);
    for (int n = 0; n < bench::batch; ++n) all.go(nothing);
    co_await all.wait();
  }
}
CALL(group_slot) {
  ringo::group all;
  all.limit(10);
  EACH { co_await all.slot(); }
}
CALL(group_make_wait) {
  EACH {
    ringo::group all;
    co_await all.wait();
  }
}
task<> one_member(ringo::group& all) {
  all.go(nothing);
  co_return;
}
CALL(scope_of_one) {
  EACH { co_await ringo::scope(one_member); }
}
CALL(pool_submit) {
  ringo::worker_pool pool({.max = 4, .queue_capacity = 16});
  EACH { co_await pool.submit(nothing); }
}
CALL(pool_submit_join) {
  ringo::worker_pool pool({.max = 4, .queue_capacity = 16});
  EACH {
    auto job = co_await pool.submit(number);
    keep(co_await job);
  }
}
CALL(yield_alone) {
  EACH { co_await ringo::yield(); }
}

// Contexts.

CALL(context_current) {
  EACH { keep(ringo::current_context()); }
}
CALL(context_copy) {
  const auto original = context::with_cancel();
  EACH { keep(context(original)); }
}
CALL(context_is_cancelled) {
  const auto open = context::with_cancel();
  EACH { keep(open.is_cancelled()); }
}
CALL(context_with_cancel) {
  EACH { keep(context::with_cancel()); }
}
CALL(context_cancel) {
  EACH { context::with_cancel().cancel(); }
}
CALL(context_with_timeout) {
  EACH { keep(context::with_timeout(1s)); }
}
CALL(context_with_value) {
  const context parent;
  EACH { keep(parent.with_value(n)); }
}
CALL(context_value_of_parent) {
  const auto child = context().with_value(1).with_value(2L);
  EACH { keep(child.value<int>()); }
}
CALL(context_after_func, allocates(3)) {
  const auto open = context::with_cancel();
  EACH { keep(open.after_func(nothing)()); }
}

// Synchronisation.

CALL(mutex_lock) {
  ringo::mutex lock;
  EACH { const auto held = co_await lock.lock(); }
}
CALL(mutex_try_lock) {
  ringo::mutex lock;
  EACH { const auto held = lock.try_lock(); }
}
CALL(mutex_try_lock_held) {
  ringo::mutex lock;
  const auto held = lock.try_lock();
  EACH { keep(lock.try_lock()); }
}
CALL(shared_mutex_lock) {
  ringo::shared_mutex lock;
  EACH { const auto held = co_await lock.lock(); }
}
CALL(shared_mutex_lock_shared) {
  ringo::shared_mutex lock;
  EACH { const auto held = co_await lock.lock_shared(); }
}
CALL(semaphore_acquire) {
  ringo::semaphore permits(4);
  EACH { const auto held = co_await permits.acquire(); }
}
CALL(semaphore_try_acquire) {
  ringo::semaphore permits(4);
  EACH { const auto held = permits.try_acquire(2); }
}
task<> acquire_often(ringo::semaphore& permits) {
  for (int i = 0; i < bench::batch / 8; ++i) {
    const auto held = co_await permits.acquire();
    co_await ringo::yield();
  }
}
CALL(semaphore_contended) {
  ringo::semaphore permits(2);
  BATCH {
    ringo::wait_group all;
    for (int i = 0; i < 8; ++i) all.go(acquire_often, std::ref(permits));
    co_await all.wait();
  }
}
CALL(once_done) {
  ringo::once first;
  co_await first.call(nothing);
  EACH { co_await first.call(nothing); }
}
CALL(once_first) {
  EACH {
    ringo::once first;
    co_await first.call(nothing);
  }
}
CALL(event_wait_set) {
  ringo::event open(true);
  EACH { co_await open.wait(); }
}
CALL(event_set_reset) {
  ringo::event flag;
  EACH {
    flag.set();
    flag.reset();
  }
}
CALL(event_is_set) {
  const ringo::event open(true);
  EACH { keep(open.is_set()); }
}
CALL(latch_of_one) {
  EACH {
    ringo::latch open(1);
    open.count_down();
    co_await open.wait();
  }
}
CALL(condition_notify_none) {
  ringo::condition changed;
  EACH { changed.notify_one(); }
}
struct turns {
  ringo::mutex lock;
  ringo::condition changed;
  int turn = 0;
};
task<> take_turns(turns& of, int mine) {
  for (int i = 0; i < bench::batch / 2; ++i) {
    auto held = co_await of.lock.lock();
    while (of.turn != mine) co_await of.changed.wait(held);
    of.turn = 1 - mine;
    of.changed.notify_one();
  }
}
CALL(condition_hand_over) {
  turns both;
  BATCH {
    ringo::wait_group all;
    all.go(take_turns, std::ref(both), 0);
    all.go(take_turns, std::ref(both), 1);
    co_await all.wait();
  }
}
task<> arrive_often(ringo::barrier& at) {
  for (int i = 0; i < bench::batch / 2; ++i) co_await at.arrive_and_wait();
}
CALL(barrier_of_two) {
  ringo::barrier at(2);
  BATCH {
    ringo::wait_group all;
    all.go(arrive_often, std::ref(at));
    all.go(arrive_often, std::ref(at));
    co_await all.wait();
  }
}
CALL(completion) {
  EACH {
    ringo::completion<int> result;
    result.setter().set_value(n);
    keep(co_await result);
  }
}

// Time.

CALL(now) {
  EACH { keep(ringo::now()); }
}
CALL(sleep_0) {
  EACH { co_await ringo::sleep(0s); }
}
CALL(timer_make) {
  EACH { keep(ringo::timer(1s)); }
}
CALL(timer_reset) {
  ringo::timer limit(1h);
  EACH { keep(limit.reset(1h)); }
}
CALL(timer_stop_reset) {
  ringo::timer limit(1h);
  EACH {
    keep(limit.stop());
    keep(limit.reset(1h));
  }
}
CALL(timer_fired) {
  ringo::timer limit(1h);
  EACH {
    limit.reset(0s);
    keep(co_await limit.wait());
  }
}
CALL(ticker_reset) {
  ringo::ticker every(1h);
  EACH { every.reset(1h); }
}
CALL(ticker_tick, in_kernel) {  // a tick is due when it is awaited
  ringo::ticker every(1ns);
  EACH { keep(co_await every.tick()); }
}

// What the kernel or a thread answers.

CALL(blocking, in_kernel) {
  EACH {
    keep(co_await ringo::blocking([n] { return n; }));
  }
}
const std::string message(64, 'x');
CALL(pipe_write_read, in_kernel) {
  ringo::pipe_pair ends;
  EACH {
    co_await ends.writer.send(message);
    keep(co_await ends.reader.recv());
  }
}
CALL(stream_send_recv, in_kernel) {
  auto [here, there] = ringo::unix_stream::pair();
  EACH {
    co_await here.send(message);
    keep(co_await there.recv());
  }
}
CALL(datagram_send_recv, in_kernel) {
  auto [here, there] = ringo::unix_datagram::pair();
  EACH {
    co_await here.send(message);
    keep(co_await there.recv());
  }
}

}  // namespace
