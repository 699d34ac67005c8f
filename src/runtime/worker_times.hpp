// How long resumes, waits and the delays between them take (runtime_options::histograms). The observer tells of them.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ringo/detail/counter.hpp>
#include <ringo/run.hpp>

namespace ringo::detail {

// Only its worker adds to it.
class counted_times {
 public:
  void add(std::int64_t nanoseconds) noexcept;
  void add_to(histogram& all) const noexcept;

 private:
  std::array<counter, histogram::buckets> counts_;
  counter sum_;
};

// When each routine began to wait, or became ready: for all workers of a runtime, by the routine's number, since its
// record has no room for it. If two routines whose numbers differ by a multiple of the size wait at once, the time of
// one of them is not counted.
class routine_times {
 public:
  routine_times() : entries_(std::size_t{1} << 16) {}

  struct entry {
    std::atomic<std::uint64_t> key = 0;  // the routine's number, and 16 bits: 0 for ready, else its kind of wait and 1
    std::atomic<std::int64_t> since = 0;
  };
  entry& of(std::uint32_t number) noexcept { return entries_[number % entries_.size()]; }

 private:
  std::vector<entry> entries_;
};

// One for each worker, and used in its thread. Times are nanoseconds of its driver's clock; kinds of waits are those of
// the recorder.
class times_of_worker {
 public:
  times_of_worker(routine_times& all, std::size_t wait_kinds) : all_(all), waits_(wait_kinds) {}
  times_of_worker(const times_of_worker&) = delete;
  times_of_worker& operator=(const times_of_worker&) = delete;
  ~times_of_worker();

  void resumes(std::uint32_t number, std::int64_t now) noexcept;
  void left(std::int64_t now) noexcept { resume_.add(now - resumed_at_); }  // the routine that was resumed last
  void parks(std::uint32_t number, std::size_t wait_kind, std::int64_t now) noexcept;
  void ready(std::uint32_t number, std::int64_t now) noexcept;
  void timer_ends(std::int64_t late) noexcept { late_.add(late); }

  // Any thread. text_of_wait: of a kind of wait.
  worker_times read(const std::function<std::string(std::size_t)>& text_of_wait) const;

 private:
  counted_times* waits_of(std::size_t kind) noexcept;  // null if there is no memory for it

  routine_times& all_;
  std::int64_t resumed_at_ = 0;
  counted_times resume_, ready_, late_;
  std::vector<std::atomic<counted_times*>> waits_;  // each made when it is first needed
};

}  // namespace ringo::detail
