// What is asked of the kernel for an open file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "system/file_core.hpp"

namespace ringo::detail {

inline std::string in_quotes(std::string_view path) { return '"' + std::string(path) + '"'; }

// Throws std::invalid_argument for a path with a zero byte, where the kernel would stop reading.
std::string_view checked(std::string_view path);
// Another handle of the file. Throws std::logic_error if it is empty, or another runtime's; it is this runtime's then.
file_handle opened(const file_handle& f, const char* call);
// Throws std::logic_error if the descriptor was opened to append: the kernel would not write at an offset.
void check_writes_at_offsets(const file_handle& f, const char* call);
// Throws std::invalid_argument for bytes beyond the longest file.
void check_range(std::uint64_t offset, std::size_t size, const char* call);

// Writes all of the bytes at the offset, or at the end of the file if there is none.
one_shot_operation<void> write_all(file_handle f, std::optional<std::uint64_t> offset,
                                   std::span<const std::byte> bytes);

// A one-shot of a file, with the file's lock. The file is not closed while it is in flight.
template <class R>
class file_call : public one_shot_of<R> {
 protected:
  file_call(file_handle f, const char* doing) noexcept
      : one_shot_of<R>(f.get()->lock), file_(std::move(f)), doing_(doing) {}

  std::string describe() const final { return doing_ + in_quotes(file_.get()->path()); }
  int descriptor() const noexcept { return is_open_ ? file_.get()->descriptor() : -1; }
  const file_core& core() const noexcept { return *file_.get(); }
  int answered() {
    if (is_open_) return this->take();
    throw std::logic_error("ringo: " + describe() + ": it has been closed");
  }
  template <class Fill, class State>
  void fill_by(Fill& fill, State& state, kernel_call& call) noexcept {
    fill(state, descriptor(), call);
  }
  void begins() noexcept override { is_open_ = file_.get()->begin_call(); }

 private:
  void has_ended(worker& w) noexcept final {
    if (is_open_) file_.get()->end_call(w);
  }

  const file_handle file_;
  const char* const doing_;
  bool is_open_ = true;
};

// As ask_once (io/one_shot.hpp).
//   fill(state, descriptor, call)
template <class R, class State, class Fill, class Result = no_result>
one_shot_operation<R> ask_file(file_handle f, const char* doing, State state, Fill fill, Result result = {}) {
  struct record final : one_shot_with<file_call<R>, R, State, Fill, Result> {
    record(State&& s, Fill how, Result r, file_handle of, const char* what)
        : one_shot_with<file_call<R>, R, State, Fill, Result>(std::move(s), how, r, std::move(of), what) {}
  };
  return one_shot_operation<R>(new record(std::move(state), fill, result, std::move(f), doing));
}

}  // namespace ringo::detail
