// Functions that start routines note where they are called, whatever the number of arguments.
#include <doctest/doctest.h>

#include <source_location>
#include <string>

#include <ringo/go.hpp>
#include <ringo/group.hpp>
#include <ringo/run.hpp>
#include <ringo/wait_group.hpp>
#include <ringo/worker_pool.hpp>

using namespace ringo;

namespace {

// Checks where the running routine was started.
void check_started_at(unsigned line) {
  const std::source_location& there = detail::current_worker()->current->started;
  CHECK(std::string(there.file_name()) == __FILE__);
  CHECK(there.line() == line);
}
constexpr auto checks = [](unsigned line, auto...) { check_started_at(line); };
task<> checks_in_task(unsigned line) {
  check_started_at(line);
  co_return;
}

// START with 0 to 8 arguments, in one line.
#define WITH_EACH_COUNT(START)                  \
  START([] { check_started_at(__LINE__); });    \
  START(checks, __LINE__);                      \
  START(checks, __LINE__, 2);                   \
  START(checks, __LINE__, 2, 3);                \
  START(checks, __LINE__, 2, 3, 4);             \
  START(checks, __LINE__, 2, 3, 4, 5);          \
  START(checks, __LINE__, 2, 3, 4, 5, 6);       \
  START(checks, __LINE__, 2, 3, 4, 5, 6, 7);    \
  START(checks, __LINE__, 2, 3, 4, 5, 6, 7, 8); \
  START(checks_in_task(__LINE__))

}  // namespace

TEST_CASE("Whatever starts a routine notes where it is called, with 0 to 8 arguments and with a task") {
  int ended = 0;
  const auto main = [&ended]() -> task<> {
#define GO(...) co_await go(__VA_ARGS__), ++ended
    WITH_EACH_COUNT(GO);
#define GO_UNDER(...) co_await go(current_context(), __VA_ARGS__), ++ended
    WITH_EACH_COUNT(GO_UNDER);

    group members;
#define MEMBER(...) members.go(__VA_ARGS__)
    WITH_EACH_COUNT(MEMBER);
#define TRIED(...) ended += members.try_go(__VA_ARGS__) ? 1 : 0
    WITH_EACH_COUNT(TRIED);
#define BACKGROUND(...) members.background(__VA_ARGS__)
    WITH_EACH_COUNT(BACKGROUND);
    co_await members.wait();

    wait_group counted;
#define COUNTED(...) counted.go(__VA_ARGS__)
    WITH_EACH_COUNT(COUNTED);
    co_await counted.wait();

    worker_pool pool;
#define JOB(...) co_await (co_await pool.submit(__VA_ARGS__)), ++ended
    WITH_EACH_COUNT(JOB);

    const runtime_ref here = runtime::current();
#define BY_REFERENCE(...) co_await here.go(__VA_ARGS__), ++ended
    WITH_EACH_COUNT(BY_REFERENCE);
  };
  runtime outside({.workers = 1});
#define OUTSIDE(...) outside.go(__VA_ARGS__)
  WITH_EACH_COUNT(OUTSIDE);
  outside.run(main);
  CHECK(ended == 50);
}
