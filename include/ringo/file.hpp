// Files and directories. No worker waits for a disk: what is asked for is done by the kernel's own threads, or, where
// io_uring cannot do it, by blocking()'s.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/buffered.hpp>
#include <ringo/channel.hpp>
#include <ringo/chunk.hpp>
#include <ringo/detail/byte_stream.hpp>
#include <ringo/detail/one_shot.hpp>
#include <ringo/task.hpp>

namespace ringo {

class file;
class file_reader;
class file_writer;

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

  // Waits as open(2) does: of a FIFO until its other side has been opened, too. Throws std::invalid_argument for
  // options that contradict each other.
  static detail::one_shot_operation<file> open(std::string_view path, open_options options = {});
  // Takes it. If it does not wait (O_NONBLOCK), it does from now on, for all that share it. Throws std::system_error if
  // it is none.
  static file adopt(int descriptor);

  // What is there, as much as fits: less only at the end of the file, 0 behind it.
  task<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into,
                            std::source_location where = std::source_location::current()) const;
  template <detail::bytes_to_fill R>
  RINGO_REFERS_AND_RETURNS_TASK task<std::size_t> read_at(
      std::uint64_t offset, R&& into, std::source_location where = std::source_location::current()) const {
    return read_at(offset, detail::as_writable_bytes_of(into), where);
  }

  // All of the bytes, which stay the caller's and unchanged until then. Throws std::logic_error for a descriptor that
  // was opened to append (O_APPEND), where the kernel would write at the end of the file.
  task<> write_at(std::uint64_t offset, std::span<const std::byte> bytes,
                  std::source_location where = std::source_location::current()) const;
  RINGO_REFERS_AND_RETURNS_TASK task<> write_at(std::uint64_t offset, std::string_view text,
                                                std::source_location where = std::source_location::current()) const {
    return write_at(offset, std::as_bytes(std::span(text)), where);
  }
  template <detail::bytes_to_send R>
  RINGO_REFERS_AND_RETURNS_TASK task<> write_at(std::uint64_t offset, const R& bytes,
                                                std::source_location where = std::source_location::current()) const {
    return write_at(offset, detail::as_bytes_of(bytes), where);
  }

  // All of them at the end of the file, wherever others have brought that meanwhile: up to 256 KiB in one piece, into
  // which no other append writes.
  task<> append(std::span<const std::byte> bytes, std::source_location where = std::source_location::current()) const;
  RINGO_REFERS_AND_RETURNS_TASK task<> append(std::string_view text,
                                              std::source_location where = std::source_location::current()) const {
    return append(std::as_bytes(std::span(text)), where);
  }
  template <detail::bytes_to_send R>
  RINGO_REFERS_AND_RETURNS_TASK task<> append(const R& bytes,
                                              std::source_location where = std::source_location::current()) const {
    return append(detail::as_bytes_of(bytes), where);
  }

  // The file as a source of bytes and as a sink: each keeps the file open, and a position of its own.
  //   buffered_reader in(f.reader());
  //   while (auto line = co_await in.read_line()) ...
  file_reader reader(std::uint64_t from = 0) const;
  file_writer writer() const;                    // at the end of the file, as append() does
  file_writer writer(std::uint64_t from) const;  // from there on, over what is there

  // Until what has been written is on the disk; without `metadata`, what is not needed to read it may be not (times).
  detail::one_shot_operation<void> sync(bool metadata = true) const;
  detail::one_shot_operation<file_status> status() const;
  task<std::uint64_t> size(std::source_location where = std::source_location::current()) const;
  task<> truncate(std::uint64_t size,
                  std::source_location where = std::source_location::current()) const;  // or makes it longer, by zeros

  // When what is being done with it has ended. A second close does nothing.
  detail::close_operation close() const;
  int native_handle() const noexcept;  // -1 of nothing
  explicit operator bool() const noexcept { return core_.get() != nullptr; }

 private:
  friend struct file_access;
  friend class file_reader;
  friend class file_writer;
  explicit file(detail::file_handle core) noexcept : core_(std::move(core)) {}

  detail::file_handle core_;
};

namespace detail {

class file_reading;
task<> fetch(file_reading& from, std::source_location where);
std::optional<chunk> take_fetched(file_reading& from) noexcept;

// The awaitable of a file_reader's recv(). What it waits for stays in the reader, and is taken when it has won.
class RINGO_AWAITABLE file_recv {
  class taker {
   public:
    explicit taker(file_reading& from) noexcept : from_(&from) {}
    std::optional<chunk> operator()() const noexcept { return take_fetched(*from_); }

   private:
    file_reading* from_;
  };
  static task<std::optional<chunk>> perform(file_reading& from, std::source_location where) {
    co_await fetch(from, where);
    co_return take_fetched(from);
  }

 public:
  using result_type = std::optional<chunk>;
  file_recv(file_reading& from, std::source_location where) noexcept : from_(from), where_(where) {}
  auto operator co_await() && { return perform(from_, where_).operator co_await(); }
  auto as_case() && { return handled_case<task<>, taker>(std::in_place, fetch(from_, where_), taker(from_)); }

 private:
  file_reading& from_;
  std::source_location where_;
};

}  // namespace detail

// The bytes of a file from a position on: a byte_source. Move-only, and for one routine at a time; std::logic_error
// where a second one is found to use it meanwhile. Thread: workers; destroyed on any.
class file_reader {
 public:
  file_reader(const file& of,
              std::uint64_t from = 0);  // file::reader(); so `buffered_reader in(f)` reads f from its start
  file_reader(file_reader&&) noexcept;
  file_reader& operator=(file_reader&&) noexcept;
  ~file_reader();

  // The next bytes, up to 64 KiB; nullopt at the end. One that asks after the end gets what has been written behind it
  // meanwhile. Throws as the file's calls do. Cancel safety: one that is cancelled or loses a select has taken nothing,
  // of pipes, terminals and other things without offsets either: what it has read comes with the next.
  detail::file_recv recv(std::source_location where = std::source_location::current()) const;
  std::uint64_t position() const noexcept;  // of what the next recv() yields

 private:
  std::unique_ptr<detail::file_reading> state_;
};

// Where bytes of a file go: a byte_sink. Move-only, and for one routine at a time. Thread: workers; destroyed on any.
class file_writer {
 public:
  file_writer(const file& of);  // file::writer(), which appends
  file_writer(file_writer&&) noexcept = default;
  file_writer& operator=(file_writer&&) noexcept = default;

  // All of the bytes, which stay the caller's and unchanged until then. Throws as the file's calls do. A send that
  // fails, is cancelled or loses a select may have written a part; every later one throws disconnected then.
  task<> send(std::span<const std::byte> bytes, std::source_location where = std::source_location::current());
  RINGO_REFERS_AND_RETURNS_TASK task<> send(std::string_view text,
                                            std::source_location where = std::source_location::current()) {
    return send(std::as_bytes(std::span(text)), where);
  }
  template <detail::bytes_to_send R>
  RINGO_REFERS_AND_RETURNS_TASK task<> send(const R& bytes,
                                            std::source_location where = std::source_location::current()) {
    return send(detail::as_bytes_of(bytes), where);
  }
  template <std::size_t N>
  task<> send(char (&)[N]) = delete;  // a buffer is no string: pass a span

 private:
  friend class file;
  file_writer(detail::file_handle f, std::optional<std::uint64_t> from) noexcept : file_(std::move(f)), next_(from) {}
  static task<> send_all(file_writer& to, std::span<const std::byte> bytes, std::source_location where);

  detail::file_handle file_;
  std::optional<std::uint64_t> next_;  // none: it appends
  bool is_cut_ = false;                // a send has begun and not ended
  detail::sole_use use_;
};

buffered_reader(file&) -> buffered_reader<file_reader>;
buffered_reader(const file&) -> buffered_reader<file_reader>;
buffered_writer(file&) -> buffered_writer<file_writer>;
buffered_writer(const file&) -> buffered_writer<file_writer>;

// The lines of a file, without their ends, as the first stage of a pipeline: for_each, map and the like take them from
// there, and `while (auto line = co_await in.recv())` does. Up to 64 are read ahead. Closes at the end of the file, or
// with what went wrong: the file cannot be opened or read, or a line is longer than `limit` bytes
// (std::errc::message_size). The path is copied at once. Ends as map does. Throws: std::bad_alloc. Thread: workers.
receiver<std::string> lines(std::string_view path, std::size_t limit = 64 * 1024,
                            std::source_location where = std::source_location::current());

// A whole file. write_file makes it or replaces what is in it, which is not there for a moment: for a file that others
// read meanwhile, write another one and rename it.
task<std::string> read_file(std::string_view path, std::source_location where = std::source_location::current());
task<> write_file(std::string_view path, std::span<const std::byte> bytes,
                  std::source_location where = std::source_location::current());
task<> write_file(std::string_view path, std::string_view text,
                  std::source_location where = std::source_location::current());

// Names. The paths are copied at once; those that are not absolute begin at the process' working directory. Errors and
// cancel safety are as above; one that is cancelled may have been done.
detail::one_shot_operation<file_status> status_of(std::string_view path);  // of what a symbolic link names
detail::one_shot_operation<void> rename_file(std::string_view from, std::string_view to);  // replaces what `to` is
detail::one_shot_operation<void> remove_file(std::string_view path);
detail::one_shot_operation<void> remove_directory(std::string_view path);  // an empty one
task<> make_directory(std::string_view path, unsigned permissions = 0777,
                      std::source_location where = std::source_location::current());
task<std::vector<directory_entry>> list_directory(
    std::string_view path,
    std::source_location where = std::source_location::current());  // by name; without "." and ".."

}  // namespace ringo
