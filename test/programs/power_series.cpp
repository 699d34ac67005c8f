// Power series as processes (after M. D. McIlroy, "Squinting at Power Series"): a series computes its next term only
// when it is asked, over a channel of demands; arithmetic is done by routines that ask their operands. Series that are
// needed twice are split, products grow a tree of splits, and recursive definitions feed a series back into itself.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <numeric>
#include <optional>
#include <ringo/ringo.hpp>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

class rational {
 public:
  rational(std::int64_t whole = 0) : over_(whole), under_(1) {}
  rational(std::int64_t over, std::int64_t under) : over_(over), under_(under) {
    const auto common = std::gcd(over_, under_) * (under_ < 0 ? -1 : 1);
    over_ /= common;
    under_ /= common;
  }
  friend rational operator+(rational a, rational b) {
    const auto common = std::gcd(a.under_, b.under_);
    return rational(a.over_ * (b.under_ / common) + b.over_ * (a.under_ / common), a.under_ / common * b.under_);
  }
  friend rational operator*(rational a, rational b) {
    const rational crossed(a.over_, b.under_), other(b.over_, a.under_);
    return rational(crossed.over_ * other.over_, crossed.under_ * other.under_);
  }
  friend rational operator-(rational a) { return rational(-a.over_, a.under_); }
  friend rational inverse(rational a) { return rational(a.under_, a.over_); }
  friend bool operator==(const rational&, const rational&) = default;

 private:
  std::int64_t over_, under_;
};

class series {
 public:
  series() {}
  channel<void> demand;
  channel<rational> terms;
};

task<rational> next_of(series from) {
  co_await from.demand.send();
  auto term = co_await from.terms.recv();
  co_return term.value();
}

// Asks both, and takes the answers in whichever order they come. What is not to happen yet, or has happened, is nil.
task<std::pair<rational, rational>> next_of_both(series f, series g) {
  sender<void> ask_f = f.demand, ask_g = g.demand;
  receiver<rational> from_f, from_g;
  std::pair<rational, rational> terms;
  for (int missing = 2; missing != 0;) {
    auto got = co_await select(ask_f.send(), ask_g.send(), from_f.recv(), from_g.recv());
    switch (got.index()) {
      case 0:
        ask_f = {};
        from_f = f.terms;
        break;
      case 1:
        ask_g = {};
        from_g = g.terms;
        break;
      case 2:
        from_f = {};
        terms.first = std::get<2>(got).value();
        --missing;
        break;
      default:
        from_g = {};
        terms.second = std::get<3>(got).value();
        --missing;
        break;
    }
  }
  co_return terms;
}

// A new series whose terms `process` computes.
template <class... A>
series made_by(task<> (*process)(series, A...), std::type_identity_t<A>... args) {
  series out;
  go(process, out, std::move(args)...);
  return out;
}

task<> answer_from(series out, series from) {
  for (;;) {
    co_await out.demand.recv();
    const rational term = co_await next_of(from);
    co_await out.terms.send(term);
  }
}

series repeated(rational term) {
  constexpr auto process = [](series out, rational always) -> task<> {
    for (;;) {
      co_await out.demand.recv();
      co_await out.terms.send(always);
    }
  };
  return made_by(+process, term);
}

series polynomial(std::vector<rational> coefficients) {
  constexpr auto process = [](series out, std::vector<rational> first) -> task<> {
    for (std::size_t i = 0;; ++i) {
      co_await out.demand.recv();
      const rational term = i < first.size() ? first[i] : rational();
      co_await out.terms.send(term);
    }
  };
  return made_by(+process, std::move(coefficients));
}

series sum(series f, series g) {
  constexpr auto process = [](series out, series left, series right) -> task<> {
    for (;;) {
      co_await out.demand.recv();
      const auto terms = co_await next_of_both(left, right);
      co_await out.terms.send(terms.first + terms.second);
    }
  };
  return made_by(+process, f, g);
}

series scaled(rational factor, series f) {
  constexpr auto process = [](series out, rational by, series from) -> task<> {
    for (;;) {
      co_await out.demand.recv();
      const rational term = co_await next_of(from);
      co_await out.terms.send(by * term);
    }
  };
  return made_by(+process, factor, f);
}

// constant + x f
series shifted(rational constant, series f) {
  constexpr auto process = [](series out, rational first, series rest) -> task<> {
    co_await out.demand.recv();
    co_await out.terms.send(first);
    co_await answer_from(out, rest);
  };
  return made_by(+process, constant, f);
}

series derivative(series f) {
  constexpr auto process = [](series out, series from) -> task<> {
    for (std::int64_t n = 1;; ++n) {
      co_await out.demand.recv();
      if (n == 1) co_await next_of(from);
      const rational term = co_await next_of(from);
      co_await out.terms.send(rational(n) * term);
    }
  };
  return made_by(+process, f);
}

series integral(rational constant, series f) {
  constexpr auto process = [](series out, rational first, series from) -> task<> {
    co_await out.demand.recv();
    co_await out.terms.send(first);
    for (std::int64_t n = 1;; ++n) {
      co_await out.demand.recv();
      const rational term = co_await next_of(from);
      co_await out.terms.send(rational(1, n) * term);
    }
  };
  return made_by(+process, constant, f);
}

// Both get every term of `from`, each at its own pace. It serves the one while it waits for an answer on behalf of the
// other: in a recursive definition that answer depends on it.
task<> split_between(series from, series a, series b) {
  struct side {
    explicit side(series s) : to(std::move(s)) {}
    receiver<void> demands() const { return waits ? receiver<void>() : receiver<void>(to.demand); }
    sender<rational> gift() const { return waits && !owed.empty() ? sender<rational>(to.terms) : sender<rational>(); }
    rational first_owed() const { return owed.empty() ? rational() : owed.front(); }
    bool lacks() const { return waits && owed.empty(); }
    void given() {
      owed.pop_front();
      waits = false;
    }
    series to;
    bool waits = false;
    std::deque<rational> owed;
  };
  side left(a), right(b);
  for (bool asked = false;;) {
    const bool must_ask = !asked && (left.lacks() || right.lacks());
    const auto left_demands = left.demands(), right_demands = right.demands();
    const auto ask = must_ask ? sender<void>(from.demand) : sender<void>();
    const auto answer = asked ? receiver<rational>(from.terms) : receiver<rational>();
    const auto to_left = left.gift(), to_right = right.gift();
    const rational for_left = left.first_owed(), for_right = right.first_owed();
    auto got = co_await select(left_demands.recv(), right_demands.recv(), ask.send(), answer.recv(),
                               to_left.send(for_left), to_right.send(for_right));
    switch (got.index()) {
      case 0:
        left.waits = true;
        break;
      case 1:
        right.waits = true;
        break;
      case 2:
        asked = true;
        break;
      case 3:
        asked = false;
        left.owed.push_back(std::get<3>(got).value());
        right.owed.push_back(std::get<3>(got).value());
        break;
      case 4:
        left.given();
        break;
      default:
        right.given();
        break;
    }
  }
}

std::pair<series, series> split(series from) {
  std::pair<series, series> both;
  go(split_between, from, both.first, both.second);
  return both;
}

// (a + x F)(b + x G) = ab + x (aG + bF) + x² FG
series product(series f, series g) {
  constexpr auto process = [](series out, series left, series right) -> task<> {
    co_await out.demand.recv();
    const auto heads = co_await next_of_both(left, right);
    co_await out.terms.send(heads.first * heads.second);
    const auto lefts = split(left), rights = split(right);
    const series crossed = sum(scaled(heads.first, rights.first), scaled(heads.second, lefts.first));
    co_await out.demand.recv();
    const rational second = co_await next_of(crossed);
    co_await out.terms.send(second);
    co_await answer_from(out, sum(crossed, product(lefts.second, rights.second)));
  };
  return made_by(+process, f, g);
}

series square(series f) {
  const auto both = split(f);
  return product(both.first, both.second);
}

// 1/(a + x F) = R = 1/a - x/a F R
series reciprocal(series f) {
  constexpr auto process = [](series out, series of) -> task<> {
    co_await out.demand.recv();
    const rational head = co_await next_of(of);
    const rational first = inverse(head);
    co_await out.terms.send(first);
    const series fed_back, rest;
    const series whole = shifted(first, fed_back);
    go(split_between, scaled(-first, product(of, whole)), fed_back, rest);
    co_await answer_from(out, rest);
  };
  return made_by(+process, f);
}

// f(g), where g begins with 0: a + x F becomes a + g F(g).
series composition(series f, series g) {
  constexpr auto process = [](series out, series outer, series inner) -> task<> {
    co_await out.demand.recv();
    const rational head = co_await next_of(outer);
    co_await out.terms.send(head);
    const auto inners = split(inner);
    const rational zero = co_await next_of(inners.first);
    CHECK(zero == rational(0));
    co_await answer_from(out, product(inners.first, composition(outer, inners.second)));
  };
  return made_by(+process, f, g);
}

// Z = exp(f), where f begins with 0: Z' = f' Z.
series exponential(series f) {
  const series fed_back, result;
  go(split_between, integral(1, product(fed_back, derivative(f))), fed_back, result);
  return result;
}

// T' = 1 + T²
series tangent() {
  const series fed_back, result;
  go(split_between, integral(0, sum(polynomial({1}), square(fed_back))), fed_back, result);
  return result;
}

task<std::vector<rational>> first_terms(std::size_t count, series of) {
  std::vector<rational> terms;
  while (terms.size() != count) {
    const rational term = co_await next_of(of);
    terms.push_back(term);
  }
  co_return terms;
}

using terms = std::vector<rational>;

void yields(series (*make)(), const terms& expected) {
  on_every_scheduler(
      [&]() -> task<> {
        const series made = make();
        const auto found = co_await first_terms(expected.size(), made);
        CHECK(found == expected);
        // main ends in the middle of an infinite computation, of which every part waits for another
      },
      4);
}

series identity() { return polynomial({0, 1}); }

}  // namespace

TEST_CASE("rational numbers are reduced") {
  CHECK(rational(2, 4) == rational(1, 2));
  CHECK(rational(1, -2) == rational(-1, 2));
  CHECK(rational(1, 3) + rational(1, 6) == rational(1, 2));
  CHECK(rational(2, 3) * rational(3, 4) == rational(1, 2));
  CHECK(inverse(rational(-2, 3)) == rational(-3, 2));
}

TEST_CASE("a power series computes a term only when it is asked (semantics 2, 50)") {
  on_simulated_schedulers([]() -> task<> {
    int computed = 0;
    const series counted;
    go([&computed, counted]() -> task<> {
      for (;;) {
        co_await counted.demand.recv();
        ++computed;
        co_await counted.terms.send(rational(computed));
      }
    });
    const series doubled = scaled(2, counted);
    co_await testing::settle();
    CHECK(computed == 0);
    const auto two = co_await first_terms(2, doubled);
    CHECK(two == terms{2, 4});
    co_await testing::settle();
    CHECK(computed == 2);
  });
}

TEST_CASE("sums, products and derivatives of power series (semantics 34, 67)") {
  yields([] { return sum(repeated(1), repeated(rational(1, 2))); }, terms(8, rational(3, 2)));
  yields([] { return product(repeated(1), repeated(1)); }, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  yields([] { return product(polynomial({1, 1}), polynomial({1, -1})); }, {1, 0, -1, 0, 0, 0});
  yields([] { return derivative(repeated(1)); }, {1, 2, 3, 4, 5, 6, 7});
  yields([] { return integral(3, repeated(1)); }, {3, 1, {1, 2}, {1, 3}, {1, 4}});
}

TEST_CASE("a tree of splits gives every leaf all the terms, at the leaf's own pace (semantics 34, 50)") {
  on_every_scheduler([]() -> task<> {
    std::vector<series> leaves{derivative(repeated(1))};
    while (leaves.size() < 16) {
      std::vector<series> twice;
      for (const auto& leaf : leaves) {
        const auto both = split(leaf);
        twice.push_back(both.first);
        twice.push_back(both.second);
      }
      leaves = std::move(twice);
    }
    // Half of the leaves are read out before the others have begun, and the others at the same time as each other.
    for (std::size_t i = 0; i != 8; ++i) {
      const auto found = co_await first_terms(5, leaves[i]);
      CHECK(found == terms{1, 2, 3, 4, 5});
    }
    std::vector<handle<terms>> readers;
    for (std::size_t i = 8; i != 16; ++i) readers.push_back(go(first_terms, std::size_t{6}, leaves[i]));
    for (auto& reader : readers) {
      const auto found = co_await reader;
      CHECK(found == terms{1, 2, 3, 4, 5, 6});
    }
  });
}

TEST_CASE("power series that are defined by themselves: reciprocal, composition, exponential (semantics 50)") {
  yields([] { return reciprocal(polynomial({1, -1})); }, terms(10, rational(1)));
  yields([] { return reciprocal(polynomial({2, 1})); }, {{1, 2}, {-1, 4}, {1, 8}, {-1, 16}, {1, 32}});
  yields([] { return composition(repeated(1), identity()); }, terms(6, rational(1)));
  // 1/(1 - (x + x²)) generates the Fibonacci numbers.
  yields([] { return composition(repeated(1), polynomial({0, 1, 1})); }, {1, 1, 2, 3, 5, 8, 13, 21});
  yields([] { return exponential(identity()); },
         {1, 1, {1, 2}, {1, 6}, {1, 24}, {1, 120}, {1, 720}, {1, 5040}, {1, 40320}});
  yields([] { return exponential(polynomial({0, 0, -1})); }, {1, 0, -1, 0, {1, 2}, 0, {-1, 6}});
}

TEST_CASE("the tangent, whose series is fed back into its own square (semantics 50)") {
  yields(tangent, {0, 1, 0, {1, 3}, 0, {2, 15}, 0, {17, 315}, 0, {62, 2835}});
}

TEST_CASE("sine and cosine, each defined by the other, have squares that add up to 1 (semantics 50)") {
  yields(
      [] {
        const series sine, cosine, sine_fed_back, cosine_fed_back;
        go(split_between, integral(0, cosine_fed_back), sine_fed_back, sine);
        go(split_between, integral(1, scaled(-1, sine_fed_back)), cosine_fed_back, cosine);
        return sum(square(sine), square(cosine));
      },
      {1, 0, 0, 0, 0, 0, 0, 0});
}
