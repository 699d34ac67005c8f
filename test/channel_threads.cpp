// Channels and threads that are no workers, channels and more than one runtime, channels where no runtime runs.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <ringo/ringo.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "every_scheduler.hpp"

using namespace ringo;

namespace {

// A thread that a routine can wait for: to join it while its last calls still need the worker would block both.
class foreign_thread {
 public:
  template <class F>
  explicit foreign_thread(F f) {
    thread_ = std::jthread([f = std::move(f), ended = ended_]() mutable {
      f();
      ended.close();
    });
  }
  task<> joined() {
    co_await ended_.recv();
    thread_.join();
  }

 private:
  channel<void> ended_;
  std::jthread thread_;
};

task<int> sum_of(receiver<int> from) {
  int sum = 0;
  while (auto value = co_await from.recv()) sum += *value;
  co_return sum;
}

// What a misuse says, or nothing if the call was allowed or failed as a closed channel does.
template <class F>
std::string refusal_of(F call) {
  try {
    call();
  } catch (const channel_closed&) {
    return {};
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return {};
}

runtime_options with_workers(unsigned count) {
  runtime_options how;
  how.workers = count;
  return how;
}

bool mentions(const std::string& text, const char* word) { return text.find(word) != std::string::npos; }

}  // namespace

TEST_CASE("a thread sends with send_blocking, in order, to a routine (D19)") {
  on_real_schedulers([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 20u}) {
      const channel<int> ch(capacity);
      foreign_thread sending([ch] {
        for (int i = 0; i != 200; ++i) ch.send_blocking(i);
        ch.close();
      });
      int next = 0;
      while (auto value = co_await ch.recv()) {
        CHECK(*value == next);
        ++next;
      }
      co_await sending.joined();
      CHECK(next == 200);
    }
  });
}

TEST_CASE("a thread receives with recv_blocking, in order, from a routine, until the close (D19)") {
  on_real_schedulers([]() -> task<> {
    for (std::size_t capacity : {0u, 1u, 20u}) {
      const channel<int> ch(capacity);
      int next = 0;
      bool in_order = true;
      foreign_thread receiving([&, ch] {
        while (auto value = ch.recv_blocking()) in_order = in_order && *value == next++;
      });
      for (int i = 0; i != 200; ++i) co_await ch.send(i);
      ch.close();
      co_await receiving.joined();
      CHECK(in_order);
      CHECK(next == 200);
    }
  });
}

TEST_CASE("many threads and many routines share a channel, and nothing is lost (semantics 10, D19)") {
  on_real_schedulers([]() -> task<> {
    const channel<int> in(3), out;
    std::vector<foreign_thread> threads;
    for (int id = 0; id != 3; ++id) {
      threads.emplace_back([=] {
        for (int i = 0; i != 100; ++i) in.send_blocking(100 * id + i);
      });
    }
    std::atomic<int> received_sum = 0, received = 0;
    for (int id = 0; id != 2; ++id) {
      threads.emplace_back([&, out] {
        while (auto value = out.recv_blocking()) {
          received_sum += *value;
          ++received;
        }
      });
    }
    wait_group forwarders;
    std::atomic<int> forwarded = 0;
    for (int id = 0; id != 4; ++id) {
      forwarders.go([&, in, out]() -> task<> {
        while (auto value = co_await in.recv()) {
          co_await out.send(*value);
          if (++forwarded == 300) in.close();
        }
      });
    }
    co_await forwarders.wait();
    out.close();
    for (auto& thread : threads) co_await thread.joined();
    CHECK(received == 300);
    CHECK(received_sum == 299 * 300 / 2);
  });
}

TEST_CASE("two threads talk to each other through a channel while a runtime runs (D19)") {
  on_real_schedulers([]() -> task<> {
    const channel<int> ch;
    std::atomic<int> sum = 0;
    foreign_thread receiving([&, ch] {
      while (auto value = ch.recv_blocking()) sum += *value;
    });
    co_await ch.send(1000);
    foreign_thread sending([ch] {
      for (int i = 1; i <= 50; ++i) ch.send_blocking(i);
      ch.close();
    });
    co_await sending.joined();
    co_await receiving.joined();
    CHECK(sum == 1000 + 50 * 51 / 2);
  });
}

TEST_CASE("send_blocking takes move-only values (D1, D19)") {
  on_real_schedulers([]() -> task<> {
    const channel<std::unique_ptr<int>> there, back;
    foreign_thread foreign([=] {
      while (auto value = there.recv_blocking()) {
        **value += 1;
        back.send_blocking(std::move(*value));
      }
      back.close();
    });
    for (int i = 0; i != 20; ++i) {
      co_await there.send(std::make_unique<int>(i));
      auto answer = co_await back.recv();
      CHECK(**answer == i + 1);
    }
    there.close();
    auto end = co_await back.recv();
    CHECK_FALSE(end);
    co_await foreign.joined();
  });
}

TEST_CASE("a thread that waits in send_blocking when the channel closes gets channel_closed (semantics 23)") {
  on_real_schedulers([]() -> task<> {
    const channel<int> ch;
    std::atomic<int> sent = 0, refused = 0;
    std::vector<foreign_thread> threads;
    for (int id = 0; id != 3; ++id) {
      threads.emplace_back([&, ch] {
        try {
          for (;;) {
            ch.send_blocking(1);
            ++sent;
          }
        } catch (const channel_closed&) {
          ++refused;
        }
      });
    }
    for (int i = 0; i != 10; ++i) co_await ch.recv();
    ch.close();
    for (auto& thread : threads) co_await thread.joined();
    CHECK(refused == 3);
    CHECK(sent == 10);
  });
}

TEST_CASE("recv_blocking rethrows what close(error) was given (semantics 22)") {
  on_real_schedulers([]() -> task<> {
    const channel<int> ch(1);
    std::atomic<int> values = 0, errors = 0;
    foreign_thread receiving([&, ch] {
      try {
        while (ch.recv_blocking()) ++values;
      } catch (const std::runtime_error&) {
        ++errors;
      }
    });
    co_await ch.send(1);
    ch.close(std::make_exception_ptr(std::runtime_error("no more")));
    co_await receiving.joined();
    CHECK(values == 1);
    CHECK(errors == 1);
  });
}

TEST_CASE("a thread may close a channel, and routines that wait are woken (semantics 22, 23)") {
  on_real_schedulers([]() -> task<> {
    for (int round = 0; round != 5; ++round) {
      const channel<int> empty, unread;
      std::atomic<int> ended = 0, refused = 0;
      wait_group waiting;
      for (int i = 0; i != 5; ++i) {
        waiting.go([&ended, empty]() -> task<> {
          auto value = co_await empty.recv();
          if (!value) ++ended;
        });
        waiting.go([&refused, unread]() -> task<> {
          try {
            co_await unread.send(1);
          } catch (const channel_closed&) {
            ++refused;
          }
        });
      }
      foreign_thread foreign([=] {
        empty.close();
        (void)unread.try_close();
      });
      co_await waiting.wait();
      co_await foreign.joined();
      CHECK(ended == 5);
      CHECK(refused == 5);
      CHECK(empty.is_closed());
      CHECK(unread.is_closed());
    }
  });
}

TEST_CASE("threads that are no workers send and receive signals (D5, D19)") {
  on_real_schedulers([]() -> task<> {
    const channel<void> request, answer;
    foreign_thread foreign([=] {
      while (request.recv_blocking()) answer.send_blocking();
    });
    int answers = 0;
    for (int i = 0; i != 20; ++i) {
      co_await request.send();
      const bool answered = co_await answer.recv();
      if (answered) ++answers;
    }
    request.close();
    co_await foreign.joined();
    CHECK(answers == 20);
  });
}

TEST_CASE("handles are copied, compared, moved and destroyed on any thread (D26)") {
  on_real_schedulers([]() -> task<> {
    const channel<std::shared_ptr<int>> ch(2);
    const channel<std::shared_ptr<int>> other;
    std::atomic<int> unequal = 0;
    std::vector<foreign_thread> threads;
    for (int id = 0; id != 3; ++id) {
      threads.emplace_back([&, ch, other] {
        std::vector<channel<std::shared_ptr<int>>> copies;
        for (int i = 0; i != 500; ++i) {
          copies.push_back(i % 2 == 0 ? ch : other);
          auto moved = std::move(copies.front());
          copies.front() = moved;
          if (!(copies.back() == (i % 2 == 0 ? ch : other))) ++unequal;
          const sender<std::shared_ptr<int>> tx = ch;
          const receiver<std::shared_ptr<int>> rx = ch;
          if (tx != sender<std::shared_ptr<int>>(ch) || rx != receiver<std::shared_ptr<int>>(ch)) ++unequal;
          if (copies.size() == 20) copies.clear();
        }
      });
    }
    for (int i = 0; i != 200; ++i) {
      co_await ch.send(std::make_shared<int>(i));
      auto value = co_await ch.recv();
      CHECK(**value == i);
    }
    for (auto& thread : threads) co_await thread.joined();
    CHECK(unequal == 0);
  });
}

TEST_CASE("when the last handle goes on a thread that is no worker, those who wait are woken all the same (D8)") {
  // One worker, so that those who were started wait for certain once they have been yielded to.
  scheduler_under_test::real(1).run([]() -> task<> {
    for (int round = 0; round != 10; ++round) {
      auto only = std::make_unique<channel<int>>();
      std::atomic<int> begun = 0;
      std::vector<handle<bool>> waiting;
      for (int i = 0; i != 3; ++i) {
        waiting.push_back(go([&begun, ch = only.get()]() -> task<bool> {
          ++begun;
          auto value = co_await ch->recv();
          co_return !value.has_value();
        }));
      }
      while (begun != 3) co_await yield();
      std::thread foreign([last = std::move(only)]() mutable { last.reset(); });
      for (auto& one : waiting) {
        const bool ended = co_await one;
        CHECK(ended);
      }
      foreign.join();
    }
  });
}

TEST_CASE("an attempt on a thread that is no worker is a logic_error that names the call and what to use (D19)") {
  on_real_schedulers([]() -> task<> {
    const channel<int> ch(4);
    co_await ch.send(1);
    std::string sending, receiving;
    std::thread foreign([&, ch] {
      sending = refusal_of([&] { (void)ch.try_send(2); });
      receiving = refusal_of([&] { (void)ch.try_recv(); });
    });
    foreign.join();
    CHECK(mentions(sending, "try_send"));
    CHECK(mentions(sending, "send_blocking"));
    CHECK(mentions(receiving, "try_recv"));
    CHECK(mentions(receiving, "recv_blocking"));
    // And nothing has happened.
    CHECK(ch.size() == 1);
    auto value = co_await ch.recv();
    CHECK(value == 1);
  });
}

TEST_CASE("send_blocking and recv_blocking on a worker are logic_errors, they would block it (D19)") {
  on_real_schedulers([]() -> task<> {
    const channel<int> ch(4);
    const auto sending = refusal_of([&] { ch.send_blocking(2); });
    const auto receiving = refusal_of([&] { (void)ch.recv_blocking(); });
    CHECK(mentions(sending, "send_blocking"));
    CHECK(mentions(receiving, "recv_blocking"));
    CHECK(ch.size() == 0);
    co_return;
  });
}

TEST_CASE("a channel that one runtime uses is refused to another while the first runs, and is whole after (D19)") {
  const channel<int> ch(4);
  const channel<void> of_the_second(1);
  std::string sending, receiving, selecting, waiting;
  ringo::run(
      [&]() -> task<> {
        co_await ch.send(1);
        foreign_thread second([&] {
          ringo::run(
              [&]() -> task<> {
                co_await of_the_second.send();
                sending = refusal_of([&] { (void)ch.try_send(2); });
                receiving = refusal_of([&] { (void)ch.try_recv(); });
                try {
                  co_await ch.recv();
                } catch (const std::logic_error& e) {
                  waiting = e.what();
                }
                try {
                  co_await select(ch.recv(), of_the_second.recv());
                } catch (const std::logic_error& e) {
                  selecting = e.what();
                }
                CHECK(of_the_second.size() == 1);
              },
              with_workers(2));
        });
        co_await second.joined();
        CHECK(ch.size() == 1);
        auto value = co_await ch.recv();
        CHECK(value == 1);
      },
      with_workers(2));
  for (const auto& refusal : {sending, receiving, selecting, waiting}) CHECK(mentions(refusal, "runtime"));
  CHECK(mentions(sending, "send"));
  CHECK(mentions(receiving, "recv"));
}

TEST_CASE("a channel may be used by one runtime after the other") {
  const channel<int> ch(3);
  for (int round = 0; round != 5; ++round) {
    for (const auto& scheduler : real_schedulers()) {
      scheduler.run([&]() -> task<> {
        auto sending = go([&ch]() -> task<> {
          for (int i = 0; i != 10; ++i) co_await ch.send(i);
        });
        for (int i = 0; i != 10; ++i) {
          auto value = co_await ch.recv();
          CHECK(value == i);
        }
        co_await sending;
      });
    }
    for (const auto& scheduler : simulated_schedulers(1)) {
      scheduler.run([&]() -> task<> {
        co_await ch.send(round);
        auto value = co_await ch.recv();
        CHECK(value == round);
      });
    }
  }
}

TEST_CASE("two runtimes run at once, each with channels of its own") {
  std::vector<std::thread> threads;
  std::vector<int> sums(3, 0);
  for (auto& sum : sums) {
    threads.emplace_back([&sum] {
      sum = ringo::run(
          []() -> task<int> {
            const channel<int> ch(2);
            auto summing = go(sum_of, ch);
            for (int i = 1; i <= 1000; ++i) co_await ch.send(i);
            ch.close();
            const int result = co_await summing;
            co_return result;
          },
          with_workers(2));
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(sums == std::vector<int>(3, 500500));
}

TEST_CASE("a channel is filled before any runtime runs and read after it has ended") {
  for (const auto& scheduler : every_scheduler(2)) {
    const channel<int> jobs(10), results(10);
    for (int i = 0; i != 10; ++i) CHECK(jobs.try_send(i));
    CHECK_FALSE(jobs.try_send(10));
    CHECK(jobs.size() == 10);
    jobs.close();
    CHECK(jobs.is_closed());
    scheduler.run([&]() -> task<> {
      while (auto job = co_await jobs.recv()) co_await results.send(*job * *job);
    });
    CHECK(jobs.is_drained());
    for (int i = 0; i != 10; ++i) {
      auto value = results.try_recv();
      CHECK(value == i * i);
    }
    auto none = results.try_recv();
    CHECK_FALSE(none);
    CHECK_THROWS_AS(jobs.try_send(1), channel_closed);
    CHECK(results.try_close());
  }
}

TEST_CASE("values left in a channel after the runtime has ended go with its last handle") {
  const auto value = std::make_shared<int>(0);
  for (const auto& scheduler : every_scheduler(2)) {
    {
      const channel<std::shared_ptr<int>> ch(5);
      CHECK(ch.try_send(value));
      scheduler.run([&]() -> task<> {
        for (int i = 0; i != 4; ++i) co_await ch.send(value);
      });
      CHECK(ch.size() == 5);
      CHECK(value.use_count() == 6);
    }
    CHECK(value.use_count() == 1);
  }
}

TEST_CASE("a channel may be made and dropped where no runtime ever runs") {
  const auto value = std::make_shared<int>(0);
  {
    channel<std::shared_ptr<int>> ch(2);
    const auto copy = ch;
    CHECK(ch.try_send(value));
    CHECK(copy.size() == 1);
    auto back = copy.try_recv();
    CHECK(back == value);
    CHECK(ch.try_send(value));
    ch.close();
    CHECK(copy.is_closed());
    CHECK_FALSE(copy.is_drained());
  }
  CHECK(value.use_count() == 1);
  const channel<int> unbuffered;
  CHECK_FALSE(unbuffered.try_send(1));
  auto none = unbuffered.try_recv();
  CHECK_FALSE(none);
}

TEST_CASE("a blocking call on a channel that no runtime uses yet waits until one does (D19)") {
  for (unsigned workers : {1u, 2u, 4u, 8u}) {
    const channel<int> there, back;
    std::optional<int> answer;
    std::thread foreign([&] {
      there.send_blocking(20);
      answer = back.recv_blocking();
    });
    std::optional<int> value;
    ringo::run(
        [&]() -> task<> {
          value = co_await there.recv();
          co_await back.send(21);
        },
        with_workers(workers));
    foreign.join();
    CHECK(value == 20);
    CHECK(answer == 21);
  }
}

TEST_CASE(
    "a thread that waits in a blocking call does not outwait the runtime: it is told that the runtime has ended") {
  for (unsigned workers : {1u, 2u, 4u, 8u}) {
    const channel<int> ch;
    int values = 0;
    bool ended = false;
    std::thread foreign([&] {
      try {
        while (ch.recv_blocking()) ++values;
      } catch (const std::system_error&) {
      }
      ended = true;
    });
    ringo::run([&]() -> task<> { co_await ch.send(1); }, with_workers(workers));
    // Should its second call have come after the runtime's end, it waits for the next one, or for this:
    ch.close();
    foreign.join();
    CHECK(ended);
    CHECK(values == 1);
  }
}

TEST_CASE("a thread serves one runtime after the other (D19)") {
  const channel<int> there, back;
  std::thread foreign([=] {
    for (int served = 0; served != 4;) {
      try {
        auto value = there.recv_blocking();
        back.send_blocking(value.value() + 1);
        ++served;
      } catch (const std::system_error&) {
        // That runtime has ended while nothing was asked of us.
      }
    }
  });
  int right = 0;
  for (int round = 0; round != 4; ++round) {
    ringo::run(
        [&]() -> task<> {
          co_await there.send(round);
          auto value = co_await back.recv();
          if (value == round + 1) ++right;
        },
        with_workers(1u << static_cast<unsigned>(round)));
  }
  foreign.join();
  CHECK(right == 4);
}
