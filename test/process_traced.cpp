// Programs that another process traces: they have ended for the tracer first.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <cstdlib>
#include <ringo/process.hpp>
#include <ringo/ringo.hpp>
#include <utility>

#include "network.hpp"
#include "started_programs.hpp"
#include "states.hpp"

using namespace std::chrono_literals;
using ringo::process_stream;

namespace {

// A process that traces another one with ptrace(2), and lets the end of that one be seen only when it is told to.
class tracer {
 public:
  explicit tracer(int traced) {
    int orders[2], answers[2];
    if (::pipe2(orders, O_CLOEXEC) != 0 || ::pipe2(answers, O_CLOEXEC) != 0) std::abort();
    id_ = ::fork();
    if (id_ < 0) std::abort();
    if (id_ == 0) {
      ::close(orders[1]);
      char byte = ::ptrace(PTRACE_SEIZE, traced, nullptr, nullptr) == 0 ? 'y' : 'n';
      (void)!::write(answers[1], &byte, 1);
      (void)!::read(orders[0], &byte, 1);  // ends, too, when the test is gone
      int status;
      while (::waitpid(traced, &status, __WALL) == traced && WIFSTOPPED(status)) {
        ::ptrace(PTRACE_CONT, traced, nullptr, WSTOPSIG(status));
      }
      ::_exit(0);
    }
    ::close(orders[0]);
    ::close(answers[1]);
    char byte = 'n';
    seized_ = ::read(answers[0], &byte, 1) == 1 && byte == 'y';
    ::close(answers[0]);
    order_ = orders[1];
  }
  tracer(const tracer&) = delete;
  tracer& operator=(const tracer&) = delete;
  ~tracer() { let_go(); }

  bool seized() const { return seized_; }
  void let_go() {
    if (order_ < 0) return;
    (void)!::write(order_, "", 1);  // closing it is not enough: a tracer that was made later has it, too
    ::close(std::exchange(order_, -1));
    ::waitpid(id_, nullptr, 0);
  }

 private:
  pid_t id_ = -1;
  int order_ = -1;
  bool seized_ = false;
};

// Times this process has been given a CPU: what waits in a loop is given it without end.
std::chrono::microseconds cpu_time() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

}  // namespace

TEST_CASE("a child that is traced has ended when its tracer lets its end be seen, and not before") {
  on_the_network([]() -> ringo::task<> {
    ringo::process_options o;
    o.input = process_stream::pipe;
    ringo::process p = co_await ringo::process::start(shell("read line; exit 7"), o);
    tracer t(p.id());
    REQUIRE(t.seized());
    co_await p.input().send("go\n");
    co_await until_zombie(p.id());
    // Two that wait, of which one loses meanwhile.
    auto either = co_await ringo::select(p.wait(), ringo::sleep(20ms));
    CHECK(either.index() == 1);
    auto waits =
        ringo::go([](ringo::process& of) -> ringo::task<int> { co_return (co_await of.wait()).status(); }, std::ref(p));
    co_await until_parked("the end of process");
    CHECK_FALSE(waits.is_done());
    CHECK_FALSE(p.kill(SIGTERM));  // it has ended, though its end is not to be had
    t.let_go();
    const int status = co_await waits;
    CHECK(status == 7);
    const ringo::exit_status end = co_await p.wait();
    CHECK(end.signal() == 0);
  });
  CHECK_FALSE(has_children());
}

TEST_CASE("waiting for the end of a traced child costs next to no time of a CPU, and neither does its reaping") {
  on_real_schedulers([]() -> ringo::task<> {
    ringo::process_options o;
    o.input = process_stream::pipe;
    ringo::process kept = co_await ringo::process::start(shell("read line; exit 7"), o);
    tracer first(kept.id());
    ringo::pipe_writer feed;
    int dropped;
    {
      ringo::process p = co_await ringo::process::start(shell("read line; exit 8"), o);
      dropped = p.id();
      feed = std::move(p.input());
    }
    tracer second(dropped);
    REQUIRE(first.seized());
    REQUIRE(second.seized());
    co_await kept.input().send("go\n");
    co_await feed.send("go\n");
    co_await until_zombie(kept.id());
    co_await until_zombie(dropped);
    const auto before = cpu_time();
    auto either = co_await ringo::select(kept.wait(), ringo::sleep(500ms));
    CHECK(either.index() == 1);
    CHECK(cpu_time() - before < 250ms);  // one that waits in a loop takes 500 ms, two take a second
    first.let_go();
    second.let_go();
    const ringo::exit_status end = co_await kept.wait();
    CHECK(end.status() == 7);
    while (has_children()) co_await ringo::sleep(1ms);
  });
}
