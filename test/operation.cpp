// What may happen between an operation's looks at its source, when other workers are about; and before it looks, when
// its routine has been cancelled while something else ran in its place.
#include <doctest/doctest.h>

#include <ringo/detail/operation.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>

#include "every_scheduler.hpp"
#include "simulated/owned_coroutine.hpp"

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
