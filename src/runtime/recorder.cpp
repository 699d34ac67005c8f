#include "runtime/recorder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <system_error>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/object_name.hpp>
#include <ringo/detail/wait_report.hpp>

#include "platform/escaped.hpp"
#include "platform/own_memory.hpp"
#include "runtime/crash_recording.hpp"
#include "runtime/runtime_core.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ringo::detail {
namespace {

// Where the processor's counter changes its speed, or there is none.
class steady_ticks final : public event_clock {
 public:
  std::uint64_t ticks() const noexcept override {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count())
           << event_cell::time_shift;
  }
};
constinit const steady_ticks steady;

bool has_steady_counter() noexcept {
#if defined(__x86_64__)
  unsigned a, b, c, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1U << 8) != 0;  // "invariant TSC"
#else
  return processor_counts;
#endif
}

// How often a worker reads the counter at most, but for its blocks: so that it costs about one percent.
constexpr duration quick = std::chrono::microseconds(5);

std::uint64_t quick_in_ticks() noexcept {
  static const std::uint64_t one = [] {
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t ticks = processor_ticks();
    while (std::chrono::steady_clock::now() - begin < 10 * quick) {
    }
    return (processor_ticks() - ticks) / 10;
  }();
  return one;
}

std::int64_t nanoseconds_of(clockid_t clock) noexcept {  // in a signal handler, too
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

class file_sink final : public image_sink {
 public:
  using buffer = std::array<std::byte, 4096>;
  file_sink(int fd, buffer& b) noexcept : fd_(fd), buffer_(b) {}
  void write(const void* bytes, std::size_t size) noexcept override {
    const auto* from = static_cast<const std::byte*>(bytes);
    while (size > 0) {
      const std::size_t part = std::min(size, buffer_.size() - used_);
      std::memcpy(buffer_.data() + used_, from, part);
      used_ += part;
      from += part;
      size -= part;
      if (used_ == buffer_.size()) flush();
    }
  }
  int flush() noexcept {  // an errno
    for (std::size_t done = 0; done < used_ && error_ == 0;) {
      const ssize_t n = ::write(fd_, buffer_.data() + done, used_ - done);
      if (n > 0) {
        done += static_cast<std::size_t>(n);
      } else if (n == 0 || errno != EINTR) {
        error_ = n == 0 ? ENOSPC : errno;
      }
    }
    used_ = 0;
    return error_;
  }

 private:
  const int fd_;
  int error_ = 0;
  std::size_t used_ = 0;
  buffer& buffer_;
};

class memory_sink final : public image_sink {
 public:
  void write(const void* bytes, std::size_t size) override { text.append(static_cast<const char*>(bytes), size); }
  std::string text;
};

template <class T>
void put(image_sink& to, const T& value) {
  to.write(&value, sizeof value);
}

// The module that has the place may have been unloaded, so the kernel copies, if seccomp lets it.
class reader {
 public:
  reader() noexcept {
    const int one = 1;
    may_ask_ = read_own(&one).has_value();
  }
  bool copy(std::uintptr_t from, void* to, std::size_t size) const noexcept {
    if (may_ask_) return copy_own_memory(from, to, size);
    std::memcpy(to, reinterpret_cast<const void*>(from), size);
    return true;
  }
  // The length of the text; a page's end is never in the middle of what is copied at once.
  template <std::size_t N>
  std::uint32_t copy_text(std::uintptr_t from, char (&to)[N]) const noexcept {
    constexpr std::uintptr_t step = 64;
    for (std::size_t length = 0; length + step <= N;) {
      const std::size_t part = step - (from + length) % step;
      if (!copy(from + length, to + length, part)) return 0;
      if (const void* end = std::memchr(to + length, 0, part)) {
        return static_cast<std::uint32_t>(static_cast<const char*>(end) - to);
      }
      length += part;
    }
    return static_cast<std::uint32_t>(N - step);
  }

 private:
  bool may_ask_;
};

void put_place(image_sink& to, const reader& from, std::uint64_t address) {
  struct {
    std::uintptr_t file, function;
    unsigned line, column;
  } data;
  if (!from.copy(address, &data, sizeof data)) return;
  char file[1024], function[1024];
  const std::uint32_t file_length = data.file != 0 ? from.copy_text(data.file, file) : 0;
  const std::uint32_t function_length = data.function != 0 ? from.copy_text(data.function, function) : 0;
  put(to, image_section{image_section::place_part, 0, sizeof(image_place) + file_length + function_length});
  put(to, image_place{address, data.line, file_length, function_length});
  to.write(file, file_length);
  to.write(function, function_length);
}

bool has_place(std::uint64_t what) noexcept {
  using kind = recording::kind;
  switch (event_cell::kind_of(what)) {
    case static_cast<std::uint64_t>(kind::started):
    case static_cast<std::uint64_t>(kind::resumed):
    case static_cast<std::uint64_t>(kind::parked):
    case event_cell::woke_and_parked:
    case event_cell::handed_over:
    case event_cell::switched:
    case event_cell::ran:
      return true;
    default:
      return false;
  }
}

}  // namespace

recorder::recorder(std::size_t workers, std::size_t bytes, std::string file, const event_clock* virtual_time)
    : clock_(virtual_time != nullptr ? virtual_time
             : has_steady_counter()  ? nullptr
                                     : &steady),
      waits_(new wait_kind[wait_kinds]),
      file_(std::move(file)) {
  header_.process = static_cast<std::uint32_t>(::getpid());
  header_.workers = static_cast<std::uint32_t>(workers);
  header_.flags =
      (clock_ != nullptr ? image_header::in_nanoseconds : 0) | (virtual_time != nullptr ? image_header::exact : 0);
  const std::uint64_t often = virtual_time != nullptr ? 0
                              : clock_ != nullptr     ? quick.count() << event_cell::time_shift
                                                      : quick_in_ticks();
  for (std::size_t i = 0; i < workers; ++i) {
    rings_.push_back(std::make_unique<event_ring>(bytes, clock_, often));
  }
  header_.steady[0] = nanoseconds_of(CLOCK_MONOTONIC);
  header_.ticks[0] = clock_ != nullptr ? clock_->ticks() : processor_ticks();
  if (file_.empty()) return;
  crash_places_ = std::make_unique<places>();
  next_file_ = file_ + ".next";
  crash_recordings::add(*this);
}

recorder::~recorder() {
  if (!file_.empty()) crash_recordings::remove(*this);
}

// ---- by workers

unsigned recorder::look_for_kind_of_wait(const parked_operation& p) noexcept {
  const auto describe = p.describe;
  const std::size_t first = first_kind_of(p);
  for (std::size_t i = 0; i < 16; ++i) {
    const std::size_t index = (first + i) % wait_kinds;
    if (index == 0) continue;  // 0: unknown
    wait_kind& kind = waits_[index];
    auto* known = describes_[index].load(std::memory_order_relaxed);
    if (known == describe) return static_cast<unsigned>(index);
    if (known != nullptr) continue;
    try {
      wait_report report;
      p.describe(p, report);
      const std::lock_guard guard(waits_mutex_);
      if (describes_[index].load(std::memory_order_relaxed) != nullptr) continue;  // another worker was first
      kind.text = report.general();
      describes_[index].store(describe, std::memory_order_relaxed);
      kind.is_there.store(true, std::memory_order_release);
      return static_cast<unsigned>(index);
    } catch (const std::bad_alloc&) {
      return 0;
    }
  }
  return 0;
}

std::string recorder::text_of_wait(std::size_t kind) const {
  return waits_[kind].is_there.load(std::memory_order_acquire) ? waits_[kind].text : std::string();
}

void recorder::note_name(std::uint32_t number, const routine& r) noexcept {
  try {
    std::string name = name_of(&r);
    const std::lock_guard guard(names_mutex_);
    names_.insert_or_assign(number, std::move(name));
  } catch (const std::bad_alloc&) {  // then it has none here
  }
}

void recorder::note_end_of_named(std::uint32_t number) noexcept {
  try {
    const std::lock_guard guard(names_mutex_);
    ended_.push_back(number);
    if (ended_.size() <= kept_names) return;
    names_.erase(ended_.front());
    ended_.pop_front();
  } catch (const std::bad_alloc&) {  // the name stays
  }
}

// ---- images

void recorder::places::add(std::uint64_t address) noexcept {
  if (address == 0) return;
  for (std::size_t i = 0, at = address >> 3; i < capacity; ++i, ++at) {
    std::uint64_t& one = seen_[at % capacity];
    if (one != 0 && one != address) continue;
    one = address;
    return;
  }
}

void recorder::put_ring(image_sink& to, std::uint32_t worker, places& seen) const {
  const event_ring& ring = *rings_[worker];
  image_ring head{0, ring.published(), ring.size()};
  if (head.last > head.size) head.first = head.last - head.size;
  put(to, image_section{image_section::ring_part, worker, sizeof head + (head.last - head.first) * 16 + 8});
  put(to, head);
  std::uint64_t words[2];
  for (std::uint64_t i = head.first; i < head.last; ++i) {
    words[0] = ring.at(i).what.load(std::memory_order_acquire);
    words[1] = ring.at(i).when.load(std::memory_order_acquire);
    to.write(words, sizeof words);
    if (has_place(words[0])) seen.add(words[0] >> event_cell::place_shift);
  }
  put(to, ring.claimed());  // after the cells (event_ring.hpp)
}

void recorder::put_names(image_sink& to) const {
  for (const auto& [number, name] : names_) {
    put(to, image_section{image_section::name_part, number, name.size()});
    to.write(name.data(), name.size());
  }
}

void recorder::put_image(image_sink& to, places& seen, bool in_crash) const {
  image_header now = header_;
  now.ticks[1] = clock_ != nullptr ? clock_->ticks() : processor_ticks();
  now.steady[1] = nanoseconds_of(CLOCK_MONOTONIC);
  now.unix_ns = nanoseconds_of(CLOCK_REALTIME);
  put(to, now);
  for (std::uint32_t i = 0; i < rings_.size(); ++i) put_ring(to, i, seen);
  const reader from;
  seen.for_each([&](std::uint64_t address) { put_place(to, from, address); });
  for (std::uint32_t i = 1; i < wait_kinds; ++i) {
    if (!waits_[i].is_there.load(std::memory_order_acquire)) continue;
    const std::string& text = waits_[i].text;
    put(to, image_section{image_section::wait_part, i, text.size()});
    to.write(text.data(), text.size());
  }
  if (std::unique_lock guard(names_mutex_, std::defer_lock); in_crash ? guard.try_lock() : (guard.lock(), true)) {
    put_names(to);
  }
  put(to, image_section{image_section::end_part, 0, 0});
}

std::string recorder::image(std::uint32_t last_seconds) const {
  places seen;
  memory_sink to;
  put_image(to, seen, false);
  if (last_seconds != 0) {
    const image_section last{image_section::last_part, last_seconds, 0};
    to.text.insert(sizeof(image_header), reinterpret_cast<const char*>(&last), sizeof last);
  }
  return std::move(to.text);
}

namespace {

int open_to_write(const char* path) noexcept {
  return ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
}

}  // namespace

void recorder::write(const std::string& path) const {
  static std::mutex one_at_a_time;  // runtimes may have the same file: then the last one's remains
  places seen;                      // while there is no file, since there may be no memory
  const std::lock_guard guard(one_at_a_time);
  const int fd = open_to_write(path.c_str());
  int error = fd < 0 ? errno : 0;
  if (fd >= 0) {
    file_sink::buffer buffer;
    file_sink to(fd, buffer);
    put_image(to, seen, false);
    error = to.flush();
    if (::close(fd) != 0 && error == 0) error = errno;
  }
  if (error != 0) {
    throw std::system_error(error, std::generic_category(),
                            "ringo: the recording cannot be written to " + printable(path));
  }
}

void recorder::write_file(const char* suffix, runtime_core& rt) const noexcept {
  if (file_.empty()) return;
  try {
    write(file_ + suffix);
  } catch (const std::exception& e) {
    std::string_view why = e.what();
    if (constexpr std::string_view us = "ringo: "; why.starts_with(us)) why.remove_prefix(us.size());
    rt.warn(why);
  }
}

void recorder::write_in_crash(bool again) noexcept {
  // A forked child has the handler, too, but the file is its parent's.
  if (header_.process != static_cast<std::uint32_t>(::getpid())) return;
  // The process may die of the earlier crash while this one is written: until then that one's file stays.
  struct stat there{};
  const bool replaces = again && ::stat(file_.c_str(), &there) == 0 && S_ISREG(there.st_mode);
  const int fd = open_to_write(replaces ? next_file_.c_str() : file_.c_str());
  if (fd < 0) return;
  static constinit file_sink::buffer buffer{};  // one thread writes at a time, maybe on a small stack (sigaltstack)
  file_sink to(fd, buffer);
  crash_places_->clear();
  put_image(to, *crash_places_, true);
  const bool is_whole = to.flush() == 0;
  ::close(fd);
  if (replaces && is_whole) (void)::rename(next_file_.c_str(), file_.c_str());
}

}  // namespace ringo::detail
