// The driver over io_uring: completions, sleeping, waking, and its end. Each on all three kinds of ring where it
// matters.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "driver/uring.hpp"
#include "driver_requests.hpp"
#include "driver_sandbox.hpp"
#include "states.hpp"

using ringo::time_point;
using ringo::detail::kernel_call;
using ringo::detail::make_uring;
using ringo::detail::task_work;
using ringo::detail::uring;

namespace {

std::unique_ptr<uring> attached(unsigned entries, task_work best = task_work::deferred) {
  auto driver = make_uring(entries, best);
  driver->attach();
  return driver;
}

// Descriptors of this process whose target is `kind` ("anon_inode:[io_uring]", "anon_inode:[eventfd]"; empty: all).
std::vector<int> descriptors(const std::string& kind = {}) {
  std::vector<int> found;
  for (int number = 0; number < 1024; ++number) {
    if (::fcntl(number, F_GETFD) == -1) continue;
    char target[256];
    const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(number)).c_str(), target, sizeof target);
    if (kind.empty() || (length > 0 && std::string(target, static_cast<std::size_t>(length)) == kind))
      found.push_back(number);
  }
  return found;
}

const std::string ring_descriptor = "anon_inode:[io_uring]";
const std::string event_descriptor = "anon_inode:[eventfd]";

template <class Call>
std::string thrown_by(Call call) {
  try {
    call();
  } catch (const std::system_error& problem) {
    return std::to_string(problem.code().value()) + ' ' + problem.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("sizes: none is refused, odd ones are rounded up, too many are fewer") {
  CHECK_THROWS_AS(make_uring(0), std::invalid_argument);
  for (const unsigned entries : {1u, 3u, 100u, 32768u, 32769u, UINT_MAX}) {
    CAPTURE(entries);
    const auto driver = attached(entries);
    asked operation;
    ask_nothing(*driver, operation);
    poll_until_over(*driver, operation);
    CHECK(operation.result == 0);
  }
}

TEST_CASE("a driver is attached once") {
  const auto driver = attached(4);
  CHECK_THROWS_AS(driver->attach(), std::logic_error);
}

TEST_CASE("its clock is the steady clock") {
  const auto driver = make_uring(4);
  const auto before = std::chrono::steady_clock::now();
  const auto between = driver->now();
  CHECK(before <= between);
  CHECK(between <= std::chrono::steady_clock::now());
}

TEST_CASE("an operation is in flight from prepare to its last answer") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    const pipe_ends pipe;
    CHECK(driver->in_flight() == 0);
    char byte = 0;
    asked operation;
    ask_to_read(*driver, operation, pipe.read_end, &byte);
    CHECK(driver->in_flight() == 1);
    driver->poll(time_point::min());
    CHECK(operation.answers == 0);
    CHECK(driver->in_flight() == 1);
    pipe.put('x');
    poll_until_over(*driver, operation);
    CHECK(operation.result == 1);
    CHECK(byte == 'x');
    CHECK(driver->in_flight() == 0);
  }
}

TEST_CASE("polling without sleep sees what has completed in the meantime") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    const pipe_ends pipe;
    char byte = 0;
    asked operation;
    ask_to_read(*driver, operation, pipe.read_end, &byte);
    driver->poll(time_point::min());
    pipe.put('x');
    while (!operation.is_over()) driver->poll(time_point::min());
    CHECK(byte == 'x');
  }
}

TEST_CASE("a time that has come does not make poll sleep") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    driver->poll(time_point());
    driver->poll(driver->now());
    driver->poll(time_point::min() + std::chrono::nanoseconds(1));
    CHECK(driver->in_flight() == 0);
  }
}

TEST_CASE("more operations than the queues hold: all complete, in order") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    constexpr std::size_t count = 10000;
    std::vector<std::size_t> order;
    std::vector<asked> operations(count);
    for (std::size_t i = 0; i < count; ++i) {
      operations[i].then = [&order, i] { order.push_back(i); };
      ask_nothing(*driver, operations[i]);
    }
    CHECK(driver->in_flight() == count);
    poll_until_idle(*driver);
    bool in_order = order.size() == count;
    for (std::size_t i = 0; i < order.size(); ++i) in_order = in_order && order[i] == i;
    CHECK(in_order);
  }
}

TEST_CASE("a completion may prepare the next operation, also when the queue is full") {
  for (const task_work kind : kinds) {
    const auto driver = attached(2, kind);
    int left = 3000;
    std::array<asked, 40> operations;
    for (asked& operation : operations) {
      operation.then = [&driver, &left, &operation] {
        if (--left > 0) ask_nothing(*driver, operation);
      };
      ask_nothing(*driver, operation);
    }
    poll_until_idle(*driver);
    CHECK(left <= 0);
  }
}

TEST_CASE("an operation that is ended when its byte is there has the byte, or leaves it") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    const pipe_ends pipe;
    for (int i = 0; i < 100; ++i) {
      char byte = 0;
      asked operation;
      ask_to_read(*driver, operation, pipe.read_end, &byte);
      driver->poll(time_point::min());
      pipe.put('x');
      driver->end_early(operation);
      poll_until_over(*driver, operation);
      driver->poll(time_point::min());
      CHECK(operation.answers == 1);
      int left = 0;
      CHECK(::ioctl(pipe.read_end, FIONREAD, &left) == 0);
      CHECK(left == (operation.result == 1 ? 0 : 1));
      CHECK((operation.result == 1 || operation.result == -ECANCELED));
      if (left != 0) CHECK(::read(pipe.read_end, &byte, 1) == 1);
    }
  }
}

TEST_CASE("what is ended before the kernel has been given it is never begun, and is answered as ended") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    const pipe_ends pipe;
    asked first, ended, last;
    for (asked* each : {&first, &ended, &last})
      each->call.set_write(pipe.write_end, "x", 1, kernel_call::current_position);
    driver->submit(first);
    driver->submit(ended);
    driver->submit(last);
    driver->end_early(ended);
    poll_until_idle(*driver);
    CHECK(first.result == 1);
    CHECK(ended.result == -ECANCELED);
    CHECK(ended.answers == 1);
    CHECK(last.result == 1);
    int bytes = 0;
    CHECK(::ioctl(pipe.read_end, FIONREAD, &bytes) == 0);
    CHECK(bytes == 2);
    driver->submit(ended);  // once more
    poll_until_idle(*driver);
    CHECK(ended.result == 1);
    driver->end_early(ended);  // which is over
    driver->poll(time_point::min());
    CHECK(ended.answers == 2);
  }
}

TEST_CASE("a sleep lasts until its time, and is not cut short") {
  // Nothing but the time can end these sleeps: a second turn would mean that the first was early.
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    for (int i = 0; i < 20; ++i) {
      const time_point until = driver->now() + std::chrono::nanoseconds(1) + std::chrono::microseconds(i * 100);
      int turns = 0;
      for (; driver->now() < until; ++turns) driver->poll(until);
      CHECK(turns <= 1);
    }
  }
}

TEST_CASE("a sleep until almost the end of time is a sleep") {
  for (const time_point until : {time_point::max(), time_point::max() - std::chrono::nanoseconds(1),
                                 time_point::max() - std::chrono::hours(24 * 365 * 100)}) {
    const auto driver = attached(4);
    std::atomic<bool> woken = false;
    std::thread waker([&] {
      woken = true;
      driver->wake();
    });
    driver->poll(until);
    CHECK(woken);
    waker.join();
  }
}

TEST_CASE("a wake that comes before the sleep ends it, once") {
  for (const task_work kind : kinds) {
    const auto driver = make_uring(4, kind);
    driver->wake();
    driver->attach();
    driver->poll(time_point::max());
    driver->wake();
    driver->wake();
    driver->poll(time_point::min());
    driver->poll(time_point::max());
    const time_point until = driver->now() + std::chrono::microseconds(200);
    driver->poll(until);
    CHECK(driver->now() >= until);
  }
}

TEST_CASE("what was written before a wake is seen after the sleep that it ended") {
  // `value` is no atomic: only the wake orders it, and ThreadSanitizer looks on.
  for (const task_work kind : kinds) {
    for (int i = 1; i <= 100; ++i) {
      const auto driver = attached(4, kind);
      int value = 0;
      std::thread writer([&] {
        value = i;
        driver->wake();
      });
      driver->poll(time_point::max());
      CHECK(value == i);
      writer.join();
    }
  }
}

TEST_CASE("no wake-up is lost: many threads, one sleeper") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    constexpr int wakers = 3;
    constexpr int each = 3000;
    std::atomic<int> sum = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < wakers; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < each; ++j) {
          sum.fetch_add(1, std::memory_order_relaxed);
          driver->wake();
        }
      });
    }
    while (sum.load(std::memory_order_relaxed) < wakers * each) driver->poll(time_point::max());
    for (std::thread& thread : threads) thread.join();
    CHECK(sum == wakers * each);
  }
}

TEST_CASE("no wake-up is lost: two drivers wake each other in turn") {
  constexpr int rounds = 5000;
  const auto here = attached(4);
  const auto there = make_uring(4);
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

TEST_CASE("wakes, completions and times together") {
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    const pipe_ends pipe;
    constexpr int bytes = 2000;
    std::atomic<int> wakes = 0;
    std::thread waker([&] {
      for (int i = 0; i < bytes; ++i) {
        wakes.fetch_add(1, std::memory_order_relaxed);
        driver->wake();
      }
    });
    std::thread writer([&] {
      for (int i = 0; i < bytes; ++i) pipe.put(static_cast<char>(i));
    });
    char byte = 0;
    int received = 0;
    bool in_order = true;
    asked operation;
    const auto receive = [&] { ask_to_read(*driver, operation, pipe.read_end, &byte); };
    operation.then = [&] {
      in_order = in_order && operation.result == 1 && byte == static_cast<char>(received);
      if (++received < bytes) receive();
    };
    receive();
    while (received < bytes || wakes.load(std::memory_order_relaxed) < bytes)
      driver->poll(driver->now() + std::chrono::hours(1));
    CHECK(in_order);
    waker.join();
    writer.join();
  }
}

TEST_CASE("a signal ends a sleep, without an error") {
  struct sigaction ignore{};
  ignore.sa_handler = [](int) {};
  struct sigaction before{};
  ::sigaction(SIGUSR1, &ignore, &before);
  for (const task_work kind : kinds) {
    const auto driver = attached(4, kind);
    const pthread_t sleeper = ::pthread_self();
    for (const time_point until : {time_point::max(), driver->now() + std::chrono::hours(1)}) {
      std::atomic<bool> is_over = false;
      std::thread signaller([&] {
        while (!is_over) {
          ::pthread_kill(sleeper, SIGUSR1);
          std::this_thread::yield();
        }
      });
      CHECK(thrown_by([&] { driver->poll(until); }) == "nothing");
      is_over = true;
      signaller.join();
    }
  }
  ::sigaction(SIGUSR1, &before, nullptr);
}

namespace {
uring* woken_by_signal = nullptr;
}

TEST_CASE("a signal handler may wake") {
  const auto driver = attached(4);
  woken_by_signal = driver.get();
  struct sigaction wakes{};
  wakes.sa_handler = [](int) { woken_by_signal->wake(); };
  wakes.sa_flags = SA_RESTART;
  struct sigaction before{};
  ::sigaction(SIGUSR2, &wakes, &before);
  errno = 12345;
  ::raise(SIGUSR2);
  CHECK(errno == 12345);
  driver->poll(time_point::max());
  ::sigaction(SIGUSR2, &before, nullptr);
  CHECK(driver->in_flight() == 0);
}

TEST_CASE("with nothing to ask of the kernel there is no system call") {
  for (const task_work kind : kinds) {
    const auto end = sandbox::in_child([kind] {
      const auto driver = attached(4, kind);
      const pipe_ends pipe;
      char byte = 0;
      asked operation;
      ask_to_read(*driver, operation, pipe.read_end, &byte);
      driver->poll(driver->now() + std::chrono::microseconds(10));  // the wake-up read and the operation are in flight
      sandbox::filter_calls({SYS_io_uring_enter, SYS_io_uring_register, SYS_write}, SECCOMP_RET_KILL_PROCESS);
      for (int i = 0; i < 1000; ++i) {
        driver->poll(time_point::min());
        driver->wake();
      }
      ::_exit(7);
      return std::string();
    });
    CHECK(end.exit_status == 7);
    CHECK(end.text == "");
  }
}

TEST_CASE("with something to ask of the kernel there is a system call") {
  const auto end = sandbox::in_child([] {
    const auto driver = attached(4);
    asked operation;
    ask_nothing(*driver, operation);
    sandbox::filter_calls({SYS_io_uring_enter}, SECCOMP_RET_KILL_PROCESS);
    driver->poll(time_point::min());
    return std::string("no call");
  });
  CHECK(end.signal == SIGSYS);
}

TEST_CASE("the destructor ends what is in flight, and every operation hears of it") {
  for (const task_work kind : kinds) {
    const pipe_ends pipe;
    std::array<char, 20> bytes{};
    std::vector<asked> reads(bytes.size()), unsubmitted(3);
    asked blocking_read, watch;
    {
      const auto driver = attached(8, kind);
      for (std::size_t i = 0; i < reads.size(); ++i) ask_to_read(*driver, reads[i], pipe.read_end, &bytes[i]);
      char never = 0;
      blocking_read.call.set_read(pipe.read_end, &never, 1, kernel_call::current_position);
      blocking_read.call.may_take_long = true;  // a kernel thread blocks in it
      driver->submit(blocking_read);
      ask_to_poll(*driver, watch, pipe.read_end, POLLIN);
      driver->poll(time_point::min());
      for (asked& operation : unsubmitted) ask_to_read(*driver, operation, pipe.read_end, &never);
      CHECK(driver->in_flight() == reads.size() + 2 + unsubmitted.size());
    }
    const auto ended = [](const asked& operation) {
      return operation.is_over() && operation.answers == 1 &&
             (operation.result == -ECANCELED || operation.result == -EINTR);
    };
    for (const asked& operation : reads) CHECK(ended(operation));
    for (const asked& operation : unsubmitted) CHECK(ended(operation));
    CHECK(ended(blocking_read));
    CHECK(ended(watch));
  }
}

TEST_CASE("a thousand drivers, one after the other, leave nothing behind") {
  const pipe_ends pipe;
  const std::size_t before = descriptors().size();
  std::size_t answers = 0;
  for (int i = 0; i < 1000; ++i) {
    std::array<asked, 4> operations;
    char byte = 0;
    {
      const auto driver = attached(8);
      for (asked& operation : operations) ask_to_read(*driver, operation, pipe.read_end, &byte);
      driver->poll(driver->now() + std::chrono::microseconds(1));
    }
    for (const asked& operation : operations) answers += operation.is_over();
  }
  CHECK(answers == 4000);
  CHECK(descriptors().size() == before);
}

TEST_CASE("a driver that never was attached, or whose thread has ended, is destroyed by another") {
  const std::size_t before = descriptors().size();
  {
    const auto unused = make_uring(4);
    const auto used = make_uring(4);
    std::thread worker([&] {
      used->attach();
      asked operation;
      ask_nothing(*used, operation);
      poll_until_over(*used, operation);
      used->poll(used->now() + std::chrono::microseconds(10));  // the wake-up read stays in flight
    });
    worker.join();
  }
  CHECK(descriptors().size() == before);
}

TEST_CASE("a forked child may destroy its copy, and the parent's ring does not notice") {
  for (const task_work kind : kinds) {
    auto driver = attached(4, kind);
    const pipe_ends pipe;
    char byte = 0;
    asked operation;
    ask_to_read(*driver, operation, pipe.read_end, &byte);
    driver->poll(driver->now() + std::chrono::microseconds(10));
    const auto end = sandbox::in_child([&] {
      std::ifstream maps("/proc/self/maps");
      const std::string mapped((std::istreambuf_iterator<char>(maps)), std::istreambuf_iterator<char>());
      driver.reset();
      const std::size_t left = descriptors(ring_descriptor).size() + descriptors(event_descriptor).size();
      return std::to_string(left) + (has(mapped, "io_uring") ? " mapped" : " not mapped");
    });
    CHECK(end.exit_status == 0);
    CHECK(end.text == "0 not mapped");
    CHECK(driver->in_flight() == 1);
    pipe.put('x');
    poll_until_over(*driver, operation);
    CHECK(byte == 'x');
    std::thread waker([&] { driver->wake(); });
    driver->poll(time_point::max());
    waker.join();
  }
}

TEST_CASE("a ring whose descriptor was closed behind it says so, and closes nothing of anybody's") {
  for (const bool is_reused : {false, true}) {
    for (const bool was_attached : {false, true}) {
      CAPTURE(is_reused);
      CAPTURE(was_attached);
      const auto end = sandbox::in_child([&] {
        auto driver = make_uring(4);
        if (was_attached) {
          driver->attach();
          driver->poll(driver->now() + std::chrono::microseconds(10));
        }
        const int ring = descriptors(ring_descriptor).at(0);
        const int event = descriptors(event_descriptor).at(0);
        const int other = ::open("/dev/null", O_WRONLY);
        for (const int number : {ring, event}) {
          ::close(number);
          if (is_reused) ::dup2(other, number);
        }
        const std::string text = thrown_by([&] {
          if (!was_attached) driver->attach();
          driver->poll(driver->now() + std::chrono::hours(1));
        });
        const auto before = descriptors();
        driver.reset();
        return text + (descriptors() == before ? " NOTHING CLOSED" : " CLOSED");
      });
      CHECK(end.exit_status == 0);
      CHECK(has(end.text, "was closed behind the runtime"));
      CHECK(has(end.text, " NOTHING CLOSED"));
    }
  }
}

TEST_CASE("a wake-up descriptor that was closed behind the ring: the sleeper says so") {
  const auto end = sandbox::in_child([] {
    auto driver = attached(4);
    ::close(descriptors(event_descriptor).at(0));
    return thrown_by([&] { driver->poll(time_point::max()); });
  });
  CHECK(has(end.text, "eventfd"));
  CHECK(has(end.text, "was closed behind the runtime"));
}

TEST_CASE("a wake-up descriptor that was closed behind the ring: who cannot wake ends the process") {
  const auto end = sandbox::in_child([] {
    auto driver = attached(4);
    std::atomic<bool> goes_to_sleep = false;
    std::thread waker([&driver, &goes_to_sleep, sleeper = ::getpid()] {
      while (!goes_to_sleep) std::this_thread::yield();
      spin_until_asleep(sleeper);
      ::close(descriptors(event_descriptor).at(0));
      for (;;) driver->wake();
    });
    goes_to_sleep = true;
    for (;;) driver->poll(time_point::max());
    return std::string();
  });
  CHECK(end.signal == SIGABRT);
  CHECK(has(end.text, "ringo: a worker cannot be woken, its eventfd was closed behind the runtime"));
}

TEST_CASE("a ring is its thread's own") {
  const auto end = sandbox::in_child([] {
    const auto driver = attached(4);
    std::string text;
    std::thread([&] {
      asked operation;
      text = thrown_by([&] {
        ask_nothing(*driver, operation);
        driver->poll(time_point::min());
      });
    }).join();
    return text;
  });
#ifdef NDEBUG
  CHECK(end.text.starts_with(std::to_string(EEXIST) + ' '));
#else
  CHECK(end.signal == SIGABRT);
  CHECK(has(end.text, "a ring is used by the thread that it is attached to"));
#endif
}

namespace {

// Answers EINVAL to each io_uring_setup that asks for a flag outside of `known`, as an older kernel does, and returns
// the flags of the one that it lets pass. `call` runs in a thread of its own.
template <class Call>
unsigned flags_granted(unsigned known, Call call) {
  std::atomic<int> listener = -1;
  std::thread asking([&] {
    listener = sandbox::filter_calls({SYS_io_uring_setup}, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    listener.notify_one();
    call();
  });
  listener.wait(-1);
  unsigned flags = 0;
  for (bool is_granted = false; !is_granted;) {
    seccomp_notif question{};
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) != 0) throw std::runtime_error("no question");
    io_uring_params asked{};
    const iovec here{&asked, sizeof asked};
    const iovec there{reinterpret_cast<void*>(static_cast<std::uintptr_t>(question.data.args[1])), sizeof asked};
    if (::process_vm_readv(::getpid(), &here, 1, &there, 1, 0) != sizeof asked)
      throw std::runtime_error("no parameters");
    flags = asked.flags;
    is_granted = (flags & ~known) == 0;
    seccomp_notif_resp reply{};
    reply.id = question.id;
    if (is_granted) {
      reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else {
      reply.error = -EINVAL;
    }
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply) != 0) throw std::runtime_error("no reply");
  }
  asking.join();
  return flags;
}

std::string kind_of_ring_on_a_kernel_that_knows(unsigned flags) {
  std::string text;
  const unsigned granted = flags_granted(flags, [&] {
    const auto driver = attached(4);
    asked operation;
    ask_nothing(*driver, operation);
    poll_until_over(*driver, operation);
    if (operation.result == 0) text = "works ";
  });
  if ((granted & IORING_SETUP_DEFER_TASKRUN) != 0) return text + "deferred";
  if ((granted & IORING_SETUP_COOP_TASKRUN) != 0) return text + "cooperative";
  return text + "eager";
}

}  // namespace

TEST_CASE("on older kernels the driver steps down") {
  constexpr unsigned linux_5_11 = IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
  constexpr unsigned linux_5_19 =
      linux_5_11 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  constexpr unsigned linux_6_0 = linux_5_19 | IORING_SETUP_SINGLE_ISSUER;
  constexpr unsigned linux_6_1 = linux_6_0 | IORING_SETUP_DEFER_TASKRUN;
  const auto on = [](unsigned flags) {
    return sandbox::in_child([flags] { return kind_of_ring_on_a_kernel_that_knows(flags); }).text;
  };
  CHECK(on(linux_6_1) == "works deferred");
  CHECK(on(linux_6_0) == "works cooperative");
  CHECK(on(linux_5_19) == "works cooperative");
  CHECK(on(linux_5_11) == "works eager");
}
