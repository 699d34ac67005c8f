// What may happen between an operation's looks at its source, when other workers are about; and before it looks, when
// its routine has been cancelled while something else ran in its place.
#include <doctest/doctest.h>

#include <memory>
#include <ringo/detail/operation.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>

#include "every_scheduler.hpp"
#include "runtime/kernel_operation.hpp"
#include "simulated/owned_coroutine.hpp"
#include "states.hpp"

using namespace ringo;

namespace {

// Has nothing but what it is made of: a source that others change between two looks.
class scripted_operation : public detail::operation<scripted_operation, int> {
 public:
  static constexpr const char* call_name = "scripted";
  explicit scripted_operation(int looks_in_vain) noexcept : looks_in_vain_(looks_in_vain) {}
  ~scripted_operation() { CHECK(current_state() == detail::progress::idle); }

  void enter(detail::worker*) noexcept {}
  detail::spin_lock* lock() noexcept { return &lock_; }
  bool ready(detail::worker&) noexcept { return looks_in_vain_ == 0; }
  bool commit(detail::worker&, bool, detail::routine*&) noexcept {
    if (looks_in_vain_ > 0) {
      --looks_in_vain_;
      return false;
    }
    set_state(detail::progress::done);
    return true;
  }
  void link(detail::worker& w, detail::routine& r) noexcept {
    blocked = &r;
    set_state(detail::progress::waiting);
    ++linked;
    if (w.shared) r.is_fed_by(0);                  // as an operation of the kernel would be
    r.state.fetch_or(detail::routine::cancelled);  // somebody cancels it before the wait is open
  }
  bool unlink() noexcept {
    --linked;
    set_state(detail::progress::idle);
    return false;
  }
  void dispose() noexcept {}
  void append_to(detail::wait_report& text) const { text += call_name; }
  int take() noexcept {
    set_state(detail::progress::idle);
    return 7;
  }

  int linked = 0;

 private:
  detail::spin_lock lock_;
  int looks_in_vain_;
};

owned_coroutine awaits(scripted_operation& operation, int& result) { result = co_await operation; }

task<> awaits_until_cancelled(scripted_operation& operation, bool& ended) {
  try {
    co_await operation;
  } catch (const cancelled&) {
    ended = true;
    // A limit of a later wait would be put off for this ring's answers.
    CHECK((detail::current_worker()->current->state.load() & detail::routine::ring_bits) == 0);
  }
}

task<> nothing() { co_return; }
task<> cancels(context scope_of_caller) {
  scope_of_caller.cancel();
  co_return;
}
owned_coroutine cancels_and_awaits_a_task(context scope_of_caller) {
  scope_of_caller.cancel();
  co_await nothing();
}
owned_coroutine awaits_a_task_that_cancels(context scope_of_caller) { co_await cancels(scope_of_caller); }

task<> takes(const channel<int>& full, bool& ended) {
  try {
    co_await full.recv();
  } catch (const cancelled&) {
    ended = true;
  }
}

// A routine in whose place that runs, by which it is cancelled, and which then awaits what is ready.
void check_that_it_is_cancelled_by(owned_coroutine (*in_its_place)(context)) {
  on_every_scheduler([in_its_place]() -> task<> {
    channel<int> full(1);
    co_await full.send(1);
    bool ended = false;
    const context scope_of_it = context::with_cancel();
    auto goes_on = [&]() -> task<> {
      const owned_coroutine other = in_its_place(scope_of_it);
      co_await takes(full, ended);
    };
    co_await go(scope_of_it, goes_on);
    CHECK(ended);
    CHECK(full.size() == 1);
  });
}

}  // namespace

TEST_CASE("a routine stays cancelled when a coroutine of a foreign type has awaited a task in its place") {
  check_that_it_is_cancelled_by(cancels_and_awaits_a_task);
}

TEST_CASE("a routine is cancelled by a task that a coroutine of a foreign type awaits in its place") {
  check_that_it_is_cancelled_by(awaits_a_task_that_cancels);
}

TEST_CASE("a coroutine of a foreign type that was about to wait, and need not, leaves nothing behind") {
  on_every_scheduler([]() -> task<> {
    // With one worker nothing changes between the looks, and there is but one.
    scripted_operation operation(detail::current_worker()->shared ? 1 : 0);
    int result = 0;
    const owned_coroutine other = awaits(operation, result);
    CHECK(other.done());
    CHECK(result == 7);
    co_return;
  });
}

TEST_CASE(
    "a routine that is cancelled when it is about to wait takes its operation out, forgets its ring and ends with "
    "cancelled") {
  on_every_scheduler([]() -> task<> {
    scripted_operation operation(2);
    bool ended = false;
    co_await go(awaits_until_cancelled, std::ref(operation), std::ref(ended));
    CHECK(ended);
    CHECK(operation.linked == 0);
  });
}

namespace {

class pausing final : public detail::kernel_operation {
 public:
  void fill(detail::kernel_call& call) noexcept override { fill_pause(call); }
  void complete(const detail::kernel_answer&) noexcept override { over(); }
  void keep() noexcept override {}
  void let_go(detail::scheduler*) noexcept override {}
};

// Takes operations, and leaves their answers to the test.
class answering_nothing final : public detail::driver {
 public:
  void attach() override {}
  time_point now() const noexcept override { return {}; }
  bool poll(time_point) override { return false; }
  bool may_have_answers() const noexcept override { return false; }
  void wake() noexcept override {}
  std::size_t in_flight() const noexcept override { return 0; }
  void submit(detail::kernel_request&) noexcept override {}
  void end_early(detail::kernel_request&) noexcept override {}
  void drain() noexcept override {}
  bool lends_buffers(bool) noexcept override { return false; }
};

// Waits for ever for an operation of the kernel.
class fed_operation : public detail::queued_operation<fed_operation, void> {
 public:
  static constexpr const char* call_name = "wait for a pause";
  fed_operation(detail::wait_queue& queue, pausing& by) noexcept : queue_(queue), by_(by) {}

  void enter(detail::worker*) noexcept {}
  detail::spin_lock* lock() noexcept { return &lock_; }
  detail::wait_queue& queue() noexcept { return queue_; }
  bool ready(detail::worker&) noexcept { return false; }
  void link(detail::worker& w, detail::routine& r) noexcept {
    queued_operation::link(w, r);
    by_.feeds(r);
  }
  void append_to(detail::wait_report& text) const { text += call_name; }

 private:
  detail::wait_queue& queue_;
  pausing& by_;
  detail::spin_lock lock_;
};

}  // namespace

TEST_CASE("an operation of the kernel that begins again on another ring tells that to the routines that wait for it") {
  const auto main = []() -> task<> {
    detail::wait_queue queue;
    pausing by;
    const auto begins_on = [&](std::size_t i) {
      detail::scheduler& w = *detail::current_worker()->runtime.workers[i];
      std::unique_ptr<detail::driver> simulated = std::exchange(w.driver_, std::make_unique<answering_nothing>());
      by.start(w, queue);
      w.driver_ = std::move(simulated);
    };
    const auto ring = [&] { return queue.front()->blocked->state.load() >> detail::routine::ring_shift; };
    const auto waits = [&]() -> task<> { co_await fed_operation(queue, by); };

    begins_on(0);
    auto routine = go(waits);
    co_await until_parked("wait for a pause");
    CHECK(ring() == 1);
    by.complete({});
    begins_on(0);
    CHECK(ring() == 1);
    by.complete({});
    begins_on(1);
    CHECK(ring() == detail::routine::all_rings);
    by.complete({});
    // It is still in the queue, but its wait has been claimed: its next wait must not find a ring.
    routine.cancel();
    begins_on(0);
    CHECK(ring() == 0);
    by.complete({});
    auto end = co_await outcome(routine.join());
    CHECK_THROWS_AS(std::move(end).value(), cancelled);

    // One that begins to wait while nothing is in flight learns the ring when something is.
    auto early = go(waits);
    co_await until_parked("wait for a pause");
    CHECK(ring() == 0);
    begins_on(0);
    CHECK(ring() == 1);
    by.complete({});
    early.cancel();
    auto early_end = co_await outcome(early.join());
    CHECK_THROWS_AS(std::move(early_end).value(), cancelled);
  };
  for (std::uint64_t seed = 0; seed < 10; ++seed) scheduler_under_test::simulated(2, seed).run(main);
}
