// The stalls that a runtime's watcher has noticed lately, for an inspector.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/detail/lock_rank.hpp>

namespace ringo::detail {

// Has texts in place of what they were made from: the module that a std::source_location is in may be unloaded.
struct noticed_stall {
  std::uint64_t id = 0;  // of the runtime's n-th stall
  std::size_t worker = 0;
  std::uint32_t routine = 0;  // its number; 0: the worker is between two routines
  bool is_main = false;
  std::string name;             // empty: it has none
  std::string started, waited;  // where it was started, and where it last waited; empty: unknown
  long does = 0;                // kind_of (stall_watch.cpp)
  std::string call;             // the system call that it is in; empty: none
  std::vector<std::string> stack;
  std::string text;                               // as on_warning is told it, from "by the routine" on
  std::chrono::system_clock::time_point begin{};  // the first look that found it
  duration lasts{};
  bool goes_on = true;
  // Of all stalls that are like this one.
  std::uint64_t times = 1;
  duration longest{};
};

// Stalls are alike if their routines were started at one place and their threads did the same (kind_of). Of those only
// the last one is kept, and so one that comes again and again does not drive out the others. A stall that on_warning is
// not told of, since it was told of a similar one a moment ago, has no stack and text of its own: the earlier ones
// stay. Thread: any.
class stall_log {
 public:
  static constexpr std::size_t most = 32;
  struct contents {
    duration limit{};  // longer stalls are noticed; 0: no thread looks for them
    std::vector<noticed_stall> stalls;
  };

  void begin(duration limit) noexcept;
  // The same stall may be noted again, with what has changed. Throws: std::bad_alloc.
  void note(const noticed_stall& s);
  contents copy() const;  // the last one first. Throws: std::bad_alloc.

 private:
  mutable ranked<std::mutex, lock_rank::leaf> mutex_;
  contents kept_;
};

}  // namespace ringo::detail
