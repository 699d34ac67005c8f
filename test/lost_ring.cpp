// A ring that is lost while a program runs: everything that waits ends with the reason, run throws it, nothing hangs.
#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <ringo/file.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "driver_sandbox.hpp"
#include "error_told.hpp"
#include "network.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Counts the frames that it ends with.
class frame_end {
 public:
  explicit frame_end(std::atomic<int>& count) noexcept : count_(count) {}
  frame_end(const frame_end&) = delete;
  frame_end& operator=(const frame_end&) = delete;
  ~frame_end() { ++count_; }

 private:
  std::atomic<int>& count_;
};

constexpr int waiting = 6;

// Has routines wait for everything that there is to wait for, and calls it then: "<errno> <what run throws>; frames
// ended: <n>; the first waiter: <its error>".
std::string told_after(unsigned workers, const std::function<void()>& lose_the_ring) {
  std::atomic<int> frames = 0, begun = 0;
  std::string text = "nothing";
  handle<> first;
  try {
    run(
        [&]() -> task<> {
          const frame_end here(frames);
          connected c = co_await connect_pair();
          auto listener = listen_locally();
          channel<int> never;
          const auto about_to_wait = [&] { ++begun; };
          first = go([&]() -> task<> {
            const frame_end one(frames);
            about_to_wait();
            (void)co_await c.here.recv();
          });
          go([&]() -> task<> {
            const frame_end one(frames);
            const std::string much(50'000'000, 'm');
            about_to_wait();
            co_await c.here.send(much);
          });
          go([&]() -> task<> {
            const frame_end one(frames);
            about_to_wait();
            (void)co_await listener.accept();
          });
          go([&]() -> task<> {
            const frame_end one(frames);
            about_to_wait();
            (void)co_await never.recv();
          });
          go([&]() -> task<> {
            const frame_end one(frames);
            about_to_wait();
            co_await sleep(1h);
          });
          while (begun != waiting - 1) co_await yield();
          lose_the_ring();
          co_await c.there.send("nobody takes this");
          co_await sleep(1h);
        },
        {.workers = workers, .on_unhandled = [](std::exception_ptr, const std::source_location&) { std::abort(); }});
  } catch (const std::system_error& e) {
    text = std::to_string(e.code().value()) + ' ' + e.what();
  }
  text += "; frames ended: " + std::to_string(frames);
  text += "; the first waiter: " + error_thrown_by([&] { first.join_blocking(); });
  return text;
}

// To stderr, the one descriptor that is certainly left.
std::string print(const std::string& text) {
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) ::_exit(3);
  ::_exit(0);
}

}  // namespace

TEST_CASE("Where io_uring_enter is forbidden later, all that waits ends with that, and run throws it (c5)") {
  for (const unsigned workers : {1u, 2u, 4u}) {
    CAPTURE(workers);
    const auto end = sandbox::in_child([workers] {
      return told_after(workers, [] {
        sandbox::filter_calls({SYS_io_uring_enter}, SECCOMP_RET_ERRNO | EPERM, SECCOMP_FILTER_FLAG_TSYNC);
      });
    });
    CAPTURE(end.text);
    CHECK(end.exit_status == 0);
    CHECK(has(end.text, std::to_string(EPERM) + " ringo: io_uring_enter was refused: the ring was made, but a seccomp "
                                                "filter of this process now forbids io_uring_enter."));
    CHECK(has(end.text, "frames ended: " + std::to_string(waiting)));
    CHECK(has(end.text, "the first waiter: ringo: io_uring_enter was refused"));
  }
}

TEST_CASE("Where every descriptor is closed behind one worker, run says what has happened (c27, H37)") {
  const auto end =
      sandbox::in_child([] { return print(told_after(1, [] { ::syscall(SYS_close_range, 3, ~0U, 0); })); });
  CAPTURE(end.text);
  CHECK(end.exit_status == 0);
  CHECK(has(end.text, std::to_string(EBADF) + " ringo: the ring's descriptor ("));
  CHECK(has(end.text, "was closed behind the runtime. A program that closes all descriptors"));
  CHECK(has(end.text, "frames ended: " + std::to_string(waiting)));
  CHECK(has(end.text, "the first waiter: ringo: the ring's descriptor ("));
}

TEST_CASE("Where every descriptor is closed behind several workers, the process says so, and ends (c27, H37)") {
  for (const unsigned workers : {2u, 4u}) {
    CAPTURE(workers);
    const auto end = sandbox::in_child(
        [workers] { return print(told_after(workers, [] { ::syscall(SYS_close_range, 3, ~0U, 0); })); });
    CAPTURE(end.text);
    // Who sleeps can be woken no more: the process cannot go on, unless nobody slept.
    CHECK((end.signal == SIGABRT || end.exit_status == 0));
    CHECK(has(end.text, "was closed behind the runtime"));
  }
}
