// Calls that allocate where there is no memory: each throws std::bad_alloc to its caller, and leaves what it was about
// as it was.
#include <doctest/doctest.h>

#include <atomic>
#include <coroutine>
#include <ringo/ringo.hpp>
#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "foreign_task.hpp"
#include "network.hpp"
#include "process_counts.hpp"
#include "reached.hpp"
#include "refused_memory.hpp"
#include "simulated/owned_coroutine.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

static runtime_options with_workers(unsigned workers) {
  runtime_options o;
  o.workers = workers;
  return o;
}

TEST_CASE("A dump for which there is no memory lets go of the routine that it was about to describe") {
  for (const unsigned workers : {1u, 2u}) {
    runtime rt(with_workers(workers));
    std::ostringstream to;
    int failures = 0;
    rt.run([&]() -> task<> {
      const channel<int> c;
      auto waits = go([c]() -> task<int> { co_return *co_await c.recv(); });
      co_await until_parked("waits for receive on");
      failures = failures_of([&] { rt.dump(to); });
      co_await c.send(1);  // claims the wait
      const int value = co_await waits;
      CHECK(value == 1);
    });
    CHECK(failures > 0);
  }
}

TEST_CASE("A dump from a thread that is no worker, for which there is no memory, throws in that thread") {
  runtime rt(with_workers(1));
  std::ostringstream to;
  int failures = 0;
  rt.run([&]() -> task<> {
    completion<int> done;
    std::thread asks([&, setter = done.setter()] {
      failures = failures_of([&] { rt.dump(to); }, allocations_of::all_threads);  // a worker makes it
      setter.set_value(1);
    });
    const int value = co_await done;
    CHECK(value == 1);
    asks.join();
  });
  CHECK(failures > 0);
}

TEST_CASE("A close from another thread, for which there is no memory, can be tried again") {
  int failures = 0;
  run(
      [&]() -> task<> {
        const channel<int> c;
        (void)co_await select(c.recv(), otherwise);  // it belongs to this runtime now
        std::thread closes([&] { failures = failures_of([&] { c.close(); }); });
        const auto nothing = co_await c.recv();
        CHECK_FALSE(nothing);
        closes.join();
      },
      with_workers(1));
  CHECK(failures > 0);
}

TEST_CASE("A run for which there is no memory throws that, and leaves nothing") {
  for (const unsigned workers : {1u, 4u}) {
    const auto descriptors = open_descriptors();
    const auto before = testing::live();
    std::atomic<int> begun = 0;
    const int failures = failures_of([&] {
      run(
          [&]() -> task<> {
            ++begun;
            co_await yield();
          },
          with_workers(workers));
    });
    CHECK(failures > 3);
    CHECK(begun == 1);
    CHECK(testing::live() == before);
    CHECK(open_descriptors() == descriptors);
  }
}

static owned_coroutine send_without_memory(tcp_stream& to, const std::string& text, bool& failed) {
  try {
    const memory_is_refused always([](std::size_t) { return true; });
    co_await to.send(text);
  } catch (const std::bad_alloc&) {
    failed = true;
  }
}

TEST_CASE("A send of a foreign coroutine for whose wait there is no memory keeps no other from its turn") {
  run(
      []() -> task<> {
        tcp_options small;
        small.send_buffer = small.receive_buffer = 4096;
        connected c = co_await connect_pair(small);
        const std::string text(15'000, 'm');
        bool failed = false;
        const owned_coroutine sends = send_without_memory(c.here, text, failed);
        CHECK(failed);
        auto later = go(
            [](tcp_stream to) -> task<bool> {
              const auto sent = co_await outcome(to.send("later"));
              co_await to.close();
              co_return sent.has_value();
            },
            std::move(c.here));
        const std::string all = co_await read_all(c.there);
        const bool was_sent = co_await later;
        CHECK(all == (was_sent ? std::string("later") : text.substr(0, all.size())));
        CHECK((was_sent || !all.empty()));
      },
      with_workers(1));
}

namespace {

// More cases than a select has room for the locks of.
constexpr std::size_t many = 100;
bool locks_of_many(std::size_t size) { return size == many * sizeof(void*); }

// Awaits it where there is no memory for its locks from when it begins to wait.
template <class Select>
class waits_without_memory {
 public:
  explicit waits_without_memory(Select& of) : of_(of) {}
  bool await_ready() { return of_.await_ready(); }
  template <class P>
  auto await_suspend(std::coroutine_handle<P> coroutine) {
    const memory_is_refused now(locks_of_many);
    return of_.await_suspend(coroutine);
  }
  auto await_resume() { return of_.await_resume(); }

 private:
  Select& of_;
};

foreign_task select_without_memory(std::vector<channel<int>>& channels, bool& failed) {
  std::vector<decltype(channels[0].recv())> cases;
  for (const auto& each : channels) cases.push_back(each.recv());
  auto first = select_any(cases);
  try {
    co_await waits_without_memory(first);
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  co_await yield();
}

}  // namespace

TEST_CASE("A select of a foreign coroutine for whose wait there is no memory throws, and leaves nothing of the wait") {
  run(
      []() -> task<> {
        std::vector<channel<int>> channels(many);
        const auto before = testing::live();
        bool failed = false;
        co_await select_without_memory(channels, failed);
        CHECK(failed);
        CHECK(testing::live() == before);
        CHECK(!channels.back().try_send(1));  // no receiver has stayed in its queue
      },
      with_workers(2));
}

namespace {

bool everything(std::size_t) { return true; }

// Drops the last handle of a routine that has ended with an error, while there is no memory.
template <class Error>
task<> drop_without_memory(Error error) {
  auto fails = go([&error]() -> task<> { throw error; });
  while (!fails.is_done()) co_await yield();
  const memory_is_refused now(everything);
  fails = {};
}

}  // namespace

TEST_CASE("An error that no join has taken is told, or passed over, without memory") {
  std::size_t told = 0;
  runtime_options how = with_workers(1);
  how.on_unhandled = [&told, large = std::string(100, 'x')](std::exception_ptr, const std::source_location&) {
    told += large.size();
  };
  run([]() -> task<> { co_await drop_without_memory(std::runtime_error("not joined")); }, how);
  CHECK(told == 100);
  run([]() -> task<> {
    co_await drop_without_memory(disconnected(std::make_error_code(std::errc::connection_reset), "gone"));
    co_await drop_without_memory(std::system_error(std::make_error_code(std::errc::io_error), "wrong"));
    reached("the end");
  });
}

TEST_CASE("A dump that a signal asks for, and for which there is no memory, does not end the program") {
  run([]() -> task<> {
    detail::worker& w = *detail::current_worker();
    w.runtime.request_dump();
    {
      const memory_is_refused now(everything);
      w.runtime.serve_dump_request(w);
    }
    co_await yield();
    reached("the next turn");
  });
}

TEST_CASE("A deadlock for whose check, or for whose report, there is no memory is found all the same") {
  static std::atomic<int> left;
  const auto report_of = [](unsigned workers, bool (*refuse)(std::size_t)) {
    left = 3;
    try {
      run(
          [&]() -> task<> {
            memory::refuses = refuse;
            co_await channel<int>().recv();
          },
          with_workers(workers));
    } catch (const deadlock& e) {
      memory::refuses = nullptr;
      return std::string(e.what());
    }
    return std::string();
  };
  for (const unsigned workers : {1u, 3u}) {
    const memory_is_refused none([](std::size_t) { return false; });
    // The list of the own threads begins with one number.
    const std::string late = report_of(workers, [](std::size_t size) { return size == sizeof(int) && left-- > 0; });
    CHECK(late.starts_with("ringo: all routines are asleep: deadlock: 1 routine"));
    CHECK(left <= 0);
    const std::string brief = report_of(workers, [](std::size_t size) { return size == sizeof(snapshot::routine); });
    CHECK(brief == "ringo: deadlock");
  }
}

TEST_CASE("Routines that would not end are destroyed though there is no memory for their names") {
  std::string told;
  runtime_options how = with_workers(1);
  how.shutdown_grace = 1ms;
  how.on_warning = [&told](std::string_view text) {
    memory::refuses = nullptr;
    told += text;
  };
  run(
      []() -> task<> {
        go([]() -> task<> { co_await shield(sleep(1h)); });
        co_await yield();
        memory::refuses = +[](std::size_t size) { return size == sizeof(std::string); };  // of the list of names
      },
      how);
  memory::refuses = nullptr;
  CHECK(told.find("no memory for their names") != std::string::npos);
}

TEST_CASE("An await of another library's coroutine, for which there is no memory, throws, and can be tried again") {
  run([]() -> task<> {
    const auto once = []() -> foreign_task { co_await yield(); };
    foreign_task first = once();
    const auto awaits = [](foreign_task& of) -> task<> { co_await of; };
    bool failed = false;
    {
      task<> waits = awaits(first);
      const memory_is_refused now(everything);
      try {
        co_await std::move(waits);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
    CHECK(failed);
    co_await awaits(first);
    reached("the second attempt");
  });
}
