// What a person should know and no caller can be told: runtime_options::on_warning.
#pragma once
#include <cstddef>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/run.hpp>

namespace ringo::detail {

// Any thread. The hook is called without the lock.
class warnings {
 public:
  explicit warnings(const runtime_options& o) noexcept : settings_(o) {}
  warnings(const warnings&) = delete;
  warnings& operator=(const warnings&) = delete;

  void tell(std::string_view text) noexcept;

  // For a warning that may come in a loop. The first is told at once, the next ones after a second, two seconds, and so
  // on, up to an hour. What comes in between is counted, and the count is told with the next one, or when the runtime
  // ends. Alike are those of one call of this function about one place of the user's.
  void tell_rarely(std::string_view text, const std::source_location& about,
                   const std::source_location& call = std::source_location::current()) noexcept;
  // The same in two steps, if the rest of a text costs much: its beginning, to be told now, or none if it has been left
  // out. Those about one place are alike only if they have the same variant. Throws: std::bad_alloc.
  std::optional<std::string> admit(std::string_view text, const std::source_location& about, long variant = 0,
                                   const std::source_location& call = std::source_location::current());
  // Tells what has been left out; when the runtime ends.
  void tell_left_out() noexcept;

 private:
  struct kind {
    const char* about_file;
    const char* call_file;
    unsigned about_line;
    unsigned call_line;
    long variant;
    time_point not_before;
    duration pause;
    std::size_t left_out;
    std::string last;  // of those that were left out

    bool operator==(const kind& other) const noexcept {
      return about_file == other.about_file && call_file == other.call_file && about_line == other.about_line &&
             call_line == other.call_line && variant == other.variant;
    }
  };

  static void add_count(std::string& text, std::size_t more);
  kind& find(kind one);

  const runtime_options& settings_;
  ranked<std::mutex, lock_rank::leaf> mutex_;
  std::vector<kind> kinds_;
};

}  // namespace ringo::detail
