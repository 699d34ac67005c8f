// Power series as routines that compute a coefficient when they are asked for it: networks of rendezvous channels,
// selects with cases that are switched off by nil, and feedback. All routines are torn down while they are blocked.
#include <doctest/doctest.h>

#include <deque>
#include <optional>
#include <ringo/ringo.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Its coefficients come one by one, each after it was asked for.
struct series {
  series() {}
  channel<void> ask;
  channel<long long> answer;
};

task<long long> get(series from) {
  co_await from.ask.send();
  const auto coefficient = co_await from.answer.recv();
  co_return coefficient.value();
}

task<std::pair<long long, long long>> get_both(series left, series right) {
  auto first = go(get, left);
  auto second = go(get, right);
  const auto a = co_await first;
  const auto b = co_await second;
  co_return std::pair(a, b);
}

task<> serve_constant(long long coefficient, series out) {
  while (true) {
    co_await out.ask.recv();
    co_await out.answer.send(coefficient);
  }
}

task<> serve_after(long long first, series rest, series out) {
  co_await out.ask.recv();
  co_await out.answer.send(first);
  while (true) {
    co_await out.ask.recv();
    const auto coefficient = co_await get(rest);
    co_await out.answer.send(coefficient);
  }
}

task<> serve_sum(series left, series right, series out) {
  while (true) {
    co_await out.ask.recv();
    const auto both = co_await get_both(left, right);
    co_await out.answer.send(both.first + both.second);
  }
}

task<> serve_multiple(long long factor, series of, series out) {
  while (true) {
    co_await out.ask.recv();
    const auto coefficient = co_await get(of);
    co_await out.answer.send(factor * coefficient);
  }
}

// Both outputs are the input. Each may be asked in its own time, also while the input is being waited for: that is what
// lets a series be made of itself.
task<> serve_twice(series in, std::vector<series> out) {
  std::vector<std::deque<long long>> ahead(2);
  std::vector<bool> asked(2);
  bool waiting_for_input = false;
  while (true) {
    const bool lacks_input = (asked[0] && ahead[0].empty()) || (asked[1] && ahead[1].empty());
    const auto when = [](bool condition, auto c) { return condition ? c : decltype(c)::nil(); };
    const auto next_of = [&](std::size_t i) { return ahead[i].empty() ? 0 : ahead[i].front(); };
    auto ask_left = when(!asked[0], out[0].ask);
    auto ask_right = when(!asked[1], out[1].ask);
    auto answer_left = when(asked[0] && !ahead[0].empty(), out[0].answer);
    auto answer_right = when(asked[1] && !ahead[1].empty(), out[1].answer);
    auto ask_input = when(lacks_input && !waiting_for_input, in.ask);
    auto answer_input = when(waiting_for_input, in.answer);
    auto r = co_await select(ask_left.recv(), ask_right.recv(), answer_left.send(next_of(0)),
                             answer_right.send(next_of(1)), ask_input.send(), answer_input.recv());
    switch (r.index()) {
      case 0:
      case 1:
        asked[r.index()] = true;
        break;
      case 2:
      case 3:
        asked[r.index() - 2] = false;
        ahead[r.index() - 2].pop_front();
        break;
      case 4:
        waiting_for_input = true;
        break;
      case 5:
        waiting_for_input = false;
        for (auto& each : ahead) each.push_back(std::get<5>(r).value());
        break;
    }
  }
}

std::pair<series, series> twice(const series& in) {
  const std::vector<series> out(2);
  go(serve_twice, in, out);
  return {out[0], out[1]};
}

series after(long long first, const series& rest) {
  series out;
  go(serve_after, first, rest, out);
  return out;
}

series sum(const series& left, const series& right) {
  series out;
  go(serve_sum, left, right, out);
  return out;
}

series multiple(long long factor, const series& of) {
  series out;
  go(serve_multiple, factor, of, out);
  return out;
}

series constant(long long coefficient) {
  series out;
  go(serve_constant, coefficient, out);
  return out;
}

// (f + x F)(g + x G) = f g + x (f G + g F + x F G)
task<> serve_product(series left, series right, series out) {
  co_await out.ask.recv();
  const auto first = co_await get_both(left, right);
  co_await out.answer.send(first.first * first.second);
  co_await out.ask.recv();
  const auto lefts = twice(left);
  const auto rights = twice(right);
  series inner;
  go(serve_product, lefts.second, rights.second, inner);
  const auto linear = sum(multiple(first.first, rights.first), multiple(first.second, lefts.first));
  const auto rest = sum(linear, after(0, inner));
  while (true) {
    const auto coefficient = co_await get(rest);
    co_await out.answer.send(coefficient);
    co_await out.ask.recv();
  }
}

series product(const series& left, const series& right) {
  series out;
  go(serve_product, left, right, out);
  return out;
}

task<std::vector<long long>> first_of(series from, int count) {
  std::vector<long long> coefficients;
  for (int i = 0; i != count; ++i) {
    const auto next = co_await get(from);
    coefficients.push_back(next);
  }
  co_return coefficients;
}

}  // namespace

TEST_CASE("1/(1-x) is all ones, and its sum with twice itself all threes") {
  on_every_scheduler(
      []() -> task<> {
        const auto ones = twice(constant(1));
        const auto threes = sum(ones.first, multiple(2, ones.second));
        const auto coefficients = co_await first_of(threes, 50);
        CHECK(coefficients == std::vector<long long>(50, 3));
      },
      3);
}

TEST_CASE("The square of 1/(1-x) counts, and the square of that has the tetrahedral numbers") {
  on_every_scheduler(
      []() -> task<> {
        const auto counting = twice(product(constant(1), constant(1)));
        const auto numbers = co_await first_of(counting.first, 8);
        CHECK(numbers == std::vector<long long>{1, 2, 3, 4, 5, 6, 7, 8});
        const auto other = product(constant(1), constant(1));
        const auto fourth_power = product(counting.second, other);
        const auto tetrahedral = co_await first_of(fourth_power, 8);
        CHECK(tetrahedral == std::vector<long long>{1, 4, 10, 20, 35, 56, 84, 120});
      },
      3);
}

TEST_CASE("A series that is made of its own square, C = 1 + x C C, has the Catalan numbers") {
  on_every_scheduler(
      []() -> task<> {
        series square;
        const auto outer = twice(after(1, square));
        const auto inner = twice(outer.second);
        go(serve_product, inner.first, inner.second, square);
        const auto catalan = co_await first_of(outer.first, 10);
        CHECK(catalan == std::vector<long long>{1, 1, 2, 5, 14, 42, 132, 429, 1430, 4862});
      },
      3);
}
