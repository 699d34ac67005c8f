#include "runtime/report.hpp"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <typeinfo>

#include <ringo/detail/current_worker.hpp>
#include <ringo/errors.hpp>

#include "platform/end_process.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

std::string type_name() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "an exception";
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status),
                                                    std::free);
  return name ? name.get() : type->name();
}

}  // namespace

std::string place_of(const std::source_location& at) {
  if (at.line() == 0) return "an unknown place";
  return at.file_name() + (':' + std::to_string(at.line()));
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

void describe_routine(std::string& text, routine& r, bool is_main) {
  text += is_main ? "  main routine" : "  routine";
  // `inspected` keeps claimers away while the parked operation is read (routine.hpp). With one worker there are none.
  std::uint32_t seen = r.state.load(std::memory_order_acquire);
  bool parked = false;
  while (seen & routine::waiting) {
    if (seen & routine::inspected) break;  // another report has it
    if (r.state.compare_exchange_weak(seen, seen | routine::inspected, std::memory_order_acq_rel)) {
      parked = true;
      break;
    }
  }
  if (parked) {
    const struct let_go {
      routine& of;
      ~let_go() { of.state.fetch_and(~routine::inspected, std::memory_order_release); }
    } on_every_way_out{r};  // there may be no memory for the text
    text += ": waits for ";
    r.parked->describe(*r.parked, text);
    text += ", at ";
    text += place_of(r.parked->where);
  } else {
    text += (seen & routine::waiting) ? ": waits" : ": runs, or is ready to";
  }
  if (seen & (routine::cancelled | routine::context_cancelled)) text += " (cancelled)";
  if (!is_main) {
    text += "; started at ";
    text += place_of(r.started);
  }
  if (const std::uint32_t ended = r.ended_awaits(); ended > 0) {
    text += "; ";
    if (ended == routine::most_ended) text += "at least ";
    text += std::to_string(ended);
    text += ended == 1 ? " await has ended with `cancelled`" : " awaits have ended with `cancelled`";
  }
  text += '\n';
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
