// The last events of one worker, which any thread may copy while the worker goes on.
#pragma once
#include <algorithm>
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
// ticks. So a block can be read without those before it.
struct event_cell {
  static constexpr unsigned kind_bits = 5, more_bits = 11, place_shift = kind_bits + more_bits, time_shift = 4;
  static constexpr std::uint64_t clock = (1U << kind_bits) - 1;  // the kind

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
// than it asked for sees, when it loads claimed_ after that, that this block was claimed.
class event_ring {
 public:
  static constexpr std::size_t block = 64;

  // `clock` is null for the processor's counter. quick: in so many ticks the clock need not be read twice.
  event_ring(std::size_t bytes, const event_clock* clock, std::uint64_t quick)
      : mask_(std::bit_ceil(std::max(bytes / sizeof(event_cell), 4 * block)) - 1),
        cells_(new event_cell[mask_ + 1]),
        clock_(clock),
        quick_(quick) {}

  RINGO_ALWAYS_INLINE void put(std::uint64_t kind, std::uint32_t number, const void* place = nullptr,
                               std::uint64_t more = 0) noexcept {
    if (--until_look_ <= 0) [[unlikely]]
      look();
    write(kind | more << event_cell::kind_bits | reinterpret_cast<std::uintptr_t>(place) << event_cell::place_shift,
          time_ | number);
  }
  // The next event has the time of its own.
  void look_soon() noexcept {
    until_look_ = 0;
    period_ = 1;
  }

  std::size_t size() const noexcept { return mask_ + 1; }
  std::uint64_t published() const noexcept { return published_.load(std::memory_order_acquire); }
  std::uint64_t claimed() const noexcept { return claimed_.load(std::memory_order_relaxed); }
  const event_cell& at(std::uint64_t index) const noexcept { return cells_[index & mask_]; }

 private:
  // A worker whose events follow each other quickly reads the clock for some of them only, since to read it takes
  // longer than the rest of an event; the others have the time of the one before (recording.cpp spreads them). At the
  // first interval that is not short each event has its own again.
  static constexpr int longest_period = 32;

  [[gnu::noinline]] void look() noexcept {
    const std::uint64_t now = clock_ != nullptr ? clock_->ticks() : processor_ticks();
    const std::uint64_t elapsed = now - last_;
    last_ = now;
    period_ = elapsed < quick_ ? std::min(period_ * 2, longest_period) : elapsed > 2 * quick_ ? 1 : period_;
    if (position() % block != 0 && (now - base_) >> event_cell::time_shift > UINT32_MAX) begin(now);
    if (position() % block == 0) begin(now);
    time_ = (now - base_) >> event_cell::time_shift << 32;
    const auto left = static_cast<int>(block - position() % block);  // a block begins with a look
    until_look_ = std::min(period_, left);
  }
  void begin(std::uint64_t now) noexcept {
    if (position() % block == 0) claimed_.store(position() + block, std::memory_order_relaxed);
    base_ = now;
    write(event_cell::clock, now);
  }
  std::uint64_t position() const noexcept { return published_.load(std::memory_order_relaxed); }
  RINGO_ALWAYS_INLINE void write(std::uint64_t what, std::uint64_t when) noexcept {
    const std::uint64_t at = position();
    event_cell& c = cells_[at & mask_];
    c.what.store(what, std::memory_order_release);
    c.when.store(when, std::memory_order_release);
    published_.store(at + 1, std::memory_order_release);
  }

  const std::size_t mask_;
  const std::unique_ptr<event_cell[]> cells_;
  int until_look_ = 0;
  int period_ = 1;
  std::uint64_t time_ = 0;
  std::atomic<std::uint64_t> published_ = 0, claimed_ = 0;
  std::uint64_t base_ = 0, last_ = 0;
  const event_clock* const clock_;
  const std::uint64_t quick_;
};

}  // namespace ringo::detail
