#include "runtime/stall_account.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <utility>

#include "platform/escaped.hpp"
#include "platform/own_memory.hpp"
#include "runtime/names.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

constexpr std::size_t most_frames = 40;  // fits a screen

// What a std::source_location refers to; the compiler's own layout, which both of g++ and clang have.
struct place_in_code {
  std::uintptr_t file, function;
  unsigned line, column;
};

// Memory that an await has left may still have its place, or anything else. So this believes it only if it refers to a
// record within a module, with a line and with the name of a file.
std::optional<std::source_location> believed_place(std::uintptr_t at, const code_names& names) {
  static_assert(sizeof(std::source_location) == sizeof(std::uintptr_t));
  const auto where = read_own<std::uintptr_t>(at);
  if (!where || !names.is_in_module(*where)) return std::nullopt;
  const auto place = read_own<place_in_code>(*where);
  constexpr unsigned most_lines = 10'000'000;
  if (!place || place->line == 0 || place->line > most_lines || place->column > most_lines) return std::nullopt;
  if (!names.is_in_module(place->file) || !names.is_in_module(place->function)) return std::nullopt;
  for (std::uintptr_t i = 0; i < 4096; ++i) {
    const auto letter = read_own<unsigned char>(place->file + i);
    if (!letter || (*letter != 0 && *letter < ' ')) return std::nullopt;
    if (*letter == 0) return i != 0 ? std::optional(std::bit_cast<std::source_location>(*where)) : std::nullopt;
  }
  return std::nullopt;
}

// Where a member is in a routine, for a routine that may be gone.
template <class T>
std::uintptr_t address_in(std::uintptr_t record, T routine::* member) {
  const routine model{};
  return record + (reinterpret_cast<std::uintptr_t>(&(model.*member)) - reinterpret_cast<std::uintptr_t>(&model));
}

// The scheduler's functions that resume routines, and, without optimisation, the call of a resume: these are the same
// on each stack.
bool is_schedulers(const code_place& place) noexcept {
  constexpr std::string_view scheduler = "ringo::detail::scheduler::";
  std::string_view function = place.function;
  if (function.find("coroutine_handle<void>::resume()") != std::string_view::npos) return true;
  if (function.starts_with("void ")) function.remove_prefix(5);  // an instance of a template
  if (!function.starts_with(scheduler)) return false;
  function.remove_prefix(scheduler.size());
  return function.starts_with("run") || function.starts_with("resume");
}

// ringo's own functions and those of the standard library that programs do not call.
bool is_internal(const code_place& place) {
  const std::string name = short_name(place.function);
  return name.starts_with("ringo::") || name.starts_with("std::_") || name.starts_with("__gnu_cxx::");
}

// Adds the stack without internal functions at its outer end. A stack that was guessed has no other internal functions,
// either, if there are some of the program's: those would mislead that may have returned.
// If the program's innermost function is the same as in the last stack, the text has only its name.
void add_stack(stall_account& to, bool is_guessed, const std::vector<stack_frame>& stack, code_names& names) {
  std::vector<code_place> places;
  places.reserve(stack.size());
  for (const stack_frame& frame : stack) places.push_back(names.find(frame.address));
  while (!places.empty() && is_schedulers(places.back())) places.pop_back();
  if (!std::ranges::all_of(places, is_internal)) {
    while (is_internal(places.back())) places.pop_back();
  }
  std::string function;
  bool has_programs = false;
  for (std::size_t i = 0; i < places.size() && function.empty(); ++i) {
    const bool is_programs = places[i].module == places.back().module && !is_internal(places[i]);
    has_programs = has_programs || is_programs;
    if (is_programs && !stack[i].may_have_returned && !places[i].function.starts_with("std::")) {
      function = places[i].function;
    }
  }
  if (!function.empty() && function == to.function) {
    to.text += "It is still in " + function;
    return;
  }
  to.function = std::move(function);
  to.text += is_guessed ? "Its stack (what has a ? may have returned):" : "Its stack:";
  for (std::size_t i = 0; i < places.size() && to.stack.size() < most_frames; ++i) {
    if ((stack[i].may_have_returned || (is_guessed && has_programs)) && is_internal(places[i])) continue;
    to.stack.push_back((stack[i].may_have_returned ? "? " : "") + places[i].text());
    to.text += (stack[i].may_have_returned ? "\n  " : "\n    ") + to.stack.back();
  }
}

}  // namespace

std::optional<std::int64_t> progress_of(const counters& of) noexcept {
  const std::int64_t wakes = of.wakes.value();
  if (of.parks.value() != wakes) return std::nullopt;
  return of.resumes.value() + of.steals.value() + of.steals_failed.value() + wakes;
}

long kind_of(const thread_state& state) noexcept {
  return state.call ? state.call->number : -1 - static_cast<long>(state.is);
}

void add_what_it_does(stall_account& to, const scheduler& w, const thread_state& state, const spent_time& spent,
                      code_names& names) {
  const std::string share = length_of(spent.on_cpu) + " of CPU in " + length_of(spent.elapsed) +
                            (spent.without_cpu < std::chrono::milliseconds(1)
                                 ? std::string()
                                 : ", and waited " + length_of(spent.without_cpu) + " for a CPU");
  const std::uintptr_t outermost = w.stack.load(std::memory_order_relaxed);
  std::vector<stack_frame> stack;
  switch (state.is) {
    case thread_state::kind::unknown:
      to.text += ". The system does not say what its thread does (" + share + ')';
      return;
    case thread_state::kind::blocked:
      if (!state.call) {
        to.text += ". Its thread is blocked, but not in a system call: by a page that is not in memory, perhaps (" +
                   share + ')';
      } else {
        // One that went on after an interruption has lost its number; the C library's function has its name.
        const std::string name = is_restarted(*state.call) ? names.find(state.code).function : std::string();
        to.call = name.empty() ? describe(*state.call) : name;
        to.text += ". It is in the system call " + to.call + " (" + share + "). ";
        to.text += is_wait_for_thread(*state.call)
                       ? "Hold a std::mutex neither across a co_await nor for long, and wait by ringo's own mutex, "
                         "condition or channel"
                       : "Use ringo's own call, or put this one into blocking(f)";
      }
      stack = guess_stack(state, outermost, names);
      if (stack.empty()) return;
      to.text += ". ";
      return add_stack(to, true, stack, names);
    case thread_state::kind::runs:
      to.text += ". It computes (" + share + "). Let others run by co_await yield(), or put it into blocking(f). ";
      switch (walk_stack(w.thread.load(std::memory_order_acquire), outermost, stack)) {
        case walk_outcome::walked:
          return add_stack(to, false, stack, names);
        case walk_outcome::signal_is_taken:
          to.text += "Its stack is not known: the program handles SIGURG";
          return;
        case walk_outcome::signal_is_blocked:
          to.text += "Its stack is not known: its thread blocks SIGURG";
          return;
        case walk_outcome::no_answer:
          to.text += "Its stack is not known: its thread has not answered";
          return;
      }
  }
}

std::optional<kept_by> find_keeper(const scheduler& w, code_names& names) {
  const auto resume = w.counts.resumes.value();
  const auto current = read_own(&w.current);
  if (!current) return std::nullopt;
  kept_by keeper;
  const auto record = reinterpret_cast<std::uintptr_t>(*current);
  if (record != 0) {
    const auto started = read_own<std::source_location>(address_in(record, &routine::started));
    const auto parked = read_own<std::uintptr_t>(address_in(record, &routine::parked));
    const auto number = read_own<std::uint32_t>(address_in(record, &routine::number));
    if (!started || !parked || !number) return std::nullopt;
    keeper = {*current, *number, name_of(*current), *started, {}, *parked != 0};
    if (keeper.has_waited) keeper.waited = believed_place(*parked + offsetof(parked_operation, where), names);
  }
  if (read_own(&w.current) != current || w.counts.resumes.value() != resume) return std::nullopt;
  return keeper;
}

bool is_main(const kept_by& keeper, const runtime_core& of) noexcept {
  return keeper.routine != nullptr && keeper.routine == of.main.load(std::memory_order_relaxed);
}

std::string describe(const kept_by& keeper, const runtime_core& of) {
  if (keeper.routine == nullptr)
    return "what it does between two routines: a destructor of one that has ended, perhaps";
  std::string text = is_main(keeper, of) ? "the main routine, run at " : "the routine started at ";
  if (!keeper.name.empty()) text.insert(text.find(" routine") + 8, " \"" + printable(keeper.name) + '"');
  text += place_of(keeper.started);
  if (keeper.waited) return text + ", which last waited at " + place_of(*keeper.waited);
  return keeper.has_waited ? text : text + ", which has not waited yet";
}

}  // namespace ringo::detail
