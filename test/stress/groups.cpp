// Scopes inside scopes, whose members end, fail, are cancelled from elsewhere, cancel the group and start others, in
// the background too: nothing outlives a scope, no error is lost, and none is made up.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>

#include "dice.hpp"
#include "error_told.hpp"
#include "every_scheduler.hpp"

using namespace ringo;

namespace {

// What has happened in one scope.
struct history {
  std::atomic<int> alive = 0;
  std::atomic<int> errors = 0;            // thrown by a member, the body or a scope within
  std::atomic<bool> ended_early = false;  // by group::cancel
  std::atomic<bool> ctx_cancelled = false;
  std::atomic<bool> body_was_cancelled_elsewhere = false;
};

class counted_in {
 public:
  explicit counted_in(history& h) : in_(h) { ++in_.alive; }
  counted_in(const counted_in&) = delete;
  counted_in& operator=(const counted_in&) = delete;
  ~counted_in() { --in_.alive; }

 private:
  history& in_;
};

task<> waits_for_ever() { co_await never(); }

task<> is_cancelled_elsewhere() {
  const auto other = go(context::background(), waits_for_ever);
  other.cancel();
  co_await other;
}

task<> whole_scope(std::uint64_t seed, int depth);

[[noreturn]] void fail(history& h) {
  ++h.errors;
  throw std::runtime_error("error");
}

// Some steps of chance. `stays`: it runs until it is cancelled.
task<> act(group& g, history& h, std::uint64_t seed, int depth, bool stays) {
  const counted_in while_it_runs(h);
  dice chance(seed);
  for (auto steps = chance.below(6) + (stays ? 1000000 : 1); steps != 0; --steps) {
    switch (chance.below(24)) {
      case 0:
        fail(h);
      case 1:
        co_await is_cancelled_elsewhere();
        break;
      case 2:
        h.ended_early = true;
        g.cancel();
        break;
      case 3:
        if (chance.below(3) == 0) {
          h.ctx_cancelled = true;
          g.ctx().cancel();
        }
        break;
      case 4:
      case 5:
        if (depth > 0) g.go(act, std::ref(g), std::ref(h), chance.below(1 << 30), depth - 1, false);
        break;
      case 6:
        if (depth > 0) g.background(act, std::ref(g), std::ref(h), chance.below(1 << 30), depth - 1, true);
        break;
      case 7:
        if (depth > 0) (void)g.try_go(act, std::ref(g), std::ref(h), chance.below(1 << 30), depth - 1, false);
        break;
      case 8:
        if (depth > 0) {
          std::exception_ptr error;
          try {
            co_await whole_scope(chance.below(1 << 30), depth - 1);
          } catch (const std::runtime_error&) {
            error = std::current_exception();
          }
          if (error) {
            ++h.errors;
            std::rethrow_exception(error);
          }
        }
        break;
      case 9:
        co_await shield(yield());
        break;
      default:
        co_await yield();
        break;
    }
  }
}

task<> whole_scope(std::uint64_t seed, int depth) {
  history h;
  dice chance(seed);
  const bool limited = chance.below(3) == 0;
  const auto body = [&](group& g) -> task<> {
    if (limited) g.limit(2);
    for (int i = 0; i != 3; ++i) {
      g.go(act, std::ref(g), std::ref(h), chance.below(1 << 30), depth, false);
      if (i == 1) g.background(act, std::ref(g), std::ref(h), chance.below(1 << 30), depth, true);
    }
    if (chance.below(4) == 0) {
      h.body_was_cancelled_elsewhere = true;
      co_await is_cancelled_elsewhere();
    }
    if (chance.below(8) == 0) fail(h);
    co_await yield();
  };
  const std::string end = told((co_await outcome(scope(body))).error());
  CHECK(h.alive == 0);
  if (end == "error") {
    CHECK(h.errors > 0);
  } else if (end == "cancelled") {
    // By the parent, or by what the scope itself has met with.
    CHECK((h.ctx_cancelled || h.body_was_cancelled_elsewhere || current_context().is_cancelled()));
    CHECK((h.errors == 0 || current_context().is_cancelled()));
    throw cancelled();
  } else {
    CHECK(end == "nothing");
    CHECK(h.errors == 0);
  }
  if (end == "error") throw std::runtime_error(end);
}

}  // namespace

TEST_CASE("Scopes in scopes, with members that do what they like") {
  const std::size_t rounds = stressed(30);
  std::uint64_t next_seed = 1;
  on_every_scheduler(
      [&]() -> task<> {
        for (std::size_t i = 0; i != rounds; ++i) {
          const auto scoped = go(context::background(), whole_scope, next_seed++, 2);
          (void)co_await outcome(scoped);
        }
      },
      10);
}
