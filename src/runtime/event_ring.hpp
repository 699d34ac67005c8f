// The last events of one worker, which any thread may copy while the worker goes on.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <ringo/detail/machine_code.hpp>

namespace ringo::detail {

// A cell of 16 bytes in two words:
//   what    bits 0 to 4 the kind, 5 to 15 more of it, 16 to 63 an address: of a std::source_location's data, or a call
//   when    the time since the base, in units of 2^time_shift ticks, times 2^32; plus a number, mostly a routine's
// The ring is made of blocks. The first cell of a block, and each cell of kind `clock`, has the base in `when`, in
// ticks, and instead of an address the number of the routine that the worker ran last. So a block can be read without
// those before it.
//
// Events of one reading of the clock that mostly follow each other share a cell. Below, "it" is the routine that ran,
// whose number the cells before tell; the address and the rest of `what` belong to its wait.
struct event_cell {
  static constexpr unsigned kind_bits = 5, more_bits = 11, place_shift = kind_bits + more_bits, time_shift = 4;
  // Kinds beside those of recording::kind.
  enum kind : std::uint64_t {
    woke_and_parked = 16,  // it has made the routine `number` ready; then it waits
    handed_over,           // the same; then the routine `number` was resumed
    switched,              // it waits; then the routine `number` was resumed
    passed,                // it has yielded; then the routine `number` was resumed
    ran,                   // the routine `number` was resumed, and has ended. The address: where it was started
    clock = (1U << kind_bits) - 1
  };
  static constexpr std::uint64_t kind_of(std::uint64_t what) noexcept { return what & ((1U << kind_bits) - 1); }

  std::atomic<std::uint64_t> what = 0, when = 0;
};

// What reads the time: the processor's counter, or a simulation's clock.
class event_clock {
 public:
  virtual std::uint64_t ticks() const noexcept = 0;

 protected:
  ~event_clock() = default;
};

// Only its worker writes. A reader copies cells below published(), and then drops those that the worker may have
// overwritten meanwhile: the ones more than size() below claimed(). Why that is enough: the worker stores claimed_
// before the cells of a block, and each cell with release. So a reader that loads (acquire) a word of a newer lap
// than it asked for sees, when it loads claimed_ after that, that this block was claimed. Of the last cell the worker
// may change `what` once more (join), which adds later events to it; so each pair of words makes sense.
class event_ring {
 public:
  static constexpr std::size_t block = 64;

  // `clock` is null for the processor's counter. quick: in so many ticks the clock need not be read twice.
  event_ring(std::size_t bytes, const event_clock* clock, std::uint64_t quick)
      : mask_(std::bit_ceil(std::max(bytes / sizeof(event_cell), 4 * block)) - 1),
        cells_(new event_cell[mask_ + 1]),
        next_(cells_.get()),
        clock_(clock),
        quick_(quick) {}

  RINGO_ALWAYS_INLINE void put(std::uint64_t what, std::uint32_t number) noexcept {
    if (!goes_on()) [[unlikely]]
      look();
    put_at_once(what, number);
  }
  RINGO_ALWAYS_INLINE void put_at_once(std::uint64_t what, std::uint32_t number) noexcept {  // while it goes on
    write(what, time_ | number);
  }
  // Whether an event now would have the time of the last cell, so that it may share that.
  RINGO_ALWAYS_INLINE bool goes_on() const noexcept { return next() < look_at_; }
  RINGO_ALWAYS_INLINE std::uint64_t last_what() const noexcept {
    return next()[-1].what.load(std::memory_order_relaxed);
  }
  RINGO_ALWAYS_INLINE std::uint32_t last_number() const noexcept {
    return static_cast<std::uint32_t>(next()[-1].when.load(std::memory_order_relaxed));
  }
  RINGO_ALWAYS_INLINE void join(std::uint64_t what) noexcept { next()[-1].what.store(what, std::memory_order_release); }

  // Whether a cell of the last quarter of the ring, at least, says where the routine was started. Those that share a
  // cell need not say it again.
  bool has_place(std::uint32_t number) const noexcept { return has_place_[number % remembered] == number; }
  void note_place(std::uint32_t number) noexcept { has_place_[number % remembered] = number; }

  // The next event has the time of its own.
  void look_soon() noexcept {
    look_at_ = nullptr;
    period_ = 1;
  }

  std::size_t size() const noexcept { return mask_ + 1; }
  // If no block was claimed meanwhile, next_ was in the last one, or at its end. Acquire, and release in begin_block():
  // a reader that sees next_ in a block sees that block's claim, and with a claim all of the block before.
  std::uint64_t published() const noexcept {
    for (;;) {
      const std::uint64_t end = claimed_.load(std::memory_order_acquire);
      const auto at = static_cast<std::uint64_t>(next_.load(std::memory_order_acquire) - cells_.get());
      if (end == claimed()) return end - ((end - at) & mask_);
    }
  }
  std::uint64_t claimed() const noexcept { return claimed_.load(std::memory_order_relaxed); }
  const event_cell& at(std::uint64_t index) const noexcept { return cells_[index & mask_]; }

  std::uint32_t running = 0;  // the number of the routine that its worker runs, or ran last

 private:
  // A worker whose events follow each other quickly reads the clock for some cells only, since to read it takes longer
  // than the rest of ten; the others have the time of the one before (recording.cpp spreads them). At the first
  // interval that is not short each event has its own again.
  static constexpr std::ptrdiff_t longest_period = block;
  static constexpr std::size_t remembered = 1024;

  [[gnu::noinline]] void look() noexcept {
    const std::uint64_t now = clock_ != nullptr ? clock_->ticks() : processor_ticks();
    const std::uint64_t elapsed = now - last_;
    last_ = now;
    period_ = elapsed < quick_ ? std::min(period_ * 2, longest_period) : elapsed > 2 * quick_ ? 1 : period_;
    if (next() != block_end_ && (now - base_) >> event_cell::time_shift > UINT32_MAX) begin(now);
    if (next() == block_end_) begin_block(now);
    time_ = (now - base_) >> event_cell::time_shift << 32;
    look_at_ = next() + std::min(period_, block_end_ - next());  // a block begins with a look
  }
  void begin_block(std::uint64_t now) noexcept {
    const std::uint64_t at = claimed();
    claimed_.store(at + block, std::memory_order_release);
    next_.store(&cells_[at & mask_], std::memory_order_release);
    block_end_ = next() + block;
    if (at % (size() / 4) == 0) has_place_.fill(0);
    begin(now);
  }
  void begin(std::uint64_t now) noexcept {
    base_ = now;
    write(event_cell::clock | std::uint64_t{running} << event_cell::place_shift, now);
  }
  event_cell* next() const noexcept { return next_.load(std::memory_order_relaxed); }
  RINGO_ALWAYS_INLINE void write(std::uint64_t what, std::uint64_t when) noexcept {
    event_cell* const c = next();
    c->what.store(what, std::memory_order_release);
    c->when.store(when, std::memory_order_release);
    next_.store(c + 1, std::memory_order_release);
  }

  const std::size_t mask_;
  const std::unique_ptr<event_cell[]> cells_;
  std::atomic<event_cell*> next_;
  const event_cell* look_at_ = nullptr;
  std::uint64_t time_ = 0;
  event_cell* block_end_ = cells_.get();
  std::atomic<std::uint64_t> claimed_ = 0;  // all cells below the end of the present block
  std::ptrdiff_t period_ = 1;
  std::uint64_t base_ = 0, last_ = 0;
  const event_clock* const clock_;
  const std::uint64_t quick_;
  std::array<std::uint32_t, remembered> has_place_{};
};

}  // namespace ringo::detail
