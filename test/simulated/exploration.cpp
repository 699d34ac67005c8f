// Tiny programs over channels, run under every sequence of choices that the scheduler and select have, and compared
// with the model: the histories that come up are exactly those that Go's semantics admit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "channel_model.hpp"
#include "owned_coroutine.hpp"
#include "values.hpp"

using namespace ringo;
using model::instruction;
using model::program;
using model::verb;

namespace {

// Where one run of a program takes place.
struct stage {
  explicit stage(const program& of) : script(of), owned(of.routines.size()), handles(of.routines.size()) {
    for (std::size_t capacity : of.capacities) channels.emplace_back(capacity);
  }

  void invoked(std::size_t i, std::size_t k) {
    if (!over) history += std::to_string(i) + "." + std::to_string(k) + "(";
  }
  void returned(std::size_t i, std::size_t k, const std::string& result) {
    if (!over) history += std::to_string(i) + "." + std::to_string(k) + "=" + result + " ";
  }

  const program& script;
  std::vector<channel<payload>> channels;
  std::vector<owned_coroutine> owned;
  std::vector<handle<>> handles;
  std::string history;
  bool over = false;
};

std::string told(const std::optional<payload>& received) { return received ? std::to_string(received->number()) : "-"; }
std::string told(std::monostate) { return "s"; }

// A value was moved from if and only if it was sent.
std::string whole_unless(bool sent, const payload& value, int number) {
  return value.number() == (sent ? 0 : number) ? "" : sent ? "!not moved from" : "!lost";
}

struct sending {
  channel<payload>& on;
  payload& value;
  auto operation() { return on.send(std::move(value)); }
};
struct receiving {
  channel<payload>& on;
  auto operation() { return on.recv(); }
};
struct joining {
  handle<>& of;
  auto operation() { return of.wait(); }
};

template <class First, class Second>
task<std::string> select_now(stage& s, std::size_t i, std::size_t k, First a, Second b) {
  const instruction& todo = s.script.routines[i][k];
  s.invoked(i, k);
  const auto tell_result = [](const auto& result, bool has_otherwise) -> std::string {
    if (has_otherwise && result.index() == 2) return "o";
    const std::string which = "c" + std::to_string(result.index());
    if (result.index() == 0) {
      return which + (std::is_same_v<First, joining> ? std::string("j") : told(std::get<0>(result)));
    }
    return which + (std::is_same_v<Second, joining> ? std::string("j") : told(std::get<1>(result)));
  };
  if (todo.prefer_first && todo.otherwise) {
    auto result = co_await select(prefer_first, a.operation(), b.operation(), otherwise);
    co_return tell_result(result, true);
  }
  if (todo.prefer_first) {
    auto result = co_await select(prefer_first, a.operation(), b.operation());
    co_return tell_result(result, false);
  }
  if (todo.otherwise) {
    auto result = co_await select(a.operation(), b.operation(), otherwise);
    co_return tell_result(result, true);
  }
  auto result = co_await select(a.operation(), b.operation());
  co_return tell_result(result, false);
}

template <class First>
task<std::string> select_with(stage& s, std::size_t i, std::size_t k, First a, payload& value) {
  const model::arm& second = s.script.routines[i][k].arms[1];
  if (second.what == verb::send) return select_now(s, i, k, a, sending{s.channels[second.of], value});
  if (second.what == verb::recv) return select_now(s, i, k, a, receiving{s.channels[second.of]});
  return select_now(s, i, k, a, joining{s.handles[second.of]});
}

task<std::string> select_by(stage& s, std::size_t i, std::size_t k, payload& value0, payload& value1) {
  const model::arm& first = s.script.routines[i][k].arms[0];
  if (first.what == verb::send) return select_with(s, i, k, sending{s.channels[first.of], value0}, value1);
  if (first.what == verb::recv) return select_with(s, i, k, receiving{s.channels[first.of]}, value1);
  return select_with(s, i, k, joining{s.handles[first.of]}, value1);
}

// Routine i of the program, as a ringo task or as a coroutine that its owner destroys.
template <class Coroutine>
Coroutine play(stage& s, std::size_t i) {
  constexpr bool is_owned = std::is_same_v<Coroutine, owned_coroutine>;
  const auto& script = s.script.routines[i];
  if constexpr (is_owned) co_await yield();
  for (std::size_t k = 0; k != script.size(); ++k) {
    bool stopped = false;
    if (k != 0) {
      try {
        co_await yield();
      } catch (const cancelled&) {
        stopped = true;
      }
      if (stopped) {
        s.returned(i, k, "C");
        co_return;
      }
    }
    const instruction& todo = script[k];
    const int number = model::value_of(i, k);
    payload value(number), value1(model::value_of(i, k, 1));
    std::string result;
    if (todo.what != verb::select || is_owned) s.invoked(i, k);
    try {
      switch (todo.what) {
        case verb::send:
          co_await s.channels[todo.of].send(std::move(value));
          result = "s";
          break;
        case verb::emplace:
          co_await s.channels[todo.of].emplace(number);
          result = "s";
          break;
        case verb::recv:
          result = told(co_await s.channels[todo.of].recv());
          break;
        case verb::try_send:
          result = s.channels[todo.of].try_send(std::move(value)) ? "s" : "f";
          break;
        case verb::try_recv: {
          auto received = s.channels[todo.of].try_recv();
          result = received ? told(received) : "n";
          break;
        }
        case verb::close:
          s.channels[todo.of].close();
          result = "k";
          break;
        case verb::join:
          co_await s.handles[todo.of].wait();
          result = "j";
          break;
        case verb::cancel:
          s.handles[todo.of].cancel();
          result = "k";
          break;
        case verb::destroy:
          s.owned[todo.of].destroy();
          result = "k";
          break;
        case verb::select:
          if constexpr (is_owned) {
            // Awaited by the coroutine itself, so that it is the select that is destroyed.
            const auto& arms = todo.arms;
            if (arms[0].what == verb::send) {
              auto r = co_await select(s.channels[arms[0].of].send(std::move(value)), s.channels[arms[1].of].recv());
              result = "c" + std::to_string(r.index()) + (r.index() == 0 ? "s" : told(std::get<1>(r)));
            } else {
              auto r = co_await select(s.channels[arms[0].of].recv(), s.channels[arms[1].of].recv());
              result = "c" + std::to_string(r.index()) + told(r.index() == 0 ? std::get<0>(r) : std::get<1>(r));
            }
          } else {
            result = co_await select_by(s, i, k, value, value1);
          }
          break;
      }
    } catch (const channel_closed&) {
      result = "X";
    } catch (const cancelled&) {
      result = "C";
    }
    if (todo.what == verb::send || todo.what == verb::try_send) {
      result += whole_unless(result == "s", value, number);
    } else if (todo.what == verb::select) {
      result += whole_unless(result == "c0s", value, number);
      result += whole_unless(result == "c1s", value1, model::value_of(i, k, 1));
    }
    s.returned(i, k, result);
    if (result == "C") co_return;
  }
}

// What main does when nobody can go on: as the model's probe.
void probe(stage& s) {
  s.history += "|";
  s.over = true;
  for (auto& each : s.owned) each.destroy();
  for (const auto& c : s.channels) {
    s.history += " " + std::to_string(c.size()) + (c.is_closed() ? "closed:" : "open:");
    while (auto received = c.try_recv()) s.history += told(received) + ",";
    if (!c.is_closed()) s.history += c.try_send(payload(model::value_of_probe)) ? "s" : "f";
  }
}

task<> perform(std::unique_ptr<stage>& current, const program& p) {
  current = std::make_unique<stage>(p);
  stage& s = *current;
  for (std::size_t i = 0; i != p.routines.size(); ++i) {
    if (p.owned.count(i)) {
      s.owned[i] = play<owned_coroutine>(s, i);
    } else {
      s.handles[i] = go(play<task<>>, std::ref(s), i);
    }
  }
  co_await testing::settle();
  probe(s);
}

// The first differences, or nothing.
std::string differences(const std::set<std::string>& seen, const std::set<std::string>& expected) {
  std::string text;
  const auto first_of = [&text](const char* what, const auto& some, const auto& others) {
    std::vector<std::string> only;
    std::set_difference(some.begin(), some.end(), others.begin(), others.end(), std::back_inserter(only));
    if (!only.empty()) text += std::to_string(only.size()) + what + only.front() + "\n";
  };
  first_of(" histories that the model does not have, as ", seen, expected);
  first_of(" histories of the model that never come up, as ", expected, seen);
  return text;
}

void explore_all(const program& p, unsigned workers = 1) {
  const auto before = testing::live();
  std::set<std::string> seen;
  std::unique_ptr<stage> current;
  const auto main = [&]() -> task<> {
    if (current) seen.insert(current->history);
    return perform(current, p);
  };
  const testing::exploration e = testing::explore(main, 10'000'000, workers);
  seen.insert(current->history);
  current.reset();
  if (!e.complete) FAIL_CHECK(model::tell(p) << ": not all of it was explored");
  const std::string difference = differences(seen, model::histories(p));
  if (!difference.empty()) FAIL_CHECK(model::tell(p) << ":\n" << difference);
  const bool nothing_left = payload::alive == 0 && testing::live() == before;
  if (!nothing_left) FAIL_CHECK(model::tell(p) << ": something is left");
  CHECK(e.runs >= 1);
}

using script = std::vector<instruction>;

// Every script of so many of these instructions.
std::vector<script> scripts(const std::vector<instruction>& alphabet, std::size_t length) {
  std::vector<script> all = {{}};
  for (std::size_t n = 0; n != length; ++n) {
    std::vector<script> longer;
    for (const script& each : all) {
      for (const instruction& next : alphabet) {
        longer.push_back(each);
        longer.back().push_back(next);
      }
    }
    all = std::move(longer);
  }
  return all;
}

constexpr model::arm send_to(std::size_t channel) { return {verb::send, channel}; }
constexpr model::arm recv_from(std::size_t channel) { return {verb::recv, channel}; }
constexpr model::arm end_of(std::size_t routine) { return {verb::join, routine}; }

std::vector<instruction> on_one_channel() {
  return {model::send(0),
          model::recv(0),
          model::try_send(0),
          model::try_recv(0),
          model::close(0),
          model::select({send_to(0), recv_from(0)}),
          model::select_otherwise({recv_from(0), send_to(0)})};
}

std::vector<instruction> on_two_channels() {
  return {model::send(0),
          model::recv(1),
          model::close(1),
          model::select({recv_from(0), recv_from(1)}),
          model::select({send_to(0), send_to(1)}),
          model::select({send_to(0), recv_from(1)}),
          model::select({recv_from(0), send_to(1)}),
          model::select_first({recv_from(1), recv_from(0)})};
}

// Each pair of two scripts, in one order only: routines are alike.
void explore_pairs(const std::vector<std::size_t>& capacities, const std::vector<script>& some) {
  for (std::size_t i = 0; i != some.size(); ++i) {
    for (std::size_t j = i; j != some.size(); ++j) explore_all({capacities, {some[i], some[j]}});
  }
}

}  // namespace

TEST_CASE("two routines of two operations each on one channel") {
  for (std::size_t capacity : {0u, 1u, 2u}) explore_pairs({capacity}, scripts(on_one_channel(), 2));
}

TEST_CASE("two routines of three operations each on one channel") {
  const std::vector<instruction> some = {model::send(0), model::recv(0), model::select({send_to(0), recv_from(0)})};
  for (std::size_t capacity : {0u, 1u, 2u}) explore_pairs({capacity}, scripts(some, 3));
}

TEST_CASE("three routines of one operation each on one channel, after another has sent, received or closed") {
  const auto each = scripts(on_one_channel(), 1);
  const std::vector<script> firsts = scripts({model::send(0), model::recv(0), model::close(0)}, 2);
  for (std::size_t capacity : {0u, 1u, 2u}) {
    for (const script& first : firsts) {
      for (std::size_t i = 0; i != each.size(); ++i) {
        for (std::size_t j = i; j != each.size(); ++j) explore_all({{capacity}, {first, each[i], each[j]}});
      }
    }
  }
}

TEST_CASE("three routines of three operations each: the queues of those that wait are first come, first served") {
  const script senders = {model::send(0), model::emplace(0), model::send(0)};
  const script receivers = {model::recv(0), model::recv(0), model::recv(0)};
  const script trying = {model::try_send(0), model::try_recv(0), model::close(0)};
  for (std::size_t capacity : {0u, 1u, 2u}) {
    explore_all({{capacity}, {senders, receivers, trying}});
    explore_all({{capacity}, {senders, senders, {model::recv(0), model::recv(0)}}});
    explore_all({{capacity}, {receivers, receivers, {model::send(0), model::close(0)}}});
  }
}

TEST_CASE("two routines of two operations each on two channels, with selects over both") {
  explore_pairs({0, 0}, scripts(on_two_channels(), 2));
  explore_pairs({1, 0}, scripts(on_two_channels(), 2));
}

TEST_CASE("three routines with selects over two channels") {
  const auto each = scripts(on_two_channels(), 1);
  for (std::size_t first : {0u, 1u, 2u}) {
    for (std::size_t i = 0; i != each.size(); ++i) {
      for (std::size_t j = i; j != each.size(); ++j) {
        for (std::size_t k = j; k != each.size(); ++k) explore_all({{first, 0}, {each[i], each[j], each[k]}});
      }
    }
  }
}

TEST_CASE("crossed and self selects pair two routines, and never one with itself (D24)") {
  const script a = {model::select({send_to(0), recv_from(1)}), model::select({send_to(0), recv_from(1)})};
  const script b = {model::select({send_to(1), recv_from(0)}), model::select({recv_from(0), send_to(1)})};
  const script self = {model::select({send_to(0), recv_from(0)}), model::select({recv_from(0), send_to(0)})};
  for (std::size_t capacity : {0u, 1u}) {
    explore_all({{capacity, 0}, {a, b}});
    explore_all({{capacity, 0}, {a, b, self}});
    explore_all({{capacity}, {self, self}});
    explore_all({{capacity}, {self, self, {model::close(0)}}});
  }
}

TEST_CASE("a select that names a channel twice") {
  const std::vector<instruction> twice = {
      model::select({recv_from(0), recv_from(0)}), model::select({send_to(0), send_to(0)}),
      model::select_first({recv_from(0), recv_from(0)}), model::select_first({send_to(0), recv_from(0)}),
      model::select_first_otherwise({send_to(0), send_to(0)})};
  const std::vector<instruction> others = {model::send(0), model::recv(0), model::close(0), model::try_send(0),
                                           model::try_recv(0)};
  for (std::size_t capacity : {0u, 1u}) {
    for (const instruction& first : twice) {
      for (const script& rest : scripts(others, 2)) {
        explore_all({{capacity}, {{first}, rest}});
        explore_all({{capacity}, {{first, first}, rest}});
        explore_all({{capacity}, {{first}, {twice.front()}, rest}});
      }
    }
  }
}

TEST_CASE("priority and otherwise, among cases of channels and of joins") {
  const std::vector<instruction> choices = {model::select_first({recv_from(0), recv_from(1)}),
                                            model::select_first({recv_from(1), send_to(0)}),
                                            model::select_otherwise({recv_from(0), recv_from(1)}),
                                            model::select_otherwise({send_to(0), send_to(1)}),
                                            model::select_first_otherwise({send_to(1), recv_from(0)}),
                                            model::select({end_of(1), recv_from(0)}),
                                            model::select({send_to(1), end_of(1)}),
                                            model::select_first({end_of(1), end_of(2)}),
                                            model::select_otherwise({end_of(2), recv_from(1)})};
  const std::vector<script> others = scripts({model::send(0), model::recv(1), model::close(0)}, 1);
  for (const script& first : scripts(choices, 2)) {
    for (const script& second : others) {
      for (const script& third : others) explore_all({{0, 1}, {first, second, third}});
    }
  }
}

TEST_CASE("a routine is cancelled before, while and after it waits, and between its operations") {
  std::vector<instruction> cancelled = on_one_channel();
  cancelled.push_back(model::emplace(0));
  cancelled.push_back(model::join(1));
  cancelled.push_back(model::select({recv_from(0), end_of(2)}));
  const std::vector<script> others = scripts({model::send(0), model::recv(0), model::close(0)}, 1);
  for (std::size_t capacity : {0u, 1u}) {
    for (const script& victim : scripts(cancelled, 2)) {
      for (const script& other : others) explore_all({{capacity}, {victim, other, {model::cancel(0)}}});
    }
  }
}

TEST_CASE("routines that cancel one another, and themselves") {
  std::vector<instruction> some = {model::send(0), model::recv(0), model::cancel(0), model::cancel(1),
                                   model::select({send_to(0), recv_from(0)})};
  for (std::size_t capacity : {0u, 1u}) explore_pairs({capacity}, scripts(some, 2));
  for (const script& third : scripts(some, 1)) {
    for (const script& first : scripts(some, 2)) explore_all({{0}, {first, {model::join(0)}, third}});
  }
}

TEST_CASE("a join ends when the routine does, however that ends") {
  const std::vector<script> ends = scripts({model::send(0), model::recv(0), model::close(0), model::join(2)}, 1);
  for (const script& first : ends) {
    for (const script& third : ends)
      explore_all({{0}, {first, {model::join(0), model::cancel(0), model::join(2)}, third}});
    explore_all({{0}, {first, {model::join(0)}, {model::join(0)}, {model::cancel(0)}}});
  }
}

TEST_CASE(
    "a coroutine that is destroyed before, while and after it waits leaves the channel as if it had never waited") {
  const std::vector<instruction> waits = {model::send(0),
                                          model::recv(0),
                                          model::emplace(0),
                                          model::select({recv_from(0), recv_from(1)}),
                                          model::select({send_to(0), recv_from(1)}),
                                          model::select({recv_from(0), recv_from(0)})};
  const std::vector<script> others = scripts({model::send(0), model::recv(0), model::close(0), model::send(1)}, 1);
  for (std::size_t capacity : {0u, 1u}) {
    for (const script& victim : scripts(waits, 1)) {
      for (const script& other : others) {
        for (const script& third : others) {
          explore_all({{capacity, 0}, {victim, other, {model::destroy(0), third[0]}}, {0}});
          explore_all({{capacity, 0}, {victim, other, {third[0], model::destroy(0)}}, {0}});
        }
      }
    }
  }
}

TEST_CASE("two coroutines that are destroyed while they wait on one channel") {
  const std::vector<script> waits =
      scripts({model::send(0), model::recv(0), model::select({recv_from(0), recv_from(1)})}, 2);
  for (std::size_t capacity : {0u, 1u}) {
    for (const script& first : waits) {
      for (const script& second : waits) {
        explore_all({{capacity, 0}, {first, second, {model::destroy(1), model::destroy(0)}}, {0, 1}});
      }
    }
  }
}

TEST_CASE("two virtual workers admit the same histories, and no others") {
  const auto each = scripts(on_one_channel(), 1);
  for (std::size_t capacity : {0u, 1u}) {
    for (const script& first : each) {
      for (const script& second : each) explore_all({{capacity}, {first, second}}, 2);
    }
  }
  explore_all({{0}, {{model::send(0), model::send(0)}, {model::recv(0), model::close(0)}}}, 2);
  explore_all({{0}, {{model::recv(0)}, {model::cancel(0)}, {model::send(0)}}}, 2);
}
