// What every driver must do (src/driver/driver.hpp): how a worker sleeps, is woken, and is kept from a busy loop.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <ringo/descriptor.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "driver_requests.hpp"
#include "driver_sandbox.hpp"
#include "driver_sockets.hpp"
#include "real_drivers.hpp"

using namespace std::chrono_literals;
using ringo::descriptor;
using ringo::time_point;
using ringo::detail::driver;
using ringo::detail::kernel_call;
using ringo::detail::pause_length;

TEST_CASE("A driver is attached once, and its clock is the steady clock") {
  on_every_driver([](driver& d) {
    CHECK_THROWS_AS(d.attach(), std::logic_error);
    const auto before = std::chrono::steady_clock::now();
    const auto between = d.now();
    CHECK(before <= between);
    CHECK(between <= std::chrono::steady_clock::now());
  });
}

TEST_CASE("A poll without sleep sees what is ready in the meantime, and says whether anything was answered") {
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    CHECK(!d.poll(time_point::min()));
    CHECK(!d.may_have_answers());
    char byte = 0;
    asked operation;
    ask_to_read(d, operation, pipe.read_end, &byte);
    CHECK(d.in_flight() == 1);
    CHECK(d.may_have_answers());
    d.poll(time_point::min());
    CHECK(!operation.is_over());
    CHECK(d.in_flight() == 1);
    pipe.put('x');
    bool has_answered = false;
    while (!operation.is_over()) {
      CHECK(!has_answered);
      has_answered = d.poll(time_point::min());
    }
    CHECK(has_answered);
    CHECK(byte == 'x');
    CHECK(d.in_flight() == 0);
    CHECK(!d.poll(time_point::min()));
  });
}

TEST_CASE("A time that has come does not make poll sleep") {
  on_every_driver([](driver& d) {
    d.poll(time_point());
    d.poll(d.now());
    d.poll(time_point::min() + 1ns);
    const pipe_ends pipe;  // with something in flight, too
    asked operation;
    ask_to_poll(d, operation, pipe.read_end, POLLIN);
    d.poll(time_point());
    d.poll(d.now());
    CHECK(!operation.is_over());
    end_early(d, operation);
    poll_until_over(d, operation);
  });
}

TEST_CASE("A sleep lasts until its time, and is not cut short") {
  // Only the time can end these sleeps. A driver may return early, but not again and again.
  on_every_driver([](driver& d) {
    for (int i = 0; i < 20; ++i) {
      const time_point until = d.now() + 1ns + std::chrono::microseconds(i * 100);
      int turns = 0;
      for (; d.now() < until; ++turns) d.poll(until);
      CHECK(turns < 20);  // a driver may return early now and then
    }
  });
}

namespace {

// A sleep until then that another thread ends early: the kernel's timer for it may be left.
void begin_sleep_until(driver& d, time_point until) {
  std::thread waker([&d] {
    std::this_thread::sleep_for(2ms);
    d.wake();
  });
  d.poll(until);
  waker.join();
  d.poll(time_point::min());  // the wake may have come after the sleep
}

int sleep_until(driver& d, time_point until) {  // the number of sleeps
  int turns = 0;
  for (; d.now() < until; ++turns) d.poll(until);
  return turns;
}

}  // namespace

// Else a worker that computes would seem to have an answer that it has not seen, and timers would wait for that.
TEST_CASE("The end of a sleep that was ended early is no answer") {
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    asked waiting;
    ask_to_poll(d, waiting, pipe.read_end, POLLIN);
    for (int i = 0; i < 3; ++i) {
      const time_point until = d.now() + 20ms;
      begin_sleep_until(d, until);
      while (d.now() < until + 1ms) {
      }
      CHECK(!d.may_have_answers());
    }
    end_early(d, waiting);
    poll_until_over(d, waiting);
  });
}

TEST_CASE("A sleep that must end before an earlier sleep would have ends in time") {
  for (const bool may_leave_alarm : {false, true}) {
    on_every_driver([may_leave_alarm](driver& d) {
      d.may_leave_alarm = may_leave_alarm;
      for (const auto longer : {60s, 3600s, 60s}) {
        begin_sleep_until(d, d.now() + longer);
        for (const auto length : {1us, 500us, 3000us, 20'000us, 2000us}) CHECK(sleep_until(d, d.now() + length) < 20);
      }
    });
  }
}

TEST_CASE("Of sleeps that were ended early, nothing ends later ones early but once") {
  for (const bool may_leave_alarm : {false, true}) {
    on_every_driver([may_leave_alarm](driver& d) {
      d.may_leave_alarm = may_leave_alarm;
      for (int i = 0; i < 3; ++i) begin_sleep_until(d, d.now() + 15ms);
      CHECK(sleep_until(d, d.now() + 40ms) < 20);
    });
  }
}

TEST_CASE("A sleep until almost the end of time is a sleep") {
  for (const time_point until : {time_point::max(), time_point::max() - 1ns, time_point::max() - 876'000h}) {
    on_every_driver([until](driver& d) {
      std::atomic<bool> woken = false;
      std::thread waker([&] {
        woken = true;
        d.wake();
      });
      while (!woken) d.poll(until);
      waker.join();
    });
  }
}

TEST_CASE("A wake that comes before the sleep ends it, once") {
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    const auto d = each.make();
    d->wake();
    d->attach();
    d->poll(time_point::max());
    d->wake();
    d->wake();
    d->poll(time_point::min());
    d->poll(time_point::max());
    int turns = 0;
    for (const time_point until = d->now() + 2ms; d->now() < until; ++turns) d->poll(until);
    CHECK(turns <= 2);
  }
}

TEST_CASE("What was written before a wake is seen after the sleep that it ended") {
  // `value` is no atomic: only the wake orders it, and ThreadSanitizer looks on.
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    for (int i = 1; i <= 100; ++i) {
      const auto d = each.make();
      d->attach();
      int value = 0;
      std::thread writer([&] {
        value = i;
        d->wake();
      });
      d->poll(time_point::max());
      CHECK(value == i);
      writer.join();
    }
  }
}

TEST_CASE("No wake-up is lost: many threads, one sleeper") {
  on_every_driver([](driver& d) {
    constexpr int wakers = 3, wakes = 3000;
    std::atomic<int> sum = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < wakers; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < wakes; ++j) {
          sum.fetch_add(1, std::memory_order_relaxed);
          d.wake();
        }
      });
    }
    while (sum.load(std::memory_order_relaxed) < wakers * wakes) d.poll(time_point::max());
    for (std::thread& thread : threads) thread.join();
    CHECK(sum == wakers * wakes);
  });
}

TEST_CASE("No wake-up is lost: two drivers wake each other in turn") {
  constexpr int rounds = 5000;
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    const auto here = each.make(), there = each.make();
    here->attach();
    std::atomic<int> turn = 0;
    std::thread other([&] {
      there->attach();
      for (int i = 1; i < 2 * rounds; i += 2) {
        while (turn.load(std::memory_order_relaxed) != i) there->poll(time_point::max());
        turn.store(i + 1, std::memory_order_relaxed);
        here->wake();
      }
    });
    for (int i = 0; i < 2 * rounds; i += 2) {
      while (turn.load(std::memory_order_relaxed) != i) here->poll(time_point::max());
      turn.store(i + 1, std::memory_order_relaxed);
      there->wake();
    }
    other.join();
    CHECK(turn == 2 * rounds);
  }
}

TEST_CASE("Wakes, answers, pauses and times together") {
  on_every_driver([](driver& d) {
    const pipe_ends pipe;
    constexpr int bytes = 2000;
    std::atomic<int> wakes = 0;
    std::thread waker([&] {
      for (int i = 0; i < bytes; ++i) {
        wakes.fetch_add(1, std::memory_order_relaxed);
        d.wake();
      }
    });
    std::thread writer([&] {
      for (int i = 0; i < bytes; ++i) pipe.put(static_cast<char>(i));
    });
    const pause_length moment{0, 20'000};
    asked pausing, reading;
    int pauses = 0, received = 0;
    bool in_order = true;
    char byte = 0;
    pausing.then = [&] {
      if (++pauses < 50) ask(d, pausing, [&](kernel_call& c) { c.set_pause(moment); });
    };
    reading.then = [&] {
      in_order = in_order && reading.result == 1 && byte == static_cast<char>(received);
      if (++received < bytes) ask_to_read(d, reading, pipe.read_end, &byte);
    };
    ask(d, pausing, [&](kernel_call& c) { c.set_pause(moment); });
    ask_to_read(d, reading, pipe.read_end, &byte);
    while (received < bytes || pauses < 50 || wakes.load(std::memory_order_relaxed) < bytes)
      d.poll(d.now() + std::chrono::hours(1));
    CHECK(in_order);
    waker.join();
    writer.join();
  });
}

TEST_CASE("A signal ends a sleep, or does not, without an error; a handler may wake") {
  struct sigaction ignore{};
  ignore.sa_handler = [](int) {};
  struct sigaction before{};
  ::sigaction(SIGUSR1, &ignore, &before);
  static std::atomic<driver*> woken_by_signal;
  struct sigaction wakes{};
  wakes.sa_handler = [](int) { woken_by_signal.load()->wake(); };
  wakes.sa_flags = SA_RESTART;
  struct sigaction before_wakes{};
  ::sigaction(SIGUSR2, &wakes, &before_wakes);
  on_every_driver([](driver& d) {
    for (const time_point until : {time_point::max(), d.now() + 1h}) {
      std::atomic<bool> is_over = false;
      std::thread signaller([&, sleeper = ::pthread_self()] {
        for (int i = 0; i < 50; ++i) {
          ::pthread_kill(sleeper, SIGUSR1);
          std::this_thread::yield();
        }
        is_over = true;
        d.wake();
      });
      while (!is_over) d.poll(until);
      signaller.join();
    }
    woken_by_signal = &d;
    errno = 12345;
    ::raise(SIGUSR2);
    CHECK(errno == 12345);
    d.poll(time_point::max());
    std::atomic<int> sent = 0;
    std::thread signaller([&, sleeper = ::pthread_self()] {
      for (int i = 0; i < 200; ++i) {
        ++sent;
        ::pthread_kill(sleeper, SIGUSR2);
      }
    });
    while (sent != 200) d.poll(time_point::max());
    signaller.join();
  });
  ::sigaction(SIGUSR1, &before, nullptr);
  ::sigaction(SIGUSR2, &before_wakes, nullptr);
}

TEST_CASE("With nothing in flight a poll without sleep, and a wake of a worker that is awake, make no system call") {
  for (const real_driver& each : real_drivers()) {
    CAPTURE(std::string(each.name));
    const auto end = sandbox::in_child([&] {
      const auto d = each.make();
      d->attach();
      d->poll(d->now() + 10us);
      sandbox::filter_calls(
          {
#ifdef SYS_poll  // arm64 does without these
              SYS_epoll_wait, SYS_poll,
#endif
              SYS_io_uring_enter, SYS_io_uring_register, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_epoll_ctl, SYS_ppoll,
              SYS_read, SYS_write},
          SECCOMP_RET_KILL_PROCESS);
      for (int i = 0; i < 1000; ++i) {
        d->poll(time_point::min());
        d->wake();
      }
      ::_exit(7);
      return std::string();
    });
    CHECK(end.exit_status == 7);
  }
}

namespace {

// How many polls return in this time. A busy loop makes thousands.
int turns_in(driver& d, std::chrono::milliseconds time) {
  int turns = 0;
  for (const time_point until = d.now() + time; d.now() < until; ++turns) d.poll(until);
  return turns;
}

}  // namespace

TEST_CASE("Readiness that no request waits for does not keep the worker awake") {
  on_every_driver([](driver& d) {
    // Bytes, room and a hang-up are there, while a request waits for something else of the same descriptor.
    tcp_pair connection;
    asked urgent;
    ask_to_poll(d, urgent, connection.one, POLLPRI);
    CHECK(turns_in(d, 2ms) < 20);
    REQUIRE(::send(connection.other, "bytes", 5, 0) == 5);
    CHECK(turns_in(d, 10ms) < 20);
    CHECK(!urgent.is_over());
    REQUIRE(::shutdown(connection.other, SHUT_WR) == 0);  // io_uring tells this to every poll
    CHECK(turns_in(d, 10ms) < 20);
    if (!urgent.is_over()) end_early(d, urgent);
    poll_until_over(d, urgent);
    // One direction waits, and the other one has hung up.
    std::vector<char> much(4'000'000);
    asked sending;
    std::size_t sent = 0;
    sending.then = [&] {
      if (sending.result > 0) sent += static_cast<std::size_t>(sending.result);
    };
    const auto send = [&] {
      ask(d, sending, [&](kernel_call& c) { c.set_send(connection.one, much.data(), much.size(), MSG_NOSIGNAL); });
    };
    // Until the peer's buffers are full.
    for (int answers = -1; answers != sending.answers;) {
      answers = sending.answers;
      send();
      for (int i = 0; i < 5; ++i) d.poll(d.now() + 1ms);
    }
    CHECK(turns_in(d, 10ms) < 20);
    // A connection that has been used up in both directions.
    const int before = sending.answers;
    connection.reset_other();
    while (sending.answers == before) d.poll(time_point::max());
    CHECK(turns_in(d, 5ms) < 20);
  });
}

TEST_CASE("A peer that hangs up leaves no busy loop behind, whoever waits") {
  on_every_driver([](driver& d) {
    for (const int events : {POLLIN, POLLOUT, POLLPRI}) {
      socket_pair pair;
      std::array<asked, 2> waiting;
      for (asked& each : waiting) ask_to_poll(d, each, pair.one, POLLPRI);
      d.poll(time_point::min());
      pair.close_other();
      for (asked& each : waiting) poll_until_over(d, each);
      CHECK((waiting[0].result & POLLHUP) != 0);
      CHECK(turns_in(d, 10ms) < 20);  // the descriptor is still open, and hung up
      CHECK(answer_of(d, [&](kernel_call& c) { c.set_poll(pair.one, static_cast<short>(events)); }) > 0);
      CHECK(turns_in(d, 5ms) < 20);
    }
  });
}

TEST_CASE("An error that stays on a socket does not make a waiting receive a busy loop") {
  on_every_driver([](driver& d) {
    const descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const int number = socket.native_handle();
    internet_address nowhere(0);
    {
      const descriptor taken(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      REQUIRE(::bind(taken.native_handle(), nowhere.get(), nowhere.size) == 0);
      nowhere.read_from(taken.native_handle());
    }
    const int on = 1;
    REQUIRE(::setsockopt(number, IPPROTO_IP, IP_RECVERR, &on, sizeof on) == 0);
    REQUIRE(::connect(number, nowhere.get(), nowhere.size) == 0);
    REQUIRE(::send(number, "x", 1, 0) == 1);
    pollfd error{number, 0, 0};
    REQUIRE(::poll(&error, 1, -1) == 1);
    char byte = 0;
    asked receiving;
    const auto receive = [&] { ask(d, receiving, [&](kernel_call& c) { c.set_receive(number, &byte, 1); }); };
    receive();
    poll_until_over(d, receiving);
    CHECK(receiving.result == -ECONNREFUSED);
    // The queue of errors still has an entry, so the socket is in error as far as poll(2) says.
    receive();
    CHECK(turns_in(d, 50ms) < 200);
    if (receiving.answers == 1) {
      end_early(d, receiving);
      while (receiving.answers == 1) d.poll(time_point::max());
    } else {
      CHECK(receiving.result == -EAGAIN);  // the caller waits, and tries again
    }
  });
}

TEST_CASE("A descriptor that is closed under way, with another at its number, neither loops nor takes foreign bytes") {
  on_every_driver([](driver& d) {
    for (const bool is_kept_open : {false, true}) {
      CAPTURE(is_kept_open);
      socket_pair first, second;
      const int number = first.one;
      const descriptor kept(is_kept_open ? ::dup(number) : -1);
      asked of_first;
      char first_byte = 0;
      ask_to_read(d, of_first, number, &first_byte);
      d.poll(d.now() + 100us);
      REQUIRE(::dup2(second.one, number) == number);
      asked of_second;
      char second_byte = 0;
      ask_to_read(d, of_second, number, &second_byte);
      d.poll(d.now() + 100us);
      // The old file's bytes wake at most the old request.
      if (is_kept_open) REQUIRE(::write(first.other, "1", 1) == 1);
      CHECK(turns_in(d, 10ms) < 20);
      CHECK(!of_second.is_over());
      int put = 0;
      while (!of_second.is_over()) {
        REQUIRE(::write(second.other, "2", 1) == 1);
        ++put;
        for (int i = 0; i < 3 && !of_second.is_over(); ++i) d.poll(d.now() + 10ms);
        REQUIRE(put < 10);
      }
      CHECK(of_second.result == 1);
      CHECK(second_byte == '2');
      if (!of_first.is_over()) {
        end_early(d, of_first);
        poll_until_over(d, of_first);
      }
      CHECK(of_first.answers == 1);
      CHECK(turns_in(d, 5ms) < 20);
    }
  });
}
