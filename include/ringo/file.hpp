// Files and directories. No worker waits for a disk: what is asked for is done by the kernel's own threads, or, where
// io_uring cannot do it, by blocking()'s.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/detail/byte_stream.hpp>
#include <ringo/detail/kernel_call.hpp>
#include <ringo/task.hpp>

namespace ringo {

class file;

struct open_options {
  bool read = true;
  bool write = false;
  bool create = false;          // if it is not there
  bool exclusive = false;       // with create: it must not be there (std::errc::file_exists)
  bool truncate = false;        // what was in it goes
  unsigned permissions = 0666;  // of what is created, less the process' umask
};
static_assert(std::is_trivially_destructible_v<open_options>);

enum class file_kind : std::uint8_t { regular, directory, symbolic_link, other };

struct file_status {
  file_kind kind;
  unsigned permissions;
  std::uint64_t size;  // bytes
  std::chrono::sys_time<std::chrono::nanoseconds> modified;
};

class directory_entry {
 public:
  directory_entry(std::string n, file_kind k) noexcept : name(std::move(n)), kind(k) {}

  std::string name;
  file_kind kind;
};

namespace detail {

class file_core;

// One of those that keep a file: its handle, and what is done with it.
class file_handle {
 public:
  file_handle() noexcept = default;
  explicit file_handle(file_core* counted) noexcept : core_(counted) {}
  file_handle(const file_handle& from) noexcept;
  file_handle(file_handle&& from) noexcept : core_(std::exchange(from.core_, nullptr)) {}
  file_handle& operator=(file_handle from) noexcept {
    std::swap(core_, from.core_);
    return *this;
  }
  ~file_handle();

  file_core* get() const noexcept { return core_; }

 private:
  file_core* core_ = nullptr;
};

}  // namespace detail

// An open file; move-only. Its destructor closes it in the background, when what is being done with it has ended.
// Several routines may use it at once: the kernel does then what is asked for in any order.
//
// What these return is awaited, and throws then: cancelled; std::system_error that names the file and what was being
// done; std::logic_error where it has been closed. A file that is empty (default-made, moved from) throws
// std::logic_error at the call, an offset or a path that there cannot be std::invalid_argument.
// Cancel safety: memory of the caller's is read and written by the routine alone, never by the kernel; so all of these
// may be cancelled or lose a select at any moment. A write that is may have been done, or a part of it.
// Thread: workers; destroyed on any.
class file {
 public:
  file() noexcept = default;

  // Throws std::invalid_argument for options that contradict each other.
  static detail::kernel_call_operation<file> open(std::string_view path, open_options options = {});
  static file adopt(int descriptor);  // takes it; throws std::system_error if it is none

  // What is there, as much as fits: less only at the end of the file, 0 behind it.
  task<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const;
  template <detail::bytes_to_fill R>
  task<std::size_t> read_at(std::uint64_t offset, R&& into) const {
    return read_at(offset, detail::as_writable_bytes_of(into));
  }

  // All of the bytes, which stay the caller's and unchanged until then.
  task<> write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;
  task<> write_at(std::uint64_t offset, std::string_view text) const {
    return write_at(offset, std::as_bytes(std::span(text)));
  }
  template <detail::bytes_to_send R>
  task<> write_at(std::uint64_t offset, const R& bytes) const {
    return write_at(offset, detail::as_bytes_of(bytes));
  }

  // All of them at the end of the file, wherever others have brought that meanwhile: up to 256 KiB in one piece, into
  // which no other append writes.
  task<> append(std::span<const std::byte> bytes) const;
  task<> append(std::string_view text) const { return append(std::as_bytes(std::span(text))); }
  template <detail::bytes_to_send R>
  task<> append(const R& bytes) const {
    return append(detail::as_bytes_of(bytes));
  }

  // Until what has been written is on the disk; without `metadata`, what is not needed to read it may be not (times).
  detail::kernel_call_operation<void> sync(bool metadata = true) const;
  detail::kernel_call_operation<file_status> status() const;
  task<std::uint64_t> size() const;
  task<> truncate(std::uint64_t size) const;  // or makes it longer, by zeros

  // When what is being done with it has ended. A second close does nothing.
  detail::close_operation close() const;
  int native_handle() const noexcept;  // -1 of nothing
  explicit operator bool() const noexcept { return core_.get() != nullptr; }

 private:
  friend struct file_access;
  explicit file(detail::file_handle core) noexcept : core_(std::move(core)) {}

  detail::file_handle core_;
};

// A whole file. write_file makes it or replaces what is in it, which is not there for a moment: for a file that others
// read meanwhile, write another one and rename it.
task<std::string> read_file(std::string_view path);
task<> write_file(std::string_view path, std::span<const std::byte> bytes);
task<> write_file(std::string_view path, std::string_view text);

// Names. The paths are copied at once; those that are not absolute begin at the process' working directory. Errors and
// cancel safety are as above; one that is cancelled may have been done.
detail::kernel_call_operation<file_status> status_of(std::string_view path);  // of what a symbolic link names
detail::kernel_call_operation<void> rename_file(std::string_view from, std::string_view to);  // replaces what `to` is
detail::kernel_call_operation<void> remove_file(std::string_view path);
detail::kernel_call_operation<void> remove_directory(std::string_view path);  // an empty one
task<> make_directory(std::string_view path, unsigned permissions = 0777);
task<std::vector<directory_entry>> list_directory(std::string_view path);  // by name; without "." and ".."

}  // namespace ringo
