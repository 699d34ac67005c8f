#include "runtime/report.hpp"

#include <cxxabi.h>

#include <array>
#include <cstdio>
#include <memory>
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

void report_resumed_twice(const std::source_location& where) noexcept {
  std::fprintf(stderr,
               "ringo: the awaiter of another library that a task awaits at %s has resumed the task twice. An awaiter "
               "may resume the handle that its await_suspend gets once\n",
               place_of(where).c_str());
  end_process();
}

// Without memory of its own, if the program goes on: there may be none.
void report_unhandled(std::exception_ptr error, const std::source_location& started) noexcept {
  std::array<char, 1024> place{};
  if (started.line() != 0) {
    std::snprintf(place.data(), place.size(), " started at %s:%u", started.file_name(), started.line());
  }
  try {
    std::rethrow_exception(error);
  } catch (const cancelled&) {
    return;
  } catch (const disconnected&) {
    return;
  } catch (const std::system_error& e) {
    std::fprintf(stderr, "ringo: a routine%s has ended with an error: %s\n", place.data(), e.what());
    return;
  } catch (...) {
    std::fprintf(stderr, "ringo: unhandled exception%s%s: %s\n", place[0] != 0 ? " in a routine" : "", place.data(),
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
  std::shared_ptr<const decltype(runtime_options::on_unhandled)> handler;
  runtime_registry::with(runtime_id, [&handler](const runtime_core& rt) { handler = rt.unhandled; });
  if (handler == nullptr || *handler == nullptr) return report_unhandled(error, started);
  try {  // without the registry's lock
    (*handler)(error, started);
  } catch (...) {
    refuse_throwing_hook("on_unhandled");
  }
}

}  // namespace ringo::detail
