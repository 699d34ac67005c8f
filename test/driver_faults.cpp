// The driver where the kernel takes nothing, takes a part, is interrupted, or has more answers than its queue holds.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "driver/uring.hpp"
#include "driver_requests.hpp"
#include "driver_sandbox.hpp"

using ringo::time_point;
using ringo::detail::make_uring;
using ringo::detail::task_work;
using ringo::detail::uring;

namespace {

// Calls it in a thread of its own, whose io_uring_enter fails with these errors, one after the other; 0 lets a call
// pass, as all are that come later. In a sandbox's child.
template <class Call>
void with_failing_enter(const std::vector<int>& errors, Call call) {
  std::atomic<int> listener = -1;
  std::thread asking([&] {
    listener = sandbox::filter_calls({SYS_io_uring_enter}, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    listener.notify_one();
    call();
  });
  listener.wait(-1);
  auto next = errors.begin();
  for (;;) {
    pollfd questions{listener, POLLIN, 0};
    if (::poll(&questions, 1, -1) < 0 || (questions.revents & POLLIN) == 0) break;  // the thread has ended
    seccomp_notif question{};
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) != 0) continue;
    seccomp_notif_resp reply{};
    reply.id = question.id;
    reply.error = next != errors.end() ? -*next++ : 0;
    if (reply.error == 0) reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
  }
  asking.join();
  ::close(listener);
}

constexpr std::size_t many = 100;

// "<n> answered" of many requests through a small queue, and what was thrown meanwhile.
std::string answered_while(task_work kind, const std::vector<int>& errors) {
  std::string text;
  auto made = make_uring(4, kind);  // which enters the kernel, too
  with_failing_enter(errors, [&] {
    const auto driver = std::move(made);
    driver->attach();
    std::vector<asked> requests(many);
    try {
      for (asked& each : requests) driver->submit(each);
      poll_until_idle(*driver);
    } catch (const std::exception& problem) {
      text = problem.what();
    }
    std::size_t once = 0;
    for (const asked& each : requests) once += each.answers == 1 && each.result == 0;
    text += std::to_string(once) + " answered";
  });
  return text;
}

}  // namespace

TEST_CASE("A submission that the kernel puts off is asked for again (H8, c30)") {
  for (const task_work kind : kinds) {
    for (const int error : {EAGAIN, EBUSY, EINTR}) {
      CAPTURE(error);
      for (const std::vector<int>& errors : {
               std::vector<int>{error},
               std::vector<int>{0, error, error},
               std::vector<int>{error, error, error, error, error, error},
               std::vector<int>{0, 0, error, 0, error, error, 0, error, error, error, 0, error, error, error, error},
               std::vector<int>(30, error),
           }) {
        const auto end = sandbox::in_child([&] { return answered_while(kind, errors); });
        CHECK(end.text == "100 answered");
      }
    }
  }
}

TEST_CASE("What is asked to end early, or drained, while the kernel takes nothing ends when it takes something again") {
  for (const task_work kind : kinds) {
    for (const bool drains : {false, true}) {
      const auto end = sandbox::in_child([&] {
        std::string text;
        auto made = make_uring(4, kind);
        with_failing_enter({0, 0, EAGAIN, EAGAIN, EAGAIN, EAGAIN, EBUSY, EBUSY, EINTR, EINTR, EAGAIN, EAGAIN}, [&] {
          const pipe_ends pipe;
          std::vector<asked> waits(20);
          {
            const auto driver = std::move(made);
            driver->attach();
            for (asked& each : waits) ask_to_poll(*driver, each, pipe.read_end, POLLIN);
            try {
              driver->poll(time_point::min());
              if (!drains) {
                for (asked& each : waits) driver->end_early(each);
                while (driver->in_flight() != 0) driver->poll(driver->now() + std::chrono::hours(1));
              } else {
                driver->drain();
              }
            } catch (const std::exception& problem) {
              text = problem.what();
            }
          }
          int ended = 0;
          for (const asked& each : waits) ended += each.answers == 1 && each.result == -ECANCELED;
          text += std::to_string(ended);
        });
        return text;
      });
      CHECK(end.text == "20");
    }
  }
}

TEST_CASE("What has ended before the kernel could be asked to end it leaves alone what comes after it at its address") {
  for (const task_work kind : kinds) {
    const auto end = sandbox::in_child([&] {
      std::string text;
      auto made = make_uring(4, kind);
      // The first poll() gives the kernel what is asked; while the queue is full, the ending finds no room.
      with_failing_enter({0, EAGAIN, EAGAIN}, [&] {
        const pipe_ends ends_at_once, never;
        asked first;
        std::vector<asked> others(4);
        {
          const auto driver = std::move(made);
          driver->attach();
          char byte = 0;
          ask_to_read(*driver, first, ends_at_once.read_end, &byte);
          driver->poll(time_point::min());
          for (asked& each : others) driver->submit(each);
          driver->end_early(first);
          ends_at_once.put('x');
          while (first.answers == 0) driver->poll(time_point::min());
          text += std::to_string(first.result);
          first.answers = 0;  // another, at that address
          ask_to_read(*driver, first, never.read_end, &byte);
          for (int i = 0; i < 10; ++i) driver->poll(driver->now() + std::chrono::milliseconds(1));
          text += std::to_string(first.answers);
          never.put('y');
          while (first.answers == 0) driver->poll(driver->now() + std::chrono::milliseconds(1));
          text += std::to_string(first.result);
        }
      });
      return text;
    });
    CHECK(end.text == "101");
  }
}

TEST_CASE("A kernel that stops at an entry that it refuses is asked again for the rest (H8)") {
  for (const task_work kind : kinds) {
    const auto driver = make_uring(8, kind);
    driver->attach();
    std::vector<asked> requests(100);
    unsigned length = 0;
    for (std::size_t i = 0; i < requests.size(); i += 3) requests[i].call.set_accept(0, nullptr, length, ~0U);
    for (asked& each : requests) driver->submit(each);
    poll_until_idle(*driver);
    bool is_right = true;
    for (std::size_t i = 0; i < requests.size(); ++i)
      is_right = is_right && requests[i].answers == 1 && requests[i].result == (i % 3 == 0 ? -EINVAL : 0);
    CHECK(is_right);
  }
}

TEST_CASE("Many more answers than the queue holds: none is lost (H7)") {
  for (const task_work kind : kinds) {
    const auto driver = make_uring(4, kind);
    driver->attach();
    std::vector<asked> requests(10'000);
    for (asked& each : requests) driver->submit(each);
    poll_until_idle(*driver);
    bool once = true;
    for (const asked& each : requests) once = once && each.answers == 1 && each.result == 0;
    CHECK(once);
  }
}

TEST_CASE("An answer that the kernel has lost is the end of the ring, and said so (H7)") {
  const auto end = sandbox::in_child([] {
    const auto driver = make_uring(4);
    driver->attach();
    sandbox::filter_calls({SYS_io_uring_enter}, SECCOMP_RET_ERRNO | EBADR);
    std::string text;
    try {
      driver->poll(driver->now() + std::chrono::hours(1));
    } catch (const std::system_error& problem) {
      text = std::to_string(problem.code().value()) + ' ' + problem.what();
    }
    return text;
  });
  CHECK(end.exit_status == 0);
  CHECK(end.text.starts_with(std::to_string(EBADR) + ' '));
  CHECK(has(end.text, "had no memory for a completion and lost it"));
}
