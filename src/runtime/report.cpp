#include "runtime/report.hpp"

#include <cxxabi.h>

#include <cstdio>
#include <system_error>
#include <typeinfo>

#include <ringo/detail/current_worker.hpp>
#include <ringo/errors.hpp>

#include "platform/code_names.hpp"
#include "platform/end_process.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

std::string type_name() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type == nullptr ? "an exception" : demangled(type->name());
}

}  // namespace

std::string place_of(const std::source_location& at) {
  if (at.line() == 0) return "an unknown place";
  return at.file_name() + (':' + std::to_string(at.line()));
}

std::string length_of(duration time) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  if (milliseconds < 10'000) return std::to_string(milliseconds) + " ms";
  const auto seconds = milliseconds / 1000;
  if (seconds < 600) return std::to_string(seconds) + " s";
  return seconds < 36'000 ? std::to_string(seconds / 60) + " min" : std::to_string(seconds / 3600) + " h";
}

std::string describe_current_exception() {
  try {
    throw;
  } catch (const cancelled& e) {
    return e.what();
  } catch (const std::exception& e) {
    return type_name() + ": " + e.what();
  } catch (...) {
    return type_name();
  }
}

const char* const forgotten_body =
    "was compiled wrongly: g++ before 12.3 forgets the whole body of a coroutine that has no local variable and a "
    "co_await in the condition of an if or of a loop. Give the result of that co_await a name first: bool more = "
    "co_await next(); if (more) ...\n";

void report_forgotten(const routine& r) noexcept {
  std::fprintf(stderr,
               "ringo: a coroutine has done nothing, and given back neither a result nor its turn. It, or what it "
               "awaits, %s  It runs in the routine started at %s\n",
               forgotten_body, place_of(r.started).c_str());
  end_process();
}

void report_resumed_by_foreign() noexcept {
  std::fputs(
      "ringo: a task awaited a coroutine of another library, which waited for something of ringo's and then resumed "
      "the task itself. The task's routine cannot end like this. Let that coroutine set a completion when it ends, and "
      "let the task await the completion (docs/threads.md)\n",
      stderr);
  end_process();
}

void report_unhandled(std::exception_ptr error, const std::source_location& started) noexcept {
  std::string place;
  if (started.line() != 0) {
    place = " started at " + place_of(started);
  }
  const std::string in_routine = place.empty() ? place : " in a routine" + place;
  try {
    std::rethrow_exception(error);
  } catch (const cancelled&) {
    return;
  } catch (const disconnected&) {
    return;
  } catch (const std::system_error& e) {
    std::fprintf(stderr, "ringo: a routine%s has ended with an error: %s\n", place.c_str(), e.what());
    return;
  } catch (...) {
    std::fprintf(stderr, "ringo: unhandled exception%s: %s\n", in_routine.c_str(),
                 describe_current_exception().c_str());
    end_process();
  }
}

void refuse_throwing_hook(const char* name) noexcept {
  std::fprintf(stderr, "ringo: runtime_options::%s has thrown, which it must not: %s\n", name,
               describe_current_exception().c_str());
  end_process();
}

void report_unhandled(std::uint64_t runtime_id, std::exception_ptr error,
                      const std::source_location& started) noexcept {
  decltype(runtime_options::on_unhandled) handler;  // copied, so that it runs without the registry's lock
  runtime_registry::with(runtime_id, [&](runtime_core& rt) { handler = rt.settings.on_unhandled; });
  if (!handler) return report_unhandled(error, started);
  try {
    handler(error, started);
  } catch (...) {
    refuse_throwing_hook("on_unhandled");
  }
}

}  // namespace ringo::detail
