#include "runtime/report.hpp"

#include <cstdio>
#include <system_error>
#include <typeinfo>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include <ringo/detail/worker.hpp>
#include <ringo/errors.hpp>
#include <ringo/task.hpp>

#include "driver/end_process.hpp"

namespace ringo::detail {
namespace {

void add_place(std::string& text, const std::source_location& at) { text += place_of(at); }

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
  // `inspected` keeps claimers away while the parked operation is read (routine.hpp); with one worker nobody else
  // claims.
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
    add_place(text, r.parked->where);
  } else {
    text += (seen & routine::waiting) ? ": waits" : ": runs, or is ready to";
  }
  if (seen & (routine::cancelled | routine::context_cancelled)) text += " (cancelled)";
  if (!is_main) {
    text += "; started at ";
    add_place(text, r.started);
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

std::exception_ptr no_value(const std::source_location& started) noexcept {
  try {
    return std::make_exception_ptr(std::logic_error(
        "ringo: a task that has a result has ended without co_return, in the routine started at " + place_of(started)));
  } catch (...) {
    return std::current_exception();
  }
}
void throw_no_value() {
  const worker* w = current_worker();
  std::rethrow_exception(
      no_value(w != nullptr && w->current != nullptr ? w->current->started : std::source_location()));
}

void report_unhandled(std::exception_ptr error, const std::source_location& started) noexcept {
  std::string place;
  if (started.line() != 0) {
    place = " started at ";
    add_place(place, started);
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
  std::fprintf(stderr, "ringo: options::%s has thrown, which it must not: %s\n", name,
               describe_current_exception().c_str());
  end_process();
}

bool cancel_under_lock(routine& r, bool shared, std::uint32_t why) noexcept {
  std::uint32_t seen = r.state.load(std::memory_order_relaxed);
  for (;;) {
    const bool claims = (seen & routine::waiting) && routine::ends_awaits(seen | why);
    std::uint32_t wanted = seen | why;
    if (claims) wanted &= ~(routine::waiting | routine::ring_bits);
    if (!shared) {
      r.state.store(wanted, std::memory_order_relaxed);
      if (worker* w = current_worker()) w->look_for_cancellation(r);
      return claims;
    }
    seen &= ~routine::inspected;
    wanted &= ~routine::inspected;
    if (r.state.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel, std::memory_order_relaxed))
      return claims;
    if (seen & routine::inspected) seen = r.wait_while_inspected();
  }
}

std::uint32_t routine::wait_while_inspected() const noexcept {
  std::uint32_t seen;
  for (int turns = 0; (seen = state.load(std::memory_order_relaxed)) & inspected; ++turns) pause_while_spinning(turns);
  return seen;
}

}  // namespace ringo::detail
