// Random programs over channels, from seeds, on one and on four virtual workers: what was sent is received once, in
// order; close, cancel and select keep their promises; nothing is left; the same seed gives the same run.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <ringo/ringo.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

// Move-only and counted; knows who sent it, as which of its values.
class payload {
 public:
  payload(std::size_t sender, std::size_t number) : sender_(sender), number_(number) { ++alive; }
  payload(payload&& other) noexcept : sender_(other.sender_), number_(std::exchange(other.number_, 0)) { ++alive; }
  payload& operator=(payload&& other) noexcept {
    sender_ = other.sender_;
    number_ = std::exchange(other.number_, 0);
    return *this;
  }
  ~payload() { --alive; }
  std::size_t sender() const { return sender_; }
  std::size_t number() const { return number_; }

  static inline int alive = 0;

 private:
  std::size_t sender_, number_;  // number 0: moved from
};

// What has come to pass in one run, all on one thread. A mistake is what no schedule may bring about.
class journal {
 public:
  explicit journal(std::size_t channels) : sent_(channels), received_(channels), closed_(channels) {}

  void sent(std::size_t channel, std::size_t sender, std::size_t number, const payload& source) {
    require(source.number() == 0, "a value that was sent has been left with its sender");
    sent_[channel][sender].push_back(number);
  }
  void not_sent(std::size_t number, const payload& source) {
    require(source.number() == number, "a value that was not sent has been lost");
  }
  void refused(std::size_t channel, std::size_t number, const payload& source) {
    not_sent(number, source);
    require(closed_[channel], "channel_closed of an open channel");
  }
  void received(std::size_t channel, std::size_t receiver, const payload& value) {
    require(value.number() != 0, "a value that had been moved from was received");
    require(seen_.insert({channel, value.sender(), value.number()}).second, "a value was received twice");
    // One receiver sees the values of one sender in the order in which they were sent.
    auto& last = last_seen_[{channel, receiver, value.sender()}];
    require(last < value.number(), "a receiver saw a sender's values out of order");
    last = value.number();
    received_[channel][value.sender()].insert(value.number());
  }
  void drained(std::size_t channel, const ringo::channel<payload>& c) {
    require(closed_[channel], "an open channel was drained");
    require(c.is_drained(), "a receive found the channel drained which still holds values");
  }
  void closing(std::size_t channel) { closed_[channel] = true; }
  void require(bool holds, const char* what) {
    if (!holds) mistakes_.emplace(what);
  }

  // Every value that was sent is received: once by received()'s own check, and at all by this.
  void compare() {
    for (std::size_t c = 0; c != sent_.size(); ++c) {
      for (const auto& [sender, numbers] : sent_[c]) {
        const std::set<std::size_t> all(numbers.begin(), numbers.end());
        require(all == received_[c][sender], "what was sent is not what was received");
      }
      for (const auto& [sender, numbers] : received_[c]) {
        require(numbers.empty() || sent_[c].count(sender), "a value was received that nobody has sent");
      }
    }
  }
  const std::set<std::string>& mistakes() const { return mistakes_; }
  std::size_t values() const { return seen_.size(); }

 private:
  using name = std::array<std::size_t, 3>;
  std::vector<std::map<std::size_t, std::vector<std::size_t>>> sent_;  // by channel and sender
  std::vector<std::map<std::size_t, std::set<std::size_t>>> received_;
  std::vector<bool> closed_;
  std::set<name> seen_;
  std::map<name, std::size_t> last_seen_;
  std::set<std::string> mistakes_;
};

struct stage {
  std::vector<channel<payload>> channels;
  std::vector<handle<>> handles;
  journal log;
  std::size_t operations;
};

// Its choices come from its own generator, so that they are the same on every schedule of one program.
task<> act(stage& s, std::size_t me, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t n = 1; n <= s.operations; ++n) {
    const std::size_t a = below(s.channels.size()), b = below(s.channels.size());
    channel<payload>&c = s.channels[a], &d = s.channels[b];
    payload value(me, 2 * n), other(me, 2 * n + 1);
    const std::size_t what = below(100);
    enum { none, first, second } sent = none;
    bool closed = false, stopped = false;
    try {
      if (what < 20) {
        co_await c.send(std::move(value));
        sent = first;
      } else if (what < 40) {
        auto got = co_await c.recv();
        got ? s.log.received(a, me, *got) : s.log.drained(a, c);
      } else if (what < 46) {
        if (c.try_send(std::move(value))) sent = first;
      } else if (what < 52) {
        if (auto got = c.try_recv()) s.log.received(a, me, *got);
      } else if (what < 62) {
        auto r = co_await select(c.recv(), d.recv(), sleep(std::chrono::milliseconds(below(5))));
        if (r.index() == 0) {
          std::get<0>(r) ? s.log.received(a, me, *std::get<0>(r)) : s.log.drained(a, c);
        } else if (r.index() == 1) {
          std::get<1>(r) ? s.log.received(b, me, *std::get<1>(r)) : s.log.drained(b, d);
        }
      } else if (what < 72) {
        auto r = co_await select(c.send(std::move(value)), d.recv());
        if (r.index() == 0) {
          sent = first;
        } else {
          std::get<1>(r) ? s.log.received(b, me, *std::get<1>(r)) : s.log.drained(b, d);
        }
      } else if (what < 80) {
        auto r = co_await select(c.send(std::move(value)), d.send(std::move(other)));
        sent = r.index() == 0 ? first : second;
      } else if (what < 88) {
        auto r = co_await select(prefer_first, c.recv(), d.send(std::move(other)), otherwise);
        if (r.index() == 0) {
          std::get<0>(r) ? s.log.received(a, me, *std::get<0>(r)) : s.log.drained(a, c);
        } else if (r.index() == 1) {
          sent = second;
        }
      } else if (what < 93) {
        co_await sleep(std::chrono::milliseconds(below(10)));
      } else if (what < 96) {
        co_await yield();
      } else if (what < 98) {
        const std::size_t whom = below(s.handles.size());
        if (whom != me) s.handles[whom].cancel();
      } else {
        s.log.closing(a);
        c.try_close();
      }
    } catch (const channel_closed&) {
      closed = true;
    } catch (const cancelled&) {
      stopped = true;
    }
    if (closed) {
      // Of a select with two sends, either may be the one.
      s.log.require(s.channels[a].is_closed() || s.channels[b].is_closed(), "channel_closed of an open channel");
    }
    sent == first ? s.log.sent(a, me, 2 * n, value) : s.log.not_sent(2 * n, value);
    sent == second ? s.log.sent(b, me, 2 * n + 1, other) : s.log.not_sent(2 * n + 1, other);
    if (stopped) co_return;
  }
}

// One program: its shape from `program`, its schedule from `how`.
struct run_of_a_program {
  std::set<std::string> mistakes;
  testing::report report;
  std::size_t values;
};
run_of_a_program perform(std::uint64_t program, const testing::sim_options& how) {
  std::mt19937_64 random(program);
  const auto from_to = [&random](std::size_t low, std::size_t high) {
    return low + static_cast<std::size_t>(random() % (high - low + 1));
  };
  const std::size_t channels = from_to(1, 3), routines = from_to(2, 6);
  stage s{{}, {}, journal(channels), from_to(1, 40)};
  for (std::size_t i = 0; i != channels; ++i) s.channels.emplace_back(from_to(0, 3));
  std::size_t offered = 0;  // by main
  const auto main = [&]() -> task<> {
    for (std::size_t i = 0; i != routines; ++i) s.handles.emplace_back();
    for (std::size_t i = 0; i != routines; ++i) s.handles[i] = go(act, std::ref(s), i, program * 100 + i);
    for (;;) {
      co_await testing::settle();
      // Nobody can go on but by time: who waits for a partner finds it in main.
      bool ended = true;
      for (const auto& h : s.handles) ended = ended && h.is_done();
      for (std::size_t c = 0; c != channels; ++c) {
        while (auto got = s.channels[c].try_recv()) s.log.received(c, routines, *got);
      }
      if (ended) break;
      for (std::size_t c = 0; c != channels; ++c) {
        const std::size_t number = ++offered;
        payload value(routines, number);
        if (!s.channels[c].is_closed() && s.channels[c].size() < 1 && s.channels[c].try_send(std::move(value))) {
          s.log.sent(c, routines, number, value);
        }
      }
      co_await sleep(1ms);
    }
    for (auto& h : s.handles) co_await h;
  };
  const testing::report report = testing::simulate(how, main);
  s.log.compare();
  return {s.log.mistakes(), report, s.log.values()};
}

}  // namespace

TEST_CASE("random programs on one and on four virtual workers") {
  const auto before = testing::live();
  std::size_t values = 0;
  for (std::uint64_t seed = 0; seed != stressed(800); ++seed) {
    for (unsigned workers : {1u, 4u}) {
      const testing::sim_options how{.seed = seed, .workers = workers};
      const run_of_a_program once = perform(seed, how);
      for (const std::string& mistake : once.mistakes) {
        FAIL_CHECK("program and seed " << seed << ", " << workers << " workers: " << mistake);
      }
      const bool nothing_left = payload::alive == 0 && testing::live() == before;
      if (!nothing_left) FAIL_CHECK("program and seed " << seed << ", " << workers << " workers: something is left");
      const run_of_a_program again = perform(seed, how);
      const bool same = once.report.trace_hash == again.report.trace_hash && once.report.steps == again.report.steps &&
                        once.report.elapsed == again.report.elapsed && once.values == again.values;
      if (!same) FAIL_CHECK("program and seed " << seed << ", " << workers << " workers: two runs differ");
      values += once.values;
    }
  }
  CHECK(values > 1000);
}

TEST_CASE("one random program on many schedules") {
  const auto before = testing::live();
  std::set<std::uint64_t> hashes;
  for (std::uint64_t program = 1000; program != 1010; ++program) {
    for (std::uint64_t seed = 0; seed != stressed(40); ++seed) {
      const run_of_a_program once = perform(program, {.seed = seed, .workers = 2});
      for (const std::string& mistake : once.mistakes) {
        FAIL_CHECK("program " << program << ", seed " << seed << ": " << mistake);
      }
      hashes.insert(once.report.trace_hash);
    }
  }
  CHECK(hashes.size() > 350);
  CHECK(payload::alive == 0);
  CHECK(testing::live() == before);
}
