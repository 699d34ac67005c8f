// What a worker tells of what it does: to its ring of the recorder, to the program's hooks, and to its histograms.
#pragma once
#include <bit>
#include <cstdint>
#include <source_location>

#include <ringo/clock.hpp>
#include <ringo/detail/routine.hpp>
#include <ringo/detail/worker.hpp>
#include <ringo/hooks.hpp>
#include <ringo/recording.hpp>

#include "driver/driver.hpp"
#include "runtime/event_ring.hpp"
#include "runtime/worker_times.hpp"

namespace ringo::detail {

class recorder;

// The address of what a place in the code is made of; the layout of g++ and of clang.
inline const void* address_of(const std::source_location& at) noexcept {
  static_assert(sizeof(std::source_location) == sizeof(const void*));
  return std::bit_cast<const void*>(at);
}

// One for each worker, and used in its thread. The paths of one worker that are hottest do not ask for it: the worker
// then resumes no routine directly (worker::handovers), so its loop tells of each resume, and of how it ended.
class observer final : public call_listener {
  using event = recording::kind;

 public:
  observer(unsigned worker, recorder* to, ringo::hooks* hooks, times_of_worker* times);  // each may be null

  // The loop is about to run the routine, and has come back from it.
  void resumes(const routine& r) noexcept;
  void left(const worker& w, const routine& r) noexcept;

  void ready(const worker& w, const routine& r) noexcept;
  void parks(const routine& r) noexcept;

  void stole(unsigned from, std::uint32_t count) noexcept { put(event::stole, count, nullptr, from); }
  void sleeps() noexcept {
    look_soon();
    put(event::slept, 0);
  }
  void woke() noexcept {
    look_soon();
    put(event::woke, 0);
  }
  void submitted(const kernel_request& r, const kernel_call& call) noexcept override {
    put(event::submitted, static_cast<std::uint32_t>(call.descriptor), &r, static_cast<std::uint64_t>(call.what));
  }
  void answered(const kernel_request& r, const kernel_answer& answer) noexcept override {
    put(event::answered, static_cast<std::uint32_t>(answer.result), &r);
  }

  recording::cause because = recording::cause::post;  // what makes routines ready between two resumes

 private:
  void put(event kind, std::uint32_t number, const void* place = nullptr, std::uint64_t more = 0) noexcept {
    if (ring_ != nullptr) ring_->put(static_cast<std::uint64_t>(kind), number, place, more);
  }
  void look_soon() noexcept {
    if (ring_ != nullptr) ring_->look_soon();
  }
  static std::int64_t nanoseconds() noexcept { return now().time_since_epoch().count(); }
  bool tells() const noexcept { return hooks_ != nullptr && kind_ != routine::kind::foreign; }
  ringo::hooks::routine as_told() const noexcept { return {number_, worker_, started_}; }

  const unsigned worker_;
  recorder* const recorder_;
  event_ring* const ring_;
  ringo::hooks* const hooks_;
  times_of_worker* const times_;  // not without a recorder, which knows the kinds of waits
  // Of the routine that runs: with several workers, its record may be gone when it has left.
  std::uint32_t number_ = 0;
  std::source_location started_;
  routine::kind kind_{};
  bool parked_ = false;
};

// While it lives, the worker makes routines ready for that cause.
class woken_by_event {
 public:
  woken_by_event(observer* o, recording::cause cause) noexcept : observer_(o) {
    if (observer_ != nullptr) observer_->because = cause;
  }
  woken_by_event(const woken_by_event&) = delete;
  woken_by_event& operator=(const woken_by_event&) = delete;
  ~woken_by_event() {
    if (observer_ != nullptr) observer_->because = recording::cause::post;
  }

 private:
  observer* const observer_;
};

}  // namespace ringo::detail
