// Where a routine waits and where it was started: a report names the program's own file and line, whatever the
// primitive and however it is awaited.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <ringo/file.hpp>
#include <ringo/process.hpp>
#include <ringo/ringo.hpp>
#include <source_location>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "kept.hpp"
#include "states.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

struct row {
  const char* name;
  unsigned line;
  task<> (*program)();
  std::size_t routines = 1;  // how many there are while it waits
};

// The places that a line of a report names: whatever follows a file's name and a colon.
struct place {
  std::string file;
  unsigned line = 0;
};
std::vector<place> places_in(std::string_view text) {
  std::vector<place> found;
  for (std::size_t at = 0; (at = text.find("pp:", at)) != text.npos; at += 3) {
    const std::size_t begin = text.rfind(' ', at) + 1;
    place p;
    p.file = text.substr(begin, at + 2 - begin);
    for (std::size_t i = at + 3; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
      p.line = p.line * 10 + static_cast<unsigned>(text[i] - '0');
    }
    found.push_back(p);
  }
  return found;
}

// The routines other than main.
std::vector<snapshot::routine> routines_in(const snapshot& s) {
  std::vector<snapshot::routine> all = s.routines;
  std::erase_if(all, [](const snapshot::routine& r) { return r.is_main; });
  return all;
}

bool all_wait(const std::vector<snapshot::routine>& routines) {
  return !routines.empty() && std::all_of(routines.begin(), routines.end(),
                                          [](const snapshot::routine& r) { return r.state == snapshot::state::waits; });
}

// Each program is started by itself, and waits for ever at its row's line; the line at which it is started is the
// row's, too.
void check(const row& tried) {
  const std::string name = tried.name;
  CAPTURE(name);
  runtime_options quiet;
  quiet.workers = 1;
  quiet.on_warning = [](std::string_view) {};  // that a group is destroyed while its members run
  runtime rt(quiet);
  const snapshot taken = rt.run([&rt, &tried]() -> task<snapshot> {
    auto under_test = go(tried.program);
    snapshot last;
    // What is done by the kernel or by a thread takes its time. Where the routine never waits the check fails.
    for (int i = 0; i < 2000; ++i) {
      co_await yield();
      last = rt.snapshot();
      const auto routines = routines_in(last);
      if (i > 20 && routines.size() >= tried.routines && all_wait(routines)) break;
      if (i > 20) co_await sleep(1ms);
    }
    under_test.cancel();
    co_await under_test.wait();
    try {
      co_await under_test;
    } catch (...) {
    }
    co_return last;
  });
  const auto routines = routines_in(taken);
  const std::string report = to_text(taken);
  CAPTURE(report);
  CHECK(report.find("an unknown place") == report.npos);
  CHECK(routines.size() >= tried.routines);
  CHECK(all_wait(routines));
  for (const auto& r : routines) {
    REQUIRE(!r.chain.empty());
    CHECK(r.chain.front().line() == tried.line);
    CHECK(r.started.line() != 0);
    for (const std::source_location& at : r.chain) {
      CHECK(std::string_view(at.file_name()) == std::source_location::current().file_name());
    }
  }
}

template <class T>
std::conditional_t<detail::is_task<T>, T&&, T&> by_name(T& t) noexcept {
  return static_cast<std::conditional_t<detail::is_task<T>, T&&, T&>>(t);
}

class folder {
 public:
  folder() : path_((std::filesystem::temp_directory_path() / "ringo_places_XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

std::string fifo() {
  static const folder in;
  const std::string made = in.path() + "/fifo";
  (void)::mkfifo(made.c_str(), 0600);
  return made;
}
file opened_fifo() { return file::adopt(::open(fifo().c_str(), O_RDWR | O_CLOEXEC)); }

using four_bytes = std::array<std::byte, 4>;

auto offers_of(const channel<int>& a, const channel<int>& b) {
  std::vector<decltype(a.recv())> offers;
  offers.push_back(a.recv());
  offers.push_back(b.recv());
  return offers;
}

// A program that ends when its input does: also where the start is cancelled, and goes on in its thread.
process_options with_pipes() {
  process_options o;
  o.input = o.output = process_stream::pipe;
  return o;
}

const auto forever = [](auto...) { return never(); };
const auto forever_with = [](auto) { return never(); };

void send_from_a_thread(const channel<int>& c, std::source_location where) {
  std::thread([c, where] {
    try {
      c.send_blocking(1, where);
    } catch (const std::system_error&) {  // the runtime has ended
    }
  }).detach();
}

// A primitive, made ready by `Setup`, in each of the forms that leave it an operation or make a task of it.
#define LINE std::source_location::current().line()
#define PLAIN(Name, Setup, Awaited) \
  row {                             \
    Name, LINE, []() -> task<> {    \
      Setup;                        \
      (void)(co_await Awaited);     \
    }                               \
  }
#define NAMED(Name, Setup, Awaited)          \
  row {                                      \
    Name ", by name", LINE, []() -> task<> { \
      Setup;                                 \
      auto named = Awaited;                  \
      (void)(co_await by_name(named));       \
    }                                        \
  }
#define WRAPPED(Name, Setup, Awaited)                \
  row{Name ", in a select", LINE,                    \
      []() -> task<> {                               \
        Setup;                                       \
        (void)(co_await select(Awaited));            \
      }},                                            \
      row {                                          \
    Name ", in with_timeout", LINE, []() -> task<> { \
      Setup;                                         \
      (void)(co_await with_timeout(1h, Awaited));    \
    }                                                \
  }
#define ALL_FORMS(Name, Setup, Awaited) \
  PLAIN(Name, Setup, Awaited), NAMED(Name, Setup, Awaited), WRAPPED(Name, Setup, Awaited)
#define AT_ONCE(Name, Setup, Awaited) PLAIN(Name, Setup, Awaited), WRAPPED(Name, Setup, Awaited)

// With another routine that is started at the row, and waits in its name.
#define STARTED(Name, Setup) \
  row{Name, LINE,            \
      []() -> task<> {       \
        Setup;               \
        co_await never();    \
      },                     \
      2}
#define WITH_0_TO_6(Name, Setup, Call)                                                                           \
  STARTED(Name "(f)", Setup; Call(forever)), STARTED(Name "(f, 1)", Setup; Call(forever, 1)),                    \
      STARTED(Name "(f, 2)", Setup; Call(forever, 1, 2)), STARTED(Name "(f, 3)", Setup; Call(forever, 1, 2, 3)), \
      STARTED(Name "(f, 4)", Setup; Call(forever, 1, 2, 3, 4)),                                                  \
      STARTED(Name "(f, 5)", Setup; Call(forever, 1, 2, 3, 4, 5)),                                               \
      STARTED(Name "(f, 6)", Setup; Call(forever, 1, 2, 3, 4, 5, 6))

}  // namespace

// clang-format off
TEST_CASE("A report names the program's own line for whatever primitive a routine waits for, in every form") {
  const std::vector<row> rows{
      ALL_FORMS("recv", channel<int> c, c.recv()),
      ALL_FORMS("send", channel<int> c, c.send(1)),
      ALL_FORMS("emplace", channel<std::string> c, c.emplace("text")),
      ALL_FORMS("sleep", , sleep(1h)),
      ALL_FORMS("sleep_until", , sleep_until(now() + 1h)),
      ALL_FORMS("timer", timer t(1h), t.wait()),
      ALL_FORMS("ticker", ticker t(1h), t.tick()),
      ALL_FORMS("mutex", mutex m; const auto held = co_await m.lock(), m.lock()),
      ALL_FORMS("shared_mutex::lock", shared_mutex m; const auto held = co_await m.lock(), m.lock()),
      ALL_FORMS("shared_mutex::lock_shared", shared_mutex m; const auto held = co_await m.lock(), m.lock_shared()),
      ALL_FORMS("semaphore", semaphore s(0), s.acquire()),
      ALL_FORMS("condition::wait", mutex m; condition c; auto held = co_await m.lock(), c.wait(held)),
      ALL_FORMS("condition::wait until", mutex m; condition c; auto held = co_await m.lock(); const auto never_true = [] { return false; }, c.wait(held, never_true)),
      ALL_FORMS("event", event e, e.wait()),
      ALL_FORMS("latch", latch l(1), l.wait()),
      ALL_FORMS("barrier", barrier b(2), b.arrive_and_wait()),
      ALL_FORMS("once::call of an operation", once o; channel<int> c; const auto receive = [&] { return c.recv(); }, o.call(receive)),
      ALL_FORMS("once::call of a task", once o; const auto wait = []() -> task<> { co_await sleep(1h); }, o.call(wait)),
      ALL_FORMS("wait_group", wait_group w; w.add(), w.wait()),
      ALL_FORMS("group::wait", group g; g.go(forever), g.wait()),
      ALL_FORMS("group::slot", group g; g.limit(1); g.go(forever), g.slot()),
      ALL_FORMS("join", auto h = go(forever), h.join()),
      ALL_FORMS("finished", auto h = go(forever), h.wait()),
      ALL_FORMS("context::wait", const context c = context::with_cancel(), c.wait()),
      ALL_FORMS("signals", const signals s({SIGUSR2}), s.recv()),
      ALL_FORMS("completion", completion<int> c; const auto setter = c.setter(), c.join()),
      ALL_FORMS("never", , never()),
      ALL_FORMS("submit", worker_pool p({.max = 1}); const auto running = co_await p.submit(forever); const auto job = [] {}, p.submit(job)),
      ALL_FORMS("drain", worker_pool p({.max = 1}); const auto running = co_await p.submit(forever), p.drain()),
      AT_ONCE("select_any", channel<int> a; channel<int> b; auto offers = offers_of(a, b), select_any(offers)),
  };
  for (const row& each : rows) check(each);
}

TEST_CASE("A report names the program's own line where a routine waits for the world outside") {
  const std::vector<row> rows{
      ALL_FORMS("a stream's recv", auto s = unix_stream::pair(), s.first.recv()),
      ALL_FORMS("a stream's read", auto s = unix_stream::pair(); four_bytes into, s.first.read(into)),
      ALL_FORMS("a stream's read_exactly", auto s = unix_stream::pair(); four_bytes into, s.first.read_exactly(into)),
      ALL_FORMS("a stream's send", auto s = unix_stream::pair(); const std::string much(1 << 24, 'x'), s.first.send(much)),
      ALL_FORMS("accept", auto l = tcp_listener::bind("127.0.0.1:0"), l.accept()),
      ALL_FORMS("udp", auto s = udp_socket::bind("127.0.0.1:0"), s.recv()),
      ALL_FORMS("a pipe's recv", pipe_pair p, p.reader.recv()),
      ALL_FORMS("readable", pipe_pair p, readable(p.reader.native_handle())),
      ALL_FORMS("process::wait", auto p = co_await process::start({"cat"}, with_pipes()), p.wait()),
      ALL_FORMS("file::open of a FIFO", const std::string path = fifo(), file::open(path)),
      ALL_FORMS("read_file of a FIFO", const std::string path = fifo(), read_file(path)),
      ALL_FORMS("write_file of a FIFO", const std::string path = fifo(), write_file(path, "text")),
      AT_ONCE("file_reader::recv of a FIFO", const file f = opened_fifo(); const auto in = f.reader(), in.recv()),
      AT_ONCE("a file's read_line of a FIFO", const file f = opened_fifo(); buffered_reader in(f), in.read_line()),
      AT_ONCE("read_line", pipe_pair p; buffered_reader in(p.reader), in.read_line()),
      AT_ONCE("a buffered read", pipe_pair p; buffered_reader in(p.reader), in.read_exactly(3)),
      AT_ONCE("a source of lines", pipe_pair p; buffered_reader in(p.reader); const auto lines = in.lines(), lines.recv()),
      AT_ONCE("flush", channel<std::string> c; buffered_writer out(c); co_await out.write("text"), out.flush()),
      ALL_FORMS("write", channel<std::string> c; buffered_writer out(c, 4), out.write("more ", "than 4")),
      AT_ONCE("flush to a stream", auto s = unix_stream::pair(); buffered_writer out(s.first, 1 << 25); co_await out.write(std::string(1 << 24, 'x')), out.flush()),
      AT_ONCE("write to a stream", auto s = unix_stream::pair(); buffered_writer out(s.first, 4); const std::string much(1 << 24, 'x'), out.write("", much)),
  };
  for (const row& each : rows) check(each);
}

TEST_CASE("A report names the program's own line in every combinator") {
#define IN(Name, ...) row{Name, LINE, []() -> task<> { channel<int> c; (void)(co_await __VA_ARGS__); }}
  const std::vector<row> rows{
      IN("with_deadline", with_deadline(now() + 1h, c.recv())),
      IN("with_context", with_context(context::with_cancel(), c.recv())),
      IN("outcome", outcome(c.recv())),
      IN("shield and with_timeout", with_timeout(1h, outcome(c.recv()))),
      IN("finally", finally(c.recv(), sleep(1ms))),
      IN("all", all(c.recv(), sleep(1h))),
      IN("a select of two", select(c.recv(), sleep(1h))),
      IN("a select with otherwise's relatives", select(prefer_first, c.recv(), sleep(1h))),
      IN("a select of tasks", select(with_timeout(1h, outcome(c.recv())), c.recv())),
      IN("a handler", select(on(c.recv(), [](auto) {}), on(sleep(1h), [] {}))),
      IN("a bounded case", select(with_timeout(1h, c.recv()), with_context(context::with_cancel(), c.recv()))),
  };
  for (const row& each : rows) check(each);
}

TEST_CASE("A report names the program's own line where routines were started, however they were") {
  const std::vector<row> rows{
      WITH_0_TO_6("go", , (void)go),
      STARTED("go of a task", const auto sleeping = []() -> task<> { co_await sleep(1h); }; (void)go(sleeping())),
      STARTED("go under a context", (void)go(context::background(), forever, 1, 2, 3, 4, 5, 6, 7, 8)),
      WITH_0_TO_6("group::go", group g, g.go),
      WITH_0_TO_6("group::try_go", group g, (void)g.try_go),
      WITH_0_TO_6("group::background", group g, g.background),
      WITH_0_TO_6("wait_group::go", wait_group& w = *kept(new wait_group), w.go),
      WITH_0_TO_6("worker_pool::submit", worker_pool p, (void)co_await p.submit),
      WITH_0_TO_6("runtime_ref::go", , (void)runtime::current().go),
      STARTED("after_func", const context c = context::with_cancel(); (void)c.after_func(forever); c.cancel()),
      STARTED("the routine of a thread that waits", channel<int> c; c.try_recv(); send_from_a_thread(c, std::source_location::current())),
      STARTED("map", channel<int> in; const auto out = map(in, 1, forever_with)),
      STARTED("map that awaits", channel<int> in(1); in.try_send(1); const auto out = map(in, 1, forever_with)),
      STARTED("map in order", channel<int> in; const auto out = map(in, 2, forever_with, {.ordered = true})),
      STARTED("merge of one", channel<int> a; const auto out = merge(a)),
      STARTED("merge", channel<int> a; channel<int> b; const auto out = merge(a, b)),
      STARTED("tee", channel<int> in; const auto out = tee(in, 2)),
      STARTED("tee that sends", channel<int> in(1); in.try_send(1); const auto out = tee(in, 2)),
      STARTED("take", channel<int> in; const auto out = take(in, 1)),
      STARTED("batch", channel<int> in; const auto out = batch(in, 2, 1h)),
      STARTED("batch that waits for more", channel<int> in(1); in.try_send(1); const auto out = batch(in, 2, 1h)),
      STARTED("generate", const auto out = generate(std::string("text"))),
      STARTED("lines of a FIFO", const auto out = lines(fifo())),
  };
  for (const row& each : rows) check(each);
}

TEST_CASE("A report names the program's own line where runtime::go has started a routine, and where main awaits") {
  runtime rt({.workers = 1});
  const unsigned started = LINE + 1;
  (void)rt.go(forever, 1, 2, 3, 4, 5, 6);
  const unsigned run = LINE + 2;
  try {
    rt.run(forever);
    FAIL("it ends in a deadlock");
  } catch (const deadlock& e) {
    const std::string report = e.what();
    CAPTURE(report);
    CHECK(report.find("an unknown place") == report.npos);
    const auto places = places_in(report);
    std::vector<unsigned> lines;
    for (const place& p : places) {
      CHECK(p.file == std::source_location::current().file_name());
      lines.push_back(p.line);
    }
    CHECK(std::count(lines.begin(), lines.end(), started) == 2);
    CHECK(std::count(lines.begin(), lines.end(), run) == 1);
  }
}

TEST_CASE("A report names the program's own line where the main routine of a simulation awaits") {
  const unsigned simulated = LINE + 2;
  try {
    testing::simulate({.seed = 1}, forever);
    FAIL("it ends in a deadlock");
  } catch (const deadlock& e) {
    const auto places = places_in(e.what());
    REQUIRE(places.size() == 1);
    CHECK(places.front().file == std::source_location::current().file_name());
    CHECK(places.front().line == simulated);
  }
}
// clang-format on
