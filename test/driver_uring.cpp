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
// the flags of the one that it lets pass; 0 if it has refused all that the driver tries. `call` runs in a thread of its
// own.
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
  bool is_granted = false;
  for (std::size_t step = 0; !is_granted && step < std::size(kinds); ++step) {
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
  return is_granted ? flags : 0;
}

std::string kind_of_ring_on_a_kernel_that_knows(unsigned flags) {
  std::string text;
  const unsigned granted = flags_granted(flags, [&] {
    try {
      const auto driver = attached(4);
      asked operation;
      ask_nothing(*driver, operation);
      poll_until_over(*driver, operation);
      if (operation.result == 0) text = "works ";
    } catch (const std::system_error& problem) {
      text = problem.what();
    }
  });
  if ((granted & IORING_SETUP_DEFER_TASKRUN) != 0) return text + "deferred";
  if ((granted & IORING_SETUP_COOP_TASKRUN) != 0) return text + "cooperative";
  return text;
}

}  // namespace

TEST_CASE("on older kernels the driver steps down, and on still older ones it says which are new enough") {
  constexpr unsigned linux_5_18 =
      IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
  constexpr unsigned linux_5_19 = linux_5_18 | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  constexpr unsigned linux_6_0 = linux_5_19 | IORING_SETUP_SINGLE_ISSUER;
  constexpr unsigned linux_6_1 = linux_6_0 | IORING_SETUP_DEFER_TASKRUN;
  const auto on = [](unsigned flags) {
    return sandbox::in_child([flags] { return kind_of_ring_on_a_kernel_that_knows(flags); }).text;
  };
  CHECK(on(linux_6_1) == "works deferred");
  CHECK(on(linux_6_0) == "works cooperative");
  CHECK(on(linux_5_19) == "works cooperative");
  CHECK(has(on(linux_5_18), "needs Linux 5.19 or newer"));
}
