// What the texts and traces of a recording are made of.
#pragma once
#include <span>
#include <vector>

#include <ringo/recording.hpp>

namespace ringo::detail {

// A time in which a worker ran one routine, or slept.
struct recorded_slice {
  time_point begin, end;
  std::uint32_t worker = 0;
  std::uint32_t routine = 0;
  bool is_sleep = false;
  const recording::event* resumed = nullptr;  // null: it began before the recording
  const recording::event* left = nullptr;     // parked, yielded or ended; null: it lasts longer than the recording
  time_point earliest{}, latest{};            // readings of the clock: it began and ended between these
  duration most() const { return latest - earliest; }
};

// What made a routine ready, and where it ran then.
struct recorded_wake {
  const recording::event* ready;  // or started
  const recording::event* resumed;
  duration blur() const { return std::max(ready->blur, resumed->blur); }
};

// Of what was before recording::from, some workers' events are lost. A resume there, and all after it, may be among
// them, so an interval that begins there may have ended long ago.
struct recorded_slices {
  explicit recorded_slices(const recording& r);

  std::span<const recording::event> events;  // since r.from
  std::vector<recorded_slice> all;           // by their ends
  std::vector<recorded_wake> wakes;          // by the resumes
};

// "receive on a channel at serve.cpp:31"; empty for other events.
std::string wait_text(const recording& r, const recording::event& e);
std::string place_text(const recording& r, std::size_t place);  // "serve.cpp:31"

}  // namespace ringo::detail
