// What is asked of the kernel for an open file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "system/file_core.hpp"

namespace ringo::detail {

inline std::string in_quotes(std::string_view path) { return '"' + std::string(path) + '"'; }

// Throws std::invalid_argument for a zero byte in it: the kernel would take what comes before.
std::string_view checked(std::string_view path);
// Throws std::logic_error if there is no file, or it is another runtime's; from here on this runtime's uses it.
void check_opened(const file_handle& f, const char* call);
// Throws std::logic_error if the descriptor was opened to append: the kernel would not write at an offset.
void check_writes_at_offsets(const file_handle& f, const char* call);
// Throws std::invalid_argument for what is beyond the longest file.
void check_range(std::uint64_t offset, std::size_t size, const char* call);

// All of the bytes, at the offset, or at the end of the file if there is none.
task<> write_in_pieces(file_handle f, std::optional<std::uint64_t> offset, std::span<const std::byte> bytes,
                       std::source_location where);

template <class R>
class file_call : public one_shot_of<R> {
 public:
  std::string name() const final { return doing_ + in_quotes(file_.get()->path()); }

 protected:
  // A file and all its calls share the file's lock.
  file_call(file_handle f, const char* doing) noexcept
      : one_shot_of<R>(f.get()->lock), file_(std::move(f)), doing_(doing) {}

  int descriptor() const noexcept { return is_open_ ? file_.get()->descriptor() : -1; }
  int answered() {
    if (is_open_) return this->take();
    throw std::logic_error("ringo: " + name() + ": it has been closed");
  }

 private:
  void begins() noexcept final { is_open_ = file_.get()->begin_call(); }
  void has_ended(worker& w) noexcept final {
    if (is_open_) file_.get()->end_call(w);
  }

  const file_handle file_;
  const char* const doing_;
  bool is_open_ = true;
};

}  // namespace ringo::detail
