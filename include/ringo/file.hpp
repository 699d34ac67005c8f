// Files and directories. No worker waits for a disk: the kernel's own threads do what is asked for, or, where io_uring
// cannot, those of blocking().
#pragma once
#include <ringo/detail/cpp20.hpp>

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
#include <ringo/detail/awaited.hpp>
#include <ringo/detail/byte_ranges.hpp>
#include <ringo/detail/file_operation.hpp>
#include <ringo/detail/io_operation.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/one_shot.hpp>
#include <ringo/task.hpp>

namespace ringo {

class file_reader;
class file_writer;

struct open_options {
  bool read = true;
  bool write = false;
  bool create = false;          ///< if there is no such file
  bool exclusive = false;       ///< with create: fails if there is such a file (std::errc::file_exists)
  bool truncate = false;        ///< makes the file empty
  unsigned permissions = 0666;  ///< of a created file, less the process' umask
};
static_assert(std::is_trivially_destructible_v<open_options>);

enum class file_kind : std::uint8_t { regular, directory, symbolic_link, other };

struct file_status {
  file_kind kind;
  unsigned permissions;
  std::uint64_t size;  ///< bytes
  std::chrono::sys_time<std::chrono::nanoseconds> modified;
};

class directory_entry {
 public:
  directory_entry(std::string n, file_kind k) noexcept : name(std::move(n)), kind(k) {}

  std::string name;
  file_kind kind;
};

/// An open file. Move-only. Its destructor closes it in the background, when the operations in flight have ended.
///
///     ringo::file f = co_await ringo::file::open("log", {.write = true, .create = true});
///     co_await f.append("a line\n");
///
/// Several routines may use it at once; the kernel then does what they ask for in any order. A multi-step read or write
/// holds no lock on the file, so another one may come in between.
/// All calls suspend. Throws: cancelled; std::system_error that names the file and what failed; std::logic_error if the
/// file has been closed, and, at the call, if it is empty (default-made or moved from). An offset or a path that cannot
/// be is std::invalid_argument at the call.
/// Cancel safety: the kernel never touches the caller's memory, so an operation may be cancelled or lose a select at
/// any moment. It may have been done, wholly or in part. An operation that lost may be awaited again, and goes on from
/// there. Thread: workers; destroyed on any.
class file {
 public:
  file() noexcept = default;

  /// Waits as open(2) does: for a FIFO, until its other side has been opened, too. Throws std::invalid_argument for
  /// options that contradict each other.
  static detail::one_shot_operation<file> open(std::string_view path, open_options options = {});
  /// Takes the descriptor. Clears O_NONBLOCK, for all that share the open file. Throws std::system_error if it is not
  /// open.
  static file adopt(int descriptor);

  /// Reads as many bytes as fit; fewer only at the end of the file, 0 behind it. Yields their number.
  detail::one_shot_operation<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const;
  template <detail::bytes_to_fill R>
  detail::one_shot_operation<std::size_t> read_at(std::uint64_t offset, R&& into) const {
    return read_at(offset, detail::as_writable_bytes_of(into));
  }

  /// Writes all of the bytes, which the caller keeps unchanged until then. Throws std::logic_error at the call if the
  /// descriptor was opened to append (O_APPEND), since the kernel would write at the end of the file.
  detail::one_shot_operation<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;
  detail::one_shot_operation<void> write_at(std::uint64_t offset, std::string_view text) const {
    return write_at(offset, std::as_bytes(std::span(text)));
  }
  template <detail::bytes_to_send R>
  detail::one_shot_operation<void> write_at(std::uint64_t offset, const R& bytes) const {
    return write_at(offset, detail::as_bytes_of(bytes));
  }

  /// Writes all of the bytes at the end of the file, wherever that is by then: up to 256 KiB in one piece, into which
  /// no other append writes.
  detail::one_shot_operation<void> append(std::span<const std::byte> bytes) const;
  detail::one_shot_operation<void> append(std::string_view text) const {
    return append(std::as_bytes(std::span(text)));
  }
  template <detail::bytes_to_send R>
  detail::one_shot_operation<void> append(const R& bytes) const {
    return append(detail::as_bytes_of(bytes));
  }

  /// The file as a source of bytes and as a sink. Each keeps the file open, and has a position of its own.
  ///     buffered_reader in(f.reader());
  ///     while (auto line = co_await in.read_line()) ...
  file_reader reader(std::uint64_t from = 0) const;
  file_writer writer() const;                    ///< at the end of the file, as append()
  file_writer writer(std::uint64_t from) const;  ///< from there on, over what is there

  /// Waits until all written bytes are on the disk; without `metadata`, times may be missing there.
  detail::one_shot_operation<void> sync(bool metadata = true) const;
  detail::one_shot_operation<file_status> status() const;
  detail::one_shot_operation<std::uint64_t> size() const;  ///< bytes
  /// Cuts the file off, or adds zeros to it. A plain task: a select that it loses cancels and joins it.
  detail::deferred_task<void> truncate(std::uint64_t size,
                                       std::source_location where = std::source_location::current()) const;

  /// Waits until the operations in flight have ended and the file is closed. A second close does nothing.
  detail::close_operation close() const { return core_.close(); }
  int native_handle() const noexcept { return core_.native_handle(); }  ///< -1 if empty
  explicit operator bool() const noexcept { return static_cast<bool>(core_); }

 private:
  friend struct detail::file_access;
  friend class file_reader;
  friend class file_writer;
  explicit file(detail::file_handle core) noexcept : core_(std::move(core)) {}

  detail::file_handle core_;
};

/// The bytes of a file from a position on: a byte_source. Move-only, and for one routine at a time; a second one that
/// uses it meanwhile gets std::logic_error. Thread: workers; destroyed on any.
class file_reader {
 public:
  /// As file::reader(), so that `buffered_reader in(f)` reads f from its start.
  file_reader(const file& of, std::uint64_t from = 0);
  file_reader(file_reader&&) noexcept;
  file_reader& operator=(file_reader&&) noexcept;
  ~file_reader();

  /// The next bytes, up to 64 KiB; nullopt at the end. A recv() after the end yields what has been written behind it.
  /// Throws: as the calls of file. Cancel safety: a recv() that is cancelled or loses a select has taken nothing. Bytes
  /// that it has read, also from a pipe or a terminal, are the next one's.
  detail::file_recv recv(std::source_location where = std::source_location::current()) const;
  std::uint64_t position() const noexcept;  ///< of the first byte that the next recv() yields

 private:
  std::unique_ptr<detail::file_reading> state_;
};

/// Writes to a file, each send behind the one before: a byte_sink. Move-only, and for one routine at a time.
/// Thread: workers; destroyed on any.
class file_writer {
 public:
  file_writer(const file& of);  ///< as file::writer(), which appends
  file_writer(file_writer&&) noexcept = default;
  file_writer& operator=(file_writer&&) noexcept = default;

  /// Writes all of the bytes, which the caller keeps unchanged until then. A plain task: a select that it loses cancels
  /// and joins it. Throws: as the calls of file. Cancel safety: a send that fails, is cancelled or loses a select may
  /// have written a part; every later one throws disconnected then.
  detail::deferred_task<void> send(std::span<const std::byte> bytes,
                                   std::source_location where = std::source_location::current());
  detail::deferred_task<void> send(std::string_view text,
                                   std::source_location where = std::source_location::current()) {
    return send(std::as_bytes(std::span(text)), where);
  }
  template <detail::bytes_to_send R>
  detail::deferred_task<void> send(const R& bytes, std::source_location where = std::source_location::current()) {
    return send(detail::as_bytes_of(bytes), where);
  }
  template <std::size_t N>
  detail::deferred_task<void> send(char (&)[N]) = delete;  // a buffer is no string: pass a span

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

/// The lines of a file, without their ends, as the first stage of a pipeline; `co_await in.recv()` and for_each, map
/// and the like take them. Up to 64 are read ahead. The receiver closes at the end of the file, or with an error: the
/// file cannot be opened or read, or a line is longer than `limit` bytes (std::errc::message_size). The path is copied
/// at once. Ends as map does. Throws: std::bad_alloc. Thread: workers.
receiver<std::string> lines(std::string_view path, std::size_t limit = 64 * 1024,
                            std::source_location where = std::source_location::current());

// The calls below copy their paths at once. A relative path begins at the process' working directory. They throw, and
// are cancelled, as the calls of file.

/// A whole file. A plain task: a select that it loses cancels and joins it.
detail::deferred_task<std::string> read_file(std::string_view path,
                                             std::source_location where = std::source_location::current());
/// Makes the file, or replaces its bytes. The bytes are not copied: the caller keeps them unchanged until the task has
/// ended, also where it is awaited later. For a moment the file is empty; for a file that others read meanwhile, write
/// another one and rename it. A plain task: a select that it loses cancels and joins it.
detail::deferred_task<void> write_file(std::string_view path, std::span<const std::byte> bytes,
                                       std::source_location where = std::source_location::current());
detail::deferred_task<void> write_file(std::string_view path, std::string_view text,
                                       std::source_location where = std::source_location::current());

/// Of the file that a symbolic link names, if the path is one.
detail::one_shot_operation<file_status> status_of(std::string_view path);
/// Replaces the file that is at `to`.
detail::one_shot_operation<void> rename_file(std::string_view from, std::string_view to);
detail::one_shot_operation<void> remove_file(std::string_view path);
/// Removes an empty directory.
detail::one_shot_operation<void> remove_directory(std::string_view path);
detail::one_shot_operation<void> make_directory(std::string_view path, unsigned permissions = 0777);
/// The entries, ordered by name, without "." and "..". A plain task: a select that it loses cancels it, and joins it
/// when the thread that lists has ended.
detail::deferred_task<std::vector<directory_entry>> list_directory(
    std::string_view path, std::source_location where = std::source_location::current());

}  // namespace ringo
