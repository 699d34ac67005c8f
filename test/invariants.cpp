#include <doctest/doctest.h>
#include <csignal>
#include <mutex>
#include <ringo/detail/section.hpp>
#include <ringo/ringo.hpp>

#include "running_child.hpp"

using namespace ringo;
using detail::lock_rank;

namespace {

template <class F>
void check_that_it_aborts(F program, const char* words) {
  const child_end end = run_in_a_child([&] {
    program();
    return 0;
  });
  CHECK_FALSE(end.exited);
  CHECK(end.status == SIGABRT);
  CHECK(end.errors.find(words) != std::string::npos);
}

// A source whose invariant is that `count` is even.
struct even_source {
  detail::spin_lock lock;
  int count = 0;

  void check() const { detail::invariant(count % 2 == 0, "the count is even"); }
};

struct counted_source {
  static inline int live = 0;
  counted_source() { ++live; }
  ~counted_source() { --live; }
  bool unused() const noexcept { return uses == 0; }

  detail::spin_lock lock;
  int uses = 2;
};

}  // namespace

TEST_CASE("a lock of lower rank is refused while one of higher rank is held, and both are named") {
  check_that_it_aborts(
      [] {
        const int posts = 0, roster = 0;
        detail::note_lock(lock_rank::roster, &roster);
        detail::note_lock(lock_rank::posts, &posts);
      },
      "of rank posts");
  check_that_it_aborts(
      [] {
        const int posts = 0, roster = 0;
        detail::note_lock(lock_rank::roster, &roster);
        detail::note_lock(lock_rank::posts, &posts);
      },
      "holds one of rank roster");
}

TEST_CASE("two locks of one rank are refused, and the same lock again is not") {
  check_that_it_aborts(
      [] {
        const int one = 0, other = 0;
        detail::note_lock(lock_rank::source, &one);
        detail::note_lock(lock_rank::source, &one);
        detail::note_lock(lock_rank::source, &other);
      },
      "wrong order");
}

TEST_CASE("a system call, or a call of OpenSSL, is refused while its thread holds a lock, and both are named") {
  check_that_it_aborts(
      [] {
        const int source = 0;
        detail::note_lock(lock_rank::source, &source);
        detail::note_long_call("sendmsg");
      },
      "calls sendmsg while it holds a lock of rank source");
  const child_end end = run_in_a_child([] {
    const int source = 0;
    detail::note_lock(lock_rank::source, &source);
    detail::note_unlock(&source);
    detail::note_long_call("sendmsg");
    return 0;
  });
  CHECK(end.exited);
  CHECK(end.errors.empty());
  if constexpr (detail::checked_build) {
    check_that_it_aborts(
        [] {
          even_source even;
          const detail::section_of here(even);
          detail::without_locks("close");
        },
        "calls close while it holds a lock of rank source");
  }
}

TEST_CASE("locks in their order, and a lock after all others have gone, are taken") {
  const child_end end = run_in_a_child([] {
    const int source = 0, unused = 0, leaf = 0;
    detail::note_lock(lock_rank::unused_objects, &unused);
    detail::note_lock(lock_rank::source, &source);
    detail::note_lock(lock_rank::leaf, &leaf);
    detail::note_unlock(&source);
    detail::note_unlock(&leaf);
    detail::note_unlock(&unused);
    detail::note_lock(lock_rank::source, &source);
    detail::note_unlock(&source);
    return 0;
  });
  CHECK(end.exited);
  CHECK(end.errors.empty());
}

TEST_CASE("a section that breaks its source's invariant ends a simulation, and a checked build") {
  run([&]() -> task<> {
    even_source even;
    {
      const detail::section_of here(even);
      even.count += 2;
    }
    CHECK(even.count == 2);
    co_return;
  });
  check_that_it_aborts(
      [] {
        testing::simulate({}, [&]() -> task<> {
          even_source even;
          const detail::section_of here(even);
          ++even.count;
          co_return;
        });
      },
      "the count is even");
  if constexpr (detail::checked_build) {
    check_that_it_aborts(
        [] {
          even_source even;
          const detail::section_of here(even);
          ++even.count;
        },
        "the count is even");
    check_that_it_aborts(
        [] {
          even_source one, other;
          const detail::section_of outer(one);
          const detail::section_of inner(other);
        },
        "wrong order");
  }
}

TEST_CASE("broken copies of a channel, a lock and a queue of waiters are caught by their checks") {
  check_that_it_aborts(
      [] {
        detail::channel_state<int> broken(1);
        broken.limit = 0;  // as if it were closed
        broken.check();
      },
      "a channel's limit is its capacity");
  check_that_it_aborts(
      [] {
        testing::simulate({}, []() -> task<> {
          auto& broken = *new detail::channel_state<int>(1);
          broken.count.add(2);
          broken.close(nullptr);
          co_return;
        });
      },
      "a channel holds at most as many values as its capacity");
  check_that_it_aborts(
      [] {
        testing::simulate({}, []() -> task<> {
          auto& broken = *new detail::permit_core(detail::permit_core::kind::semaphore, 2);
          (void)broken.try_take(1, "a test");
          broken.give_back(2);  // more than was taken
          co_return;
        });
      },
      "no more permits are available than there are");
  check_that_it_aborts(
      [] {
        detail::wait_queue queue;
        detail::waiter first, second;
        for (detail::waiter* each : {&first, &second}) {
          each->state = detail::progress::waiting;
          queue.push_back(*each);
        }
        second.previous = nullptr;
        queue.check();
      },
      "a queue's links agree in both directions");
}

TEST_CASE("a section deletes its source when it finds it unused") {
  auto& source = *new counted_source;
  {
    const detail::section_of here(source);
    --source.uses;
  }
  CHECK(counted_source::live == 1);
  {
    const detail::section_of here(source);
    --source.uses;
  }
  CHECK(counted_source::live == 0);
}
