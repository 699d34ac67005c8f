// recording: what the workers of a runtime did lately, event by event (runtime_options::recorder).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ringo/detail/library.hpp>
#include <ringo/detail/time_types.hpp>

namespace ringo {

/// What runtime::recording() returns, and a file of a recording has: plain values.
///
///   ringo::runtime rt({.recorder = 1 << 20});
///   ...
///   std::ofstream("last.json") << to_chrome_trace(rt.recording());  // for ui.perfetto.dev or chrome://tracing
///
/// Each worker keeps its last events; older ones are lost. While events follow each other within some microseconds, a
/// worker reads the clock for some of them only: `blur` says how far the time of the others is known.
struct recording {
  static constexpr std::size_t none = ~std::size_t{0};

  enum class kind : std::uint8_t {
    started,    ///< Routine `waker` has started `routine`.
    ready,      ///< `waker`, or what `by` says, has ended the wait of `routine`; a timer `value` ns after it was due.
    resumed,    ///< The worker runs `routine`.
    parked,     ///< `routine` waits.
    yielded,    ///< `routine` lets others run.
    ended,      ///< `routine` has ended.
    stole,      ///< The worker took `value` routines out of the queue of worker `other`.
    slept,      ///< The worker has nothing to do.
    woke,       ///< It goes on.
    submitted,  ///< The call `call`, of descriptor `value`, was handed to the kernel.
    answered    ///< The kernel has answered it: `value` is its result, or a negative errno.
  };
  /// What has started a routine, or ended its wait.
  enum class cause : std::uint8_t {
    routine,
    timer,
    answer,  ///< The kernel's.
    post     ///< Another thread's: blocking(), runtime::go.
  };

  struct place {
    std::string file, function;
    std::uint32_t line = 0;
  };

  struct event {
    time_point at;
    duration blur{};  ///< It was up to so much later than `at`, or earlier. 0: the clock was read.
    kind what{};
    cause by{};
    std::uint32_t worker = 0;
    std::uint32_t routine = 0;  ///< Its number (snapshot::routine). 0: a coroutine of another library, or none.
    std::uint32_t waker = 0;    ///< A routine's number, if `by` is cause::routine.
    std::uint32_t other = 0;    ///< A worker.
    std::size_t where = none;   ///< Of `places`: where it was started (started, resumed); where it waits (parked).
    std::size_t wait = none;    ///< Of `waits`, for parked.
    std::uint64_t call = 0;     ///< Tells a call from others that the kernel works on at the same time.
    std::int64_t value = 0;
    const char* call_name = "";  ///< "receive".
  };

  /// A routine that the events name.
  struct routine {
    std::uint32_t number = 0;
    std::string name;          ///< That named() gave it, or empty.
    std::size_t where = none;  ///< Of `places`: where it was started.
  };

  bool is_on = false;  ///< False: the runtime records nothing.
  std::uint32_t workers = 0;
  std::uint32_t process = 0;
  time_point from, until;          ///< Of all workers there is everything between these.
  std::int64_t until_unix_ns = 0;  ///< `until` as nanoseconds since 1970.
  std::vector<event> events;       ///< By time; those of one worker in their order.
  std::vector<place> places;       ///< Where routines were started, and where they waited.
  std::vector<std::string> waits;  ///< Kinds of waits: "receive on a channel".
  std::vector<routine> routines;   ///< By number.

  /// The routine's name; else the function and the place where it was started; else its number.
  std::string name_of(std::uint32_t routine) const;
};

/// A file that runtime::write_recording, or runtime_options::recorder_file, has written, on a machine of the same kind.
/// Throws: std::system_error; std::invalid_argument if it is no such file.
recording read_recording(const std::string& path);

/// JSON that ui.perfetto.dev and chrome://tracing show: a track for each worker with the routines that it ran, arrows
/// from who made a routine ready to where it ran, calls of the kernel, and how many routines were ready.
std::string to_chrome_trace(const recording& r);

/// For people: the workers' shares, which routines ran longest and in all, which were ready for long before they ran,
/// and what they waited for.
std::string to_text(const recording& r);

}  // namespace ringo
