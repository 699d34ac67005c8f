#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <ringo/process.hpp>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "error_told.hpp"
#include "network.hpp"
#include "reached.hpp"
#include "running_child.hpp"
#include "started_programs.hpp"
#include "states.hpp"

using namespace std::chrono_literals;
using ringo::process_stream;

namespace {

ringo::task<std::string> output_of(strings arguments, ringo::process_options o) {
  o.output = process_stream::pipe;
  ringo::process p = co_await ringo::process::start(std::move(arguments), o);
  std::string all = co_await read_all(p.output());
  co_await p.wait();
  co_return all;
}

// What the reaper of an earlier test still closes, after the zombie has gone, is not in it.
const auto at_start = open_descriptors();

}  // namespace

TEST_CASE("a program's output is read, and its end waited for, as often as is wanted") {
  on_the_network([]() -> ringo::task<> {
    ringo::process_options o;
    o.output = process_stream::pipe;
    ringo::process p = co_await ringo::process::start(shell("echo hello; exit 7"), o);
    CHECK(p.id() > 0);
    CHECK_FALSE(static_cast<bool>(p.input()));
    const std::string text = co_await read_all(p.output());
    CHECK(text == "hello\n");
    for (int i = 0; i < 2; ++i) {
      const ringo::exit_status end = co_await p.wait();
      CHECK(end.status() == 7);
      CHECK(end.signal() == 0);
      CHECK_FALSE(end.success());
    }
    CHECK_FALSE(p.kill(SIGTERM));
  });
}

TEST_CASE("a program is fed by a pipe, and knows its end when the writer has gone") {
  on_the_network([]() -> ringo::task<> {
    const std::string text(300'000, 'x');  // more than the pipes hold
    ringo::process_options o;
    o.input = o.output = process_stream::pipe;
    const strings cat = {"cat"};
    ringo::process p = co_await ringo::process::start(cat, o);
    auto feeding =
        ringo::go([](ringo::pipe_writer to, const std::string& all) -> ringo::task<> { co_await to.send(all); },
                  std::move(p.input()), std::cref(text));
    const std::string back = co_await read_all(p.output());
    CHECK((back == text));
    co_await feeding;
    const ringo::exit_status end = co_await p.wait();
    CHECK(end.success());
  });
}

TEST_CASE("errors have a pipe of their own, or the output's, or none") {
  on_the_network([]() -> ringo::task<> {
    ringo::process_options o;
    o.output = process_stream::null;
    o.error = process_stream::pipe;
    ringo::process p = co_await ringo::process::start(shell("echo out; echo err >&2"), o);
    const std::string errors = co_await read_all(p.error());
    CHECK(errors == "err\n");
    co_await p.wait();
    ringo::process_options together;
    together.error_to_output = true;
    const std::string both = co_await output_of(shell("echo out; echo err >&2"), together);
    CHECK(both == "out\nerr\n");
    ringo::process_options silent;
    silent.input = silent.error = process_stream::null;
    const std::string neither = co_await output_of(shell("cat; echo err >&2"), silent);
    CHECK(neither.empty());
  });
}

TEST_CASE("environment and directory are as asked for") {
  on_the_network([]() -> ringo::task<> {
    const strings more = {"RINGO_X=1 2", "HOME=/nowhere"};
    ringo::process_options o;
    o.environment = more;
    o.directory = "/";
    const std::string text = co_await output_of(shell("echo $RINGO_X,$HOME,$PWD,${PATH:+path}"), o);
    CHECK(text == "1 2,/nowhere,/,path\n");
    o.inherits_environment = false;
    const strings env = {"env"};
    const std::string all = co_await output_of(env, o);
    CHECK(all == "RINGO_X=1 2\nHOME=/nowhere\n");
  });
}

TEST_CASE(
    "a waiter waits while the program runs, loses a select without effect, and learns which signal has ended it") {
  on_the_network([]() -> ringo::task<> {
    const strings sleep = {"sleep", "1000"};
    ringo::process p = co_await ringo::process::start(sleep);
    auto either = co_await ringo::select(p.wait(), ringo::sleep(1ms));
    CHECK(either.index() == 1);
    auto other = ringo::go(
        [](ringo::process& of) -> ringo::task<int> {
          const ringo::exit_status end = co_await of.wait();
          co_return end.signal();
        },
        std::ref(p));
    CHECK(p.kill(SIGTERM));
    const ringo::exit_status end = co_await p.wait();
    CHECK(end.signal() == SIGTERM);
    CHECK(end.status() == -1);
    const int heard = co_await other;
    CHECK(heard == SIGTERM);
  });
}

TEST_CASE("a program that cannot be started says which, and leaves nothing") {
  on_the_network([]() -> ringo::task<> {
    const auto why = [](strings arguments, ringo::process_options o) -> ringo::task<std::string> {
      auto r = co_await ringo::outcome(ringo::process::start(std::move(arguments), o));
      co_return told(r);
    };
    ringo::process_options o;
    o.input = o.output = o.error = process_stream::pipe;
    const strings none = {"ringo-no-such-program"};
    const std::string missing = co_await why(none, o);
    CHECK(missing.find("ringo-no-such-program") != std::string::npos);
    CHECK(missing.find("No such file") != std::string::npos);
    o.directory = "/ringo-no-such-directory";
    const strings yes = {"true"};
    const std::string nowhere = co_await why(yes, o);
    CHECK(nowhere.find("in \"/ringo-no-such-directory\"") != std::string::npos);
  });
  CHECK_FALSE(has_children());
  CHECK_THROWS_AS((void)ringo::process::start({}), std::invalid_argument);
  CHECK_THROWS_AS((void)ringo::process::start({"a", std::string("b\0c", 3)}), std::invalid_argument);
  const strings wrong = {"NAME"};
  ringo::process_options o;
  o.environment = wrong;
  CHECK_THROWS_AS((void)ringo::process::start({"true"}, o), std::invalid_argument);
  CHECK_THROWS_AS(ringo::process().kill(SIGTERM), std::logic_error);
  CHECK_THROWS_AS((void)ringo::process().wait(), std::logic_error);
}

TEST_CASE("a program whose object goes runs on, and leaves no zombie and no descriptor") {
  const auto threads = [] {
    const std::filesystem::directory_iterator all("/proc/self/task");
    return std::distance(begin(all), end(all));
  };
  const auto threads_before = threads();
  on_real_schedulers([]() -> ringo::task<> {
    ringo::process_options o;
    o.input = process_stream::pipe;
    o.output = process_stream::pipe;
    ringo::pipe_writer feed;
    ringo::pipe_reader back;
    {
      const strings cat = {"cat"};
      ringo::process p = co_await ringo::process::start(cat, o);
      feed = std::move(p.input());
      back = std::move(p.output());
    }
    co_await feed.send("still there");
    auto c = co_await back.recv();
    CHECK(c->text() == "still there");
    feed = {};  // it ends
    auto none = co_await back.recv();
    CHECK_FALSE(none.has_value());
    while (has_children()) co_await ringo::sleep(100us);
  });
  while (open_descriptors() != at_start || threads() > threads_before) std::this_thread::yield();
}

TEST_CASE("running programs that nobody waits for hide no deadlock, and outlive their runtime") {
  ringo::process kept;
  int dropped = 0;
  bool found = false;
  try {
    ringo::run([&]() -> ringo::task<> {
      const strings sleep = {"sleep", "1000"};
      kept = co_await ringo::process::start(sleep);
      {
        const ringo::process p = co_await ringo::process::start(sleep);
        dropped = p.id();
      }
      co_await ringo::never();
    });
  } catch (const ringo::deadlock&) {
    found = true;
  }
  CHECK(found);
  CHECK(::kill(dropped, 0) == 0);
  CHECK(kept.kill(SIGKILL));
  const ringo::exit_status end =
      ringo::run([&]() -> ringo::task<ringo::exit_status> { co_return co_await kept.wait(); });
  CHECK(end.signal() == SIGKILL);
  // The end of the other is taken note of, though no runtime runs: a zombie would still be there to be signalled.
  kept = {};
  ::kill(dropped, SIGKILL);
  while (::kill(dropped, 0) == 0 || open_descriptors() != at_start) std::this_thread::yield();
}

TEST_CASE("a start that is cancelled leaves no zombie and no descriptor") {
  on_real_schedulers([]() -> ringo::task<> {
    for (int i = 0; i < 20; ++i) {
      ringo::process_options o;
      o.input = o.output = process_stream::pipe;
      auto h = ringo::go(
          [](ringo::process_options how) -> ringo::task<> {
            const strings cat = {"cat"};
            ringo::process p = co_await ringo::process::start(cat, how);
            co_await p.wait();
          },
          o);
      for (int k = 0; k < i % 4; ++k) co_await ringo::yield();
      h.cancel();
      co_await h.wait();
    }
    while (has_children()) co_await ringo::sleep(100us);
    reached("every child has been waited for");
  });
  while (open_descriptors() != at_start) std::this_thread::yield();
  reached("every descriptor is closed");
}

TEST_CASE("of many programs that run at once each has its own end; of those that are dropped none is left") {
  on_real_schedulers([]() -> ringo::task<> {
    ringo::group g;
    for (int i = 0; i < 24; ++i) {
      g.go(
          [](int n) -> ringo::task<> {
            const bool ends_itself = n % 3 == 0;
            const strings what = ends_itself ? shell("exit " + std::to_string(n)) : strings{"sleep", "1000"};
            ringo::process p = co_await ringo::process::start(what);
            if (!ends_itself) CHECK(p.kill(SIGTERM));
            if (n % 3 == 1) co_return;
            const ringo::exit_status end = co_await p.wait();
            CHECK(end.status() == (ends_itself ? n : -1));
            CHECK(end.signal() == (ends_itself ? 0 : SIGTERM));
            CHECK_FALSE(p.kill(SIGTERM));
          },
          i);
    }
    co_await g.wait();
    while (has_children()) co_await ringo::sleep(100us);
  });
  while (open_descriptors() != at_start) std::this_thread::yield();
}

TEST_CASE("where others take every child's end, a wait says so") {
  const child_end end = run_in_a_child([] {
    ::signal(SIGCHLD, SIG_IGN);
    const std::string got = ringo::run([]() -> ringo::task<std::string> {
      const strings sleep = {"sleep", "0.05"};
      ringo::process p = co_await ringo::process::start(sleep);
      auto o = co_await ringo::outcome(p.wait());
      co_return told(o);
    });
    return got.find("SIGCHLD is ignored") != std::string::npos ? 0 : 1;
  });
  CHECK(end.exited);
  CHECK((end.status == 0));
}

TEST_CASE("a program has SIGPIPE as it was before run, and no other descriptor") {
  on_the_network([]() -> ringo::task<> {
    ringo::pipe_pair mine;
    const std::string blocked = co_await output_of(shell("grep SigBlk /proc/self/status"), {});
    CHECK(blocked.find("0000000000000000") != std::string::npos);
    const std::string open = co_await output_of(shell("ls -l /proc/self/fd"), {});
    CHECK(open.find("anon_inode") == std::string::npos);
    const std::string pipe =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(mine.writer.native_handle())).string();
    CHECK(open.find(pipe) == std::string::npos);
  });
}

TEST_CASE("a simulation has no processes") {
  bool refused = false;
  ringo::testing::simulate({}, [&]() -> ringo::task<> {
    try {
      const strings yes = {"true"};
      co_await ringo::process::start(yes);
    } catch (const std::logic_error&) {
      refused = true;
    }
  });
  CHECK(refused);
}

TEST_CASE("a signal for a program that has ended is refused, though its end has not been waited for") {
  on_the_network([]() -> ringo::task<> {
    const strings yes = {"true"};
    ringo::process p = co_await ringo::process::start(yes);
    co_await until_zombie(p.id());
    CHECK_FALSE(p.kill(SIGTERM));
    CHECK_FALSE(p.kill(SIGKILL));
    const ringo::exit_status end = co_await p.wait();
    CHECK(end.success());
    CHECK_FALSE(p.kill(SIGKILL));
  });
}

TEST_CASE("a start is awaited by name, once, and is a case of a select by name") {
  on_the_network([]() -> ringo::task<> {
    auto start = ringo::process::start({"true"});
    const ringo::process first = co_await start;
    const ringo::exit_status end = co_await first.wait();
    CHECK(end.success());
    CHECK_THROWS_AS((void)co_await start, std::logic_error);
    auto as_case = ringo::process::start({"true"});
    auto won = co_await ringo::select(as_case, ringo::never());
    REQUIRE(won.index() == 0);
    auto waiting = std::get<0>(won).wait();
    const ringo::exit_status other = co_await waiting;
    CHECK(other.success());
  });
}
