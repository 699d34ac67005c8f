#include <ringo/file.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <system_error>

#include <ringo/blocking.hpp>
#include <ringo/descriptor.hpp>

#include "runtime/outside_error.hpp"
#include "system/file_call.hpp"

namespace ringo {

namespace detail {

void check_range(std::uint64_t offset, std::size_t size, const char* call) {
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  if (offset <= most && size <= most - offset) return;
  throw std::invalid_argument(std::string("ringo: ") + call + ": beyond what a file can hold");
}

void check_opened(const file_handle& f, const char* call) {
  if (f.get() == nullptr) throw_empty_or_ended(call, "file");
  if (const worker* w = current_worker()) f.get()->enter(w, call);
}

std::string_view checked(std::string_view path) {
  if (path.find('\0') == path.npos) return path;
  throw std::invalid_argument("ringo: the path " + in_quotes(path.substr(0, path.find('\0'))) +
                              " goes on behind a zero byte");
}

void check_writes_at_offsets(const file_handle& f, const char* call) {
  const int flags = ::fcntl(f.get()->descriptor(), F_GETFL);  // now: the flag can be set and cleared
  if (flags < 0 || (flags & O_APPEND) == 0) return;
  throw std::logic_error(std::string("ringo: ") + call + ": " + in_quotes(f.get()->path()) +
                         " is open to append (O_APPEND): the kernel writes at its end whatever the offset; use append");
}

namespace {

// The kernel reads into, and writes from, memory of the record: so much of it at the most.
constexpr std::size_t most_at_once = 256 * 1024;

// ---- with an open file

// What has been read or written, and the memory for the next piece.
class piece {
 public:
  piece(std::unique_ptr<std::byte[]> m, std::size_t n) noexcept : memory(std::move(m)), count(n) {}

  std::unique_ptr<std::byte[]> memory;
  std::size_t count;
};

class piece_call final : public file_call<piece> {
 public:
  enum class kind : std::uint8_t { read, write, append };

  piece_call(kind k, file_handle f, std::unique_ptr<std::byte[]> memory, std::size_t size, std::uint64_t offset)
      : file_call(std::move(f), k == kind::read ? "reading " : "writing "),
        kind_(k),
        memory_(std::move(memory)),
        size_(static_cast<unsigned>(size)),
        offset_(offset) {}

  void ask(io_uring_sqe& entry) noexcept override {
    if (kind_ == kind::read) return ::io_uring_prep_read(&entry, descriptor(), memory_.get(), size_, offset_);
    ::io_uring_prep_write(&entry, descriptor(), memory_.get(), size_, offset_);
    if (kind_ == kind::append) entry.rw_flags = RWF_APPEND;
  }
  piece result() override {
    const int count = answered();
    return piece(std::move(memory_), static_cast<std::size_t>(count));
  }

 private:
  const kind kind_;
  std::unique_ptr<std::byte[]> memory_;
  const unsigned size_;
  const std::uint64_t offset_;
};

std::unique_ptr<std::byte[]> memory_for(std::size_t size) {
  return std::unique_ptr<std::byte[]>(new std::byte[std::min(size, most_at_once)]);
}

task<std::size_t> read_in_pieces(file_handle f, std::uint64_t offset, std::span<std::byte> into,
                                 std::source_location where) {
  std::unique_ptr<std::byte[]> memory = memory_for(into.size());
  std::size_t done = 0;
  while (done < into.size()) {
    const std::size_t size = std::min(into.size() - done, most_at_once);
    one_shot_operation<piece> reading(
        new piece_call(piece_call::kind::read, f, std::move(memory), size, offset + done));
    piece got = co_await in_name_of(where, reading);
    if (got.count == 0) break;
    std::memcpy(into.data() + done, got.memory.get(), got.count);
    memory = std::move(got.memory);
    done += got.count;
  }
  co_return done;
}

}  // namespace

task<> write_in_pieces(file_handle f, std::optional<std::uint64_t> offset, std::span<const std::byte> bytes,
                       std::source_location where) {
  const auto kind = offset ? piece_call::kind::write : piece_call::kind::append;
  std::uint64_t at = offset.value_or(0);
  std::unique_ptr<std::byte[]> memory = memory_for(bytes.size());
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), most_at_once);
    std::memcpy(memory.get(), bytes.data(), size);
    one_shot_operation<piece> writing(new piece_call(kind, f, std::move(memory), size, at));
    piece put = co_await in_name_of(where, writing);
    // None of what is there to be written has been: the kernel says so of devices that are full.
    if (put.count == 0) throw_outside_error(ENOSPC, "ringo: writing " + in_quotes(f.get()->path()));
    memory = std::move(put.memory);
    at += put.count;
    bytes = bytes.subspan(put.count);
  }
}

namespace {

class sync_call final : public file_call<void> {
 public:
  sync_call(file_handle f, bool metadata) noexcept : file_call(std::move(f), "syncing "), metadata_(metadata) {}
  void ask(io_uring_sqe& entry) noexcept override {
    ::io_uring_prep_fsync(&entry, descriptor(), metadata_ ? 0 : IORING_FSYNC_DATASYNC);
  }
  void result() override { answered(); }

 private:
  const bool metadata_;
};

file_kind file_kind_of(unsigned mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return file_kind::regular;
    case S_IFDIR:
      return file_kind::directory;
    case S_IFLNK:
      return file_kind::symbolic_link;
    default:
      return file_kind::other;
  }
}

file_status to_status(const struct statx& s) noexcept {
  const auto since_epoch = std::chrono::seconds(s.stx_mtime.tv_sec) + std::chrono::nanoseconds(s.stx_mtime.tv_nsec);
  return {file_kind_of(s.stx_mode), s.stx_mode & 07777u, s.stx_size,
          std::chrono::sys_time<std::chrono::nanoseconds>(since_epoch)};
}

constexpr unsigned told = STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_MTIME;

class status_call final : public file_call<file_status> {
 public:
  explicit status_call(file_handle f) noexcept : file_call(std::move(f), "asking for the status of ") {}
  void ask(io_uring_sqe& entry) noexcept override {
    ::io_uring_prep_statx(&entry, descriptor(), "", AT_EMPTY_PATH, told, &status_);
  }
  file_status result() override {
    answered();
    return to_status(status_);
  }

 private:
  struct statx status_{};
};

task<std::uint64_t> size_of(file_handle f, std::source_location where) {
  one_shot_operation<file_status> asked(new status_call(std::move(f)));
  const file_status s = co_await in_name_of(where, asked);
  co_return s.size;
}

// The call has a descriptor of its own: it may go on when nobody waits for it any more, and the file is closed.
void set_size(const descriptor& of, std::uint64_t size, const std::string& doing) {
  int result;
  do {
    result = ::ftruncate(of.native_handle(), static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  if (result != 0) throw_outside_error(errno, doing);
}

task<> truncate_to(file_handle f, std::uint64_t size, std::source_location where) {
  check_not_simulated("truncate");
  file_core& core = *f.get();
  std::string doing = "ringo: truncating " + in_quotes(core.path());
  worker& w = require_worker("truncate");
  // What has begun keeps the number from being closed, and given to another file, while it is duplicated.
  const auto begin = [&] {
    const optional_guard guard(core.lock, w.shared);
    return core.begin_call();
  };
  if (!begin()) throw std::logic_error(doing + ": it has been closed");
  descriptor own(::fcntl(core.descriptor(), F_DUPFD_CLOEXEC, 3));
  const int error = errno;
  {
    const optional_guard guard(core.lock, w.shared);
    core.end_call(w);
  }
  if (own.native_handle() < 0) throw_outside_error(error, doing);
  auto call = blocking(set_size, std::move(own), size, std::move(doing));
  co_await in_name_of(where, call);
}

// ---- with names

class name_call : public one_shot_of<void> {
 public:
  std::string name() const final { return doing_ + in_quotes(path_) + (to_.empty() ? "" : " to " + in_quotes(to_)); }
  void result() final { take(); }

 protected:
  name_call(const char* doing, std::string_view path, std::string_view to = {})
      : doing_(doing), path_(checked(path)), to_(checked(to)) {}

  const char* const doing_;
  const std::string path_;
  const std::string to_;
};

class rename_call final : public name_call {
 public:
  rename_call(std::string_view from, std::string_view to) : name_call("renaming ", from, to) {}
  void ask(io_uring_sqe& entry) noexcept override {
    ::io_uring_prep_renameat(&entry, AT_FDCWD, path_.c_str(), AT_FDCWD, to_.c_str(), 0);
  }
};

class remove_call final : public name_call {
 public:
  remove_call(std::string_view path, int flags) : name_call("removing ", path), flags_(flags) {}
  void ask(io_uring_sqe& entry) noexcept override { ::io_uring_prep_unlinkat(&entry, AT_FDCWD, path_.c_str(), flags_); }

 private:
  const int flags_;
};

class make_directory_call final : public name_call {
 public:
  make_directory_call(std::string_view path, unsigned permissions)
      : name_call("making the directory ", path), permissions_(permissions) {}
  void ask(io_uring_sqe& entry) noexcept override {
    ::io_uring_prep_mkdirat(&entry, AT_FDCWD, path_.c_str(), static_cast<mode_t>(permissions_));
  }

 private:
  const unsigned permissions_;
};

task<> make_directory_at(std::string path, unsigned permissions, std::source_location where) {
  try {
    one_shot_operation<void> making(new make_directory_call(path, permissions));
    co_await in_name_of(where, making);
    co_return;
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::invalid_argument) throw;
  }
  // io_uring can since Linux 5.15.
  auto made = blocking(
      [](const std::string& at, unsigned mode) {
        if (::mkdir(at.c_str(), static_cast<mode_t>(mode)) != 0) {
          throw_outside_error(errno, "ringo: making the directory " + in_quotes(at));
        }
      },
      std::move(path), permissions);
  co_await in_name_of(where, made);
}

class status_of_call final : public one_shot_of<file_status> {
 public:
  explicit status_of_call(std::string_view path) : path_(checked(path)) {}
  void ask(io_uring_sqe& entry) noexcept override {
    ::io_uring_prep_statx(&entry, AT_FDCWD, path_.c_str(), 0, told, &status_);
  }
  std::string name() const override { return "asking for the status of " + in_quotes(path_); }
  file_status result() override {
    take();
    return to_status(status_);
  }

 private:
  const std::string path_;
  struct statx status_{};
};

std::vector<directory_entry> entries_of(const std::string& path) {
  const std::string doing = "ringo: listing " + in_quotes(path);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) throw_outside_error(errno, doing);
  std::vector<directory_entry> entries;
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) throw_outside_error(errno, doing);
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    auto mode = static_cast<unsigned>(DTTOIF(entry->d_type));
    struct stat s{};
    // Not every file system tells the kind along with the name.
    if (entry->d_type == DT_UNKNOWN &&
        ::fstatat(::dirfd(directory.get()), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0) {
      mode = s.st_mode;
    }
    entries.emplace_back(std::move(name), file_kind_of(mode));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

task<std::vector<directory_entry>> list(std::string path, std::source_location where) {
  check_not_simulated("list_directory");
  auto listed = blocking(entries_of, std::move(path));
  co_return co_await in_name_of(where, listed);
}

task<std::string> read_whole(std::string path, std::source_location where) {
  const file f = co_await in_name_of(where, file::open(path));
  std::string text;
  std::size_t room = static_cast<std::size_t>(co_await f.size(where));
  // What says that it has no size (/proc) may have one all the same, and any may grow meanwhile.
  for (;;) {
    const std::size_t had = text.size();
    text.resize(had + room + 1);
    const std::size_t got = co_await f.read_at(had, std::span(text).subspan(had), where);
    text.resize(had + got);
    if (got <= room) break;
    room = std::max<std::size_t>(text.size(), 4096);
  }
  co_await in_name_of(where, f.close());
  co_return text;
}

task<> write_whole(std::string path, std::span<const std::byte> bytes, std::source_location where) {
  open_options o;
  o.read = false;
  o.write = o.create = o.truncate = true;
  const file f = co_await in_name_of(where, file::open(path, o));
  co_await f.write_at(0, bytes, where);
  co_await in_name_of(where, f.close());
}

}  // namespace

template piece answer_of<piece>(one_shot&);
template file_status answer_of<file_status>(one_shot&);

file_handle::file_handle(const file_handle& from) noexcept : core_(from.core_) {
  if (core_ != nullptr) core_->add_handle();
}
file_handle::~file_handle() {
  if (core_ != nullptr) std::exchange(core_, nullptr)->drop_handle();
  keep_mark(core_);
}

file_handle make_file(int descriptor, std::string path) {
  file_core* core;
  try {
    core = new file_core(descriptor, std::move(path));
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  core->add_handle();
  return file_handle(core);
}

}  // namespace detail

file file::adopt(int descriptor) {
  detail::check_not_simulated("file::adopt");
  const int flags = ::fcntl(descriptor, F_GETFL);
  // The ring waits; a descriptor that does not would answer at once, and again and again.
  if (flags < 0 || ((flags & O_NONBLOCK) != 0 && ::fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0)) {
    throw std::system_error(errno, std::generic_category(),
                            "ringo: file::adopt: descriptor " + std::to_string(descriptor));
  }
  return file(detail::make_file(descriptor, "descriptor " + std::to_string(descriptor)));
}

task<std::size_t> file::read_at(std::uint64_t offset, std::span<std::byte> into, std::source_location where) const {
  detail::check_opened(core_, "read_at");
  detail::check_range(offset, into.size(), "read_at");
  return detail::read_in_pieces(core_, offset, into, where);
}
task<> file::write_at(std::uint64_t offset, std::span<const std::byte> bytes, std::source_location where) const {
  detail::check_opened(core_, "write_at");
  detail::check_range(offset, bytes.size(), "write_at");
  detail::check_writes_at_offsets(core_, "write_at");
  return detail::write_in_pieces(core_, offset, bytes, where);
}
task<> file::append(std::span<const std::byte> bytes, std::source_location where) const {
  detail::check_opened(core_, "append");
  return detail::write_in_pieces(core_, std::nullopt, bytes, where);
}
detail::one_shot_operation<void> file::sync(bool metadata) const {
  detail::check_opened(core_, "sync");
  return detail::one_shot_operation<void>(new detail::sync_call(core_, metadata));
}
detail::one_shot_operation<file_status> file::status() const {
  detail::check_opened(core_, "status");
  return detail::one_shot_operation<file_status>(new detail::status_call(core_));
}
task<std::uint64_t> file::size(std::source_location where) const {
  detail::check_opened(core_, "size");
  return detail::size_of(core_, where);
}
task<> file::truncate(std::uint64_t size, std::source_location where) const {
  detail::check_opened(core_, "truncate");
  detail::check_range(size, 0, "truncate");
  return detail::truncate_to(core_, size, where);
}
file_reader file::reader(std::uint64_t from) const { return file_reader(*this, from); }
file_writer file::writer() const {
  detail::check_opened(core_, "writer");
  return file_writer(core_, std::nullopt);
}
file_writer file::writer(std::uint64_t from) const {
  detail::check_opened(core_, "writer");
  detail::check_range(from, 0, "writer");
  return file_writer(core_, from);
}
detail::close_operation file::close() const { return detail::close_operation(core_.get()); }
int file::native_handle() const noexcept { return core_.get() != nullptr ? core_.get()->descriptor() : -1; }

task<std::string> read_file(std::string_view path, std::source_location where) {
  return detail::read_whole(std::string(path), where);
}
task<> write_file(std::string_view path, std::span<const std::byte> bytes, std::source_location where) {
  return detail::write_whole(std::string(path), bytes, where);
}
task<> write_file(std::string_view path, std::string_view text, std::source_location where) {
  return write_file(path, std::as_bytes(std::span(text)), where);
}

detail::one_shot_operation<file_status> status_of(std::string_view path) {
  return detail::one_shot_operation<file_status>(new detail::status_of_call(path));
}
detail::one_shot_operation<void> rename_file(std::string_view from, std::string_view to) {
  return detail::one_shot_operation<void>(new detail::rename_call(from, to));
}
detail::one_shot_operation<void> remove_file(std::string_view path) {
  return detail::one_shot_operation<void>(new detail::remove_call(path, 0));
}
detail::one_shot_operation<void> remove_directory(std::string_view path) {
  return detail::one_shot_operation<void>(new detail::remove_call(path, AT_REMOVEDIR));
}
task<> make_directory(std::string_view path, unsigned permissions, std::source_location where) {
  return detail::make_directory_at(std::string(path), permissions, where);
}
task<std::vector<directory_entry>> list_directory(std::string_view path, std::source_location where) {
  return detail::list(std::string(detail::checked(path)), where);
}

}  // namespace ringo
