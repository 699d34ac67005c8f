// The flight recorder of one runtime: what its workers did lately (runtime_options::recorder), written as an image that
// recording.cpp reads, in memory or in a file.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <ringo/detail/routine.hpp>
#include <ringo/recording.hpp>

#include "runtime/event_ring.hpp"

namespace ringo::detail {

class runtime_core;

// An image is a header, and sections. Numbers are as the machine writes them.
struct image_header {
  static constexpr std::uint32_t current_version = 2;
  static constexpr std::uint32_t in_nanoseconds = 1;  // a tick is 1/16 ns of the steady clock
  static constexpr std::uint32_t exact = 2;           // no event's time stands for those after it

  char magic[8] = {'r', 'i', 'n', 'g', 'o', 'r', 'e', 'c'};
  std::uint32_t version = current_version;
  std::uint32_t workers = 0;
  std::uint32_t process = 0;
  std::uint32_t flags = 0;
  std::uint64_t ticks[2] = {};  // at the start and now
  std::int64_t steady[2] = {};  // the steady clock's ns at the same times
  std::int64_t unix_ns = 0;     // the system's clock, now
};
struct image_section {
  enum kind : std::uint32_t {
    ring_part,   // of worker `number`: image_ring, the cells, and claimed() after they were copied
    place_part,  // image_place, the file's name, the function's
    wait_part,   // kind of wait `number`: its text
    name_part,   // of routine `number`
    end_part,
    last_part  // only the last `number` seconds count
  };
  std::uint32_t what;
  std::uint32_t number;
  std::uint64_t size;  // of what follows
};
struct image_ring {
  std::uint64_t first, last, size;
};
struct image_place {
  std::uint64_t address;
  std::uint32_t line, file_length, function_length;
};

class image_sink {
 public:
  virtual void write(const void* bytes, std::size_t size) = 0;

 protected:
  ~image_sink() = default;
};

// Throws std::invalid_argument if it is none.
recording parse_image(std::string_view image, std::chrono::nanoseconds last = std::chrono::nanoseconds::max());

class recorder {
 public:
  static constexpr std::size_t wait_kinds = std::size_t{1} << event_cell::more_bits;

  // `virtual_time` is a simulation's clock, or null. Throws std::bad_alloc.
  recorder(std::size_t workers, std::size_t bytes, std::string file, const event_clock* virtual_time);
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;
  ~recorder();

  event_ring& ring_of(std::size_t worker) noexcept { return *rings_[worker]; }

  // Any thread, while the workers go on.
  std::string image(std::uint32_t last_seconds = 0) const;  // 0: all
  void write(const std::string& path) const;                // throws std::system_error
  // To the file of runtime_options::recorder_file, with that behind its name; a warning if that fails. Nothing if
  // there is none.
  void write_file(const char* suffix, runtime_core& rt) const noexcept;
  // The same in a signal handler.
  void write_in_crash(bool again) noexcept;  // `again`: the file has that of an earlier crash

  std::string text_of_wait(std::size_t kind) const;  // any thread; empty if it is not known

  // By workers.
  RINGO_ALWAYS_INLINE unsigned kind_of_wait(const parked_operation& p) noexcept {
    const std::size_t first = first_kind_of(p);
    return is_kind(first, p) ? static_cast<unsigned>(first) : look_for_kind_of_wait(p);
  }
  // Where a kind of wait is, if no other one has that place.
  static std::size_t first_kind_of(const parked_operation& p) noexcept {
    return (reinterpret_cast<std::uintptr_t>(p.describe) >> 4) % wait_kinds;
  }
  bool is_kind(std::size_t kind, const parked_operation& p) const noexcept {
    return describes_[kind].load(std::memory_order_relaxed) == p.describe;
  }
  void note_name(std::uint32_t number, const routine& r) noexcept;
  void note_end_of_named(std::uint32_t number) noexcept;

 private:
  // Places that have been seen, by their address.
  class places {
   public:
    places() : seen_(capacity) {}
    void clear() noexcept { std::fill(seen_.begin(), seen_.end(), 0); }
    void add(std::uint64_t address) noexcept;  // if there is room
    template <class F>
    void for_each(F f) const {
      for (const std::uint64_t address : seen_) {
        if (address != 0) f(address);
      }
    }

   private:
    static constexpr std::size_t capacity = 8192;
    std::vector<std::uint64_t> seen_;
  };
  struct wait_kind {
    std::atomic<bool> is_there = false;  // text is
    std::string text;
  };
  [[gnu::noinline]] unsigned look_for_kind_of_wait(const parked_operation& p) noexcept;
  void put_image(image_sink& to, places& seen, bool in_crash) const;
  void put_ring(image_sink& to, std::uint32_t worker, places& seen) const;
  void put_names(image_sink& to) const;

  static constexpr std::size_t kept_names = 1024;  // of routines that have ended

  image_header header_;
  const event_clock* clock_;
  std::vector<std::unique_ptr<event_ring>> rings_;
  const std::unique_ptr<wait_kind[]> waits_;
  std::array<std::atomic<void (*)(const parked_operation&, wait_report&)>, wait_kinds> describes_{};
  std::mutex waits_mutex_;  // for a worker that adds one. Under neither mutex is another lock taken
  mutable std::mutex names_mutex_;
  std::unordered_map<std::uint32_t, std::string> names_;
  std::deque<std::uint32_t> ended_;  // named ones
  const std::string file_;
  std::string next_file_;                 // of a further crash, until it is whole
  std::unique_ptr<places> crash_places_;  // if there is a file
};

}  // namespace ringo::detail
