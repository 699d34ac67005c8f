// snapshot: what the routines of a runtime do at one time, what they wait for, and which of them wait for each other.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <ringo/detail/library.hpp>
#include <ringo/detail/time_types.hpp>

namespace ringo {

/// What runtime::snapshot() and runtime_ref::snapshot() return: plain values, which refer to nothing of the runtime.
///
///   for (const auto& r : runtime::current().snapshot().routines) {
///     if (!r.chain.empty()) std::cout << r.number << " waits for " << r.waits_for << '\n';
///   }
///
/// With one worker, all of it is true at one instant. With several, each routine is read at an instant of its own,
/// while the others go on.
struct snapshot {
  enum class state : std::uint8_t {
    active,  ///< It runs, is ready to run, or waits in a coroutine that is not ringo's.
    waits    ///< It waits in an await of ringo's.
  };

  struct routine {
    /// From 1, in the order of the starts with one worker. No two routines that live have the same number.
    std::uint32_t number = 0;
    std::string name;  ///< That named() gave it, or empty.
    bool is_main = false;
    enum state state = state::active;
    bool is_cancelled = false;       ///< It, or its context.
    std::uint32_t ended_awaits = 0;  ///< How many of its awaits have ended with `cancelled`; at most 8191.
    std::source_location started;    ///< Where it was started; no line if that is not known.
    std::uint32_t started_by = 0;    ///< The number of the routine that started it; 0: none.
    std::vector<std::size_t> holds;  ///< What it holds of `objects`: locks, and permits of semaphores with one permit.
    // The rest is there while it waits.
    std::vector<std::source_location> chain;  ///< Where it waits, where that function is awaited, and so on outwards.
    std::string waits_for;                    ///< "receive on channel 0x55d8 (capacity 8, open)".
    std::string operation;                    ///< The same for all objects of a kind: "receive on a channel".
    std::vector<std::size_t> objects;         ///< What it waits for, of `objects`; several: for the first of them.
    /// How long it has waited, by its worker's clock, which is read between two turns: so up to some 64 resumes too
    /// long, and up to 256 in a program with one worker and no timer.
    duration waited{};
    std::uint64_t context = 0;           ///< The address of the context that it runs under; 0: the background.
    std::string context_name;            ///< That named() gave that context, or empty.
    std::optional<time_point> deadline;  ///< Of that context.
  };

  /// An object that a routine waits for.
  struct object {
    std::uint64_t id = 0;   ///< Its address in the library. Another object may have it when this one is gone.
    std::string_view kind;  ///< "channel", "mutex", "semaphore", "timer", "stream", "routine", "group", ...
    std::string name;       ///< That named() gave it, or empty.
    std::string text;       ///< How texts call it: "channel "jobs"", or "channel 0x55d8" if it has no name.
    std::optional<std::size_t> length;    ///< The values in a channel, or the free permits.
    std::optional<std::size_t> capacity;  ///< The values that a channel has room for, or all permits.
    std::size_t waiters = 0;              ///< How many routines wait for it.
    /// The numbers of the routines that keep it from being ready: the holder of a lock, the routine whose end it is,
    /// the members of a group. Empty where they are not known.
    std::vector<std::uint32_t> owners;
  };

  unsigned workers = 0;
  time_point taken;
  std::vector<routine> routines;  ///< By number.
  std::vector<object> objects;
  /// Routines that wait for each other, as their numbers: each waits for an object of the next, the last for one of the
  /// first.
  std::vector<std::vector<std::uint32_t>> cycles;
};

/// For people: cycles first, then routines that wait at the same place for the same kind of object as one group.
std::string to_text(const snapshot& s);
/// For machines. docs/observability.md says what the members mean.
std::string to_json(const snapshot& s);
/// The function's name without its types and parameters: "app::serve".
std::string function_of(const std::source_location& at);

}  // namespace ringo
