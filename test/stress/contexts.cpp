// Many routines parked on everything that there is to wait for, under a tree of contexts, cancelled from several
// workers and threads, by contexts, deadlines and handles, while events arrive: all end, and no value, permit or lock
// is lost.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

using value = std::unique_ptr<int>;

struct sources {
  channel<value> a, b{4};
  mutex lock;
  shared_mutex shared_lock;
  semaphore permits{5};
  event occasion;
  wait_group forever;
  handle<> silent;
  std::atomic<std::size_t> sent = 0, received = 0, broken = 0, cancelled_ones = 0, inside = 0;

  void take(const std::optional<value>& v) {
    ++received;
    if (!v || !*v) ++broken;
  }
};

constexpr std::size_t kinds = 20;

task<> sends(sources& s) {
  value v = std::make_unique<int>(1);
  try {
    co_await s.a.send(std::move(v));
  } catch (const cancelled&) {
    if (!v) ++s.broken;
    throw;
  }
  ++s.sent;
}

task<> selects_to_send(sources& s) {
  value v = std::make_unique<int>(2);
  std::optional<std::variant<std::monostate, std::optional<value>>> r;
  try {
    r.emplace(co_await select(s.a.send(std::move(v)), s.b.recv()));
  } catch (const cancelled&) {
    if (!v) ++s.broken;
    throw;
  }
  if ((r->index() == 0) != (v == nullptr)) ++s.broken;
  r->index() == 0 ? static_cast<void>(++s.sent) : s.take(std::get<1>(*r));
}

task<value> receives(sources& s, channel<value> c) {
  auto v = co_await c.recv();
  s.take(v);
  co_return std::move(*v);
}

task<> wait_once(sources& s, std::size_t kind) {
  switch (kind % kinds) {
    case 0:
      s.take(co_await s.a.recv());
      break;
    case 1:
      co_await sends(s);
      break;
    case 2: {
      auto r = co_await select(s.a.recv(), s.b.recv());
      s.take(r.index() == 0 ? std::get<0>(r) : std::get<1>(r));
      break;
    }
    case 3:
      co_await selects_to_send(s);
      break;
    case 4: {
      auto r = co_await select(s.b.recv(), sleep(50us));
      if (r.index() == 0) s.take(std::get<0>(r));
      break;
    }
    case 5:
      co_await sleep(1h);
      break;
    case 6: {
      timer t(1h);
      co_await t.wait();
      break;
    }
    case 7: {
      const auto held = co_await s.lock.lock();
      if (++s.inside != 1) ++s.broken;
      --s.inside;
      co_await yield();
      break;
    }
    case 8: {
      const auto held = co_await s.permits.acquire(1 + kind % 5);
      co_await yield();
      break;
    }
    case 9: {
      const auto held = co_await s.shared_lock.lock_shared();
      co_await yield();
      break;
    }
    case 10:
      co_await s.occasion.wait();
      co_await sleep(20us);
      break;
    case 11:
      co_await s.forever.wait();
      break;
    case 12:
      co_await s.silent.wait();
      break;
    case 13:
      co_await context::with_cancel(context::background()).wait();
      break;
    case 14:
      s.take(co_await with_timeout(1h, s.a.recv()));
      break;
    case 15: {
      const auto o = co_await outcome(with_timeout(30us, never()));
      if (o) ++s.broken;
      co_await yield();
      break;
    }
    case 16:
      (void)co_await select(receives(s, s.a), receives(s, s.b));
      break;
    case 17:
      co_await shield(sleep(20us));
      co_await never();
      break;
    case 18:
      s.take(co_await with_context(context::with_timeout(1h), s.b.recv()));
      break;
    case 19:
      co_await never();
      break;
  }
}

task<> waits_until_cancelled(sources& s, std::size_t kind) {
  try {
    for (;;) co_await wait_once(s, kind);
  } catch (const cancelled&) {
    ++s.cancelled_ones;
  }
}

// What goes on until it is cancelled.
task<> feeds(sources& s, channel<value> c) {
  for (;;) {
    value v = std::make_unique<int>(3);
    try {
      co_await c.send(std::move(v));
    } catch (const cancelled&) {
      if (!v) ++s.broken;
      throw;
    }
    ++s.sent;
    co_await yield();
  }
}
task<> drains(sources& s) {
  for (;;) {
    s.take(co_await s.a.recv());
    co_await yield();
  }
}
task<> disturbs(sources& s) {
  for (;;) {
    s.occasion.set();
    {
      const auto held = co_await s.shared_lock.lock();
      co_await yield();
    }
    s.occasion.reset();
    const auto held = co_await s.permits.acquire(5);
    co_await yield();
  }
}

// One after the other, from another place each.
task<> cancels_each(const std::vector<context>& all, std::size_t first, std::size_t step) {
  for (std::size_t i = 0; i != all.size(); ++i) {
    all[(first + i * step) % all.size()].cancel();
    co_await yield();
  }
}
task<> cancels_handles(const std::vector<handle<>>& all, std::size_t first) {
  for (std::size_t i = first; i < all.size(); i += 3) {
    all[i].cancel();
    if (i % 16 == 0) co_await yield();
  }
}

task<> storm(std::size_t count) {
  auto s = std::make_unique<sources>();
  s->forever.add();
  const context apart = context::with_cancel();
  s->silent = go(apart, []() -> task<> { co_await never(); });
  const context root = context::with_cancel();
  std::vector<context> leaves;
  for (std::size_t i = 0; i != 8; ++i) {
    const context branch = context::with_cancel(root);
    for (std::size_t j = 0; j != 8; ++j) {
      leaves.push_back(j % 4 == 0 ? context::with_timeout(branch, std::chrono::microseconds(100 * (i + 1)))
                                  : context::with_cancel(branch));
    }
  }
  std::vector<handle<>> feeders;
  feeders.push_back(go(feeds, std::ref(*s), s->a));
  feeders.push_back(go(feeds, std::ref(*s), s->b));
  feeders.push_back(go(drains, std::ref(*s)));
  feeders.push_back(go(disturbs, std::ref(*s)));
  std::vector<handle<>> parked;
  parked.reserve(count);
  for (std::size_t i = 0; i != count; ++i) {
    parked.push_back(go(leaves[i % leaves.size()], waits_until_cancelled, std::ref(*s), i / 3));
    if (i % 256 == 0) co_await yield();
  }
  co_await sleep(200us);
  {
    wait_group cancelling;
    cancelling.go(cancels_each, std::cref(leaves), 0u, 5u);
    cancelling.go(cancels_each, std::cref(leaves), 32u, 7u);
    cancelling.go(cancels_handles, std::cref(parked), 0u);
    cancelling.go(cancels_handles, std::cref(parked), 1u);
    const std::jthread foreign([&leaves, root] {
      for (std::size_t i = 0; i < leaves.size(); i += 3) leaves[i].cancel();
      root.cancel();
    });
    co_await cancelling.wait();
  }
  for (handle<>& each : parked) co_await each;
  for (handle<>& each : feeders) {
    each.cancel();
    (void)co_await outcome(each);
  }
  for (channel<value>* c : {&s->a, &s->b}) {
    while (auto v = c->try_recv()) s->take(v);
  }
  CHECK_FALSE(s->a.try_send(value()));  // nobody is left in the queue
  CHECK(s->cancelled_ones == count);
  CHECK(s->sent == s->received);
  CHECK(s->broken == 0);
  CHECK(s->permits.available() == 5);
  CHECK(static_cast<bool>(s->lock.try_lock()));
  CHECK(static_cast<bool>(s->shared_lock.try_lock()));
  apart.cancel();
  (void)co_await outcome(s->silent);
}

// Contexts made, used, cancelled and dropped by routines on all workers, under one parent.
task<> churn(std::size_t rounds) {
  const context parent = context::with_timeout(1h);
  wait_group all;
  std::atomic<std::size_t> after = 0, stopped = 0;
  for (int i = 0; i != 4; ++i) {
    all.go([&]() -> task<> {
      std::size_t left = rounds;
      while (left-- > 0) {
        const context child = context::with_timeout(parent, std::chrono::microseconds(left % 40));
        const context grandchild = context::with_cancel(child).with_value(left);
        auto stop = grandchild.after_func([&after] { ++after; });
        auto h = go(grandchild, []() -> task<> { co_await never(); });
        const auto token = child.stop_token();
        if (left % 3 == 0) co_await yield();
        if (left % 2) child.cancel();
        if (left % 5 == 0 && stop()) ++stopped;
        (void)co_await outcome(h);
        if (!token.stop_requested()) co_await grandchild.wait();
      }
    });
  }
  co_await all.wait();
  while (after + stopped != 4 * rounds) co_await yield();
  CHECK_FALSE(parent.is_cancelled());
}

}  // namespace

TEST_CASE("a cancel storm over everything that there is to wait for") {
  for (unsigned workers : {1u, 2u, 4u, 8u}) {
    scheduler_under_test::real(workers).run([]() -> task<> { co_await storm(stressed(2000)); });
  }
}

TEST_CASE("contexts that come and go under one parent, on all workers") {
  for (unsigned workers : {1u, 2u, 4u, 8u}) {
    scheduler_under_test::real(workers).run([]() -> task<> { co_await churn(stressed(300)); });
  }
}
