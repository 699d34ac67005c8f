#include <ringo/file.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
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

file_handle opened(const file_handle& f, const char* call) {
  if (!f) throw_empty_or_ended(call, "file");
  if (const worker* w = current_worker()) f.get()->enter(w, call);
  return f.another();
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

// The kernel reads into and writes from memory of the record, at most so much. The copy costs little beside such a
// system call, and thousands of files being read need no gigabytes.
constexpr std::size_t largest_piece = 256 * 1024;

// A read or a write, piece by piece. The caller's memory is touched while the routine waits, under the lock, or by the
// routine itself: so it may leave at any moment, and goes on from the piece that it had come to.
template <class R, class Bytes>
class piecewise : public file_call<R> {
 protected:
  piecewise(file_handle f, const char* doing, std::optional<std::uint64_t> offset, Bytes bytes)
      : file_call<R>(std::move(f), doing),
        bytes_(bytes),
        offset_(offset),
        piece_(new std::byte[std::min(bytes.size(), largest_piece)]) {}

  bool try_at_once(int& answer) noexcept override {
    answer = 0;
    return bytes_.empty();
  }
  Bytes rest() const noexcept { return bytes_.subspan(done_); }
  unsigned size() const noexcept { return static_cast<unsigned>(std::min(rest().size(), largest_piece)); }
  std::uint64_t position() const noexcept { return offset_.value_or(0) + done_; }

  const Bytes bytes_;
  const std::optional<std::uint64_t> offset_;  // none: at the end of the file
  std::size_t done_ = 0;
  const std::unique_ptr<std::byte[]> piece_;
};

class read_call final : public piecewise<std::size_t, std::span<std::byte>> {
 public:
  read_call(file_handle f, std::uint64_t offset, std::span<std::byte> into)
      : piecewise(std::move(f), "reading ", offset, into) {}

 private:
  void ask(kernel_call& call) noexcept override { call.set_read(descriptor(), piece_.get(), size(), position()); }
  bool is_part(int& result, bool is_waited_for) noexcept override {
    if (result <= 0 || static_cast<std::size_t>(result) == rest().size()) return false;
    if (is_waited_for) copy(result);  // else this piece is read again
    return true;
  }
  std::size_t result() override {
    copy(answered());
    return done_;
  }
  void copy(int count) noexcept {
    if (count > 0) std::memcpy(rest().data(), piece_.get(), static_cast<std::size_t>(count));
    done_ += static_cast<std::size_t>(count);
  }
};

class write_call final : public piecewise<void, std::span<const std::byte>> {
 public:
  write_call(file_handle f, std::optional<std::uint64_t> offset, std::span<const std::byte> bytes)
      : piecewise(std::move(f), "writing ", offset, bytes) {}

 private:
  void begins() noexcept override {
    file_call::begins();
    copy();
  }
  void ask(kernel_call& call) noexcept override {
    call.set_write(descriptor(), piece_.get(), size(), position(), offset_ ? 0 : RWF_APPEND);
    call.needs_thread = core().waits_when_ready();
  }
  bool is_part(int& result, bool is_waited_for) noexcept override {
    if (result == 0) result = -ENOSPC;  // a device that is full takes nothing
    if (result < 0) return false;
    done_ += static_cast<std::size_t>(result);
    if (is_waited_for) copy();
    return !rest().empty();
  }
  void result() override { answered(); }
  void copy() noexcept {
    if (size() != 0) std::memcpy(piece_.get(), rest().data(), size());
  }
};

}  // namespace

one_shot_operation<void> write_all(file_handle f, std::optional<std::uint64_t> offset,
                                   std::span<const std::byte> bytes) {
  return one_shot_operation<void>(new write_call(std::move(f), offset, bytes));
}

namespace {

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

using statx_answer = struct statx;
constexpr unsigned asked = STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_MTIME;

template <class R, class Result>
one_shot_operation<R> ask_status(file_handle f, Result result) {
  return ask_file<R>(
      std::move(f), "asking for the status of ", statx_answer(),
      [](statx_answer& into, int descriptor, detail::kernel_call& call) {
        call.set_stat(descriptor, "", AT_EMPTY_PATH, asked, into);
      },
      result);
}

// The call has a descriptor of its own, since it may go on when its waiter has left and the file is closed.
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
  // A call that has begun keeps the descriptor open, and so its number this file's, while it is duplicated.
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

template <class Fill>
one_shot_operation<void> ask_for(const char* doing, std::string_view path, Fill fill) {
  return ask_once<void>(std::string(checked(path)), fill,
                        [doing](const std::string& at) { return doing + in_quotes(at); });
}

std::vector<directory_entry> entries_of(const std::string& path) {
  const std::string doing = "ringo: listing " + in_quotes(path);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) throw_outside_error(errno, doing);
  std::vector<directory_entry> entries;
  for (;;) {
    errno = 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this DIR
    const dirent* const entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) throw_outside_error(errno, doing);
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    auto mode = static_cast<unsigned>(DTTOIF(entry->d_type));
    struct stat s{};
    // Not every file system says the kind along with the name.
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
  std::size_t room = static_cast<std::size_t>(co_await in_name_of(where, f.size()));
  // A file of /proc says that it has no size and has bytes all the same, and any file may grow meanwhile.
  for (;;) {
    const std::size_t had = text.size();
    text.resize(had + room + 1);
    auto reading = f.read_at(had, std::span(text).subspan(had));
    const std::size_t got = co_await in_name_of(where, reading);
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
  auto writing = f.write_at(0, bytes);
  co_await in_name_of(where, writing);
  co_await in_name_of(where, f.close());
}

}  // namespace

file_handle make_file(int descriptor, std::string path) {
  return file_handle(make_core<file_core>(descriptor, std::move(path)));
}

}  // namespace detail

file file::adopt(int descriptor) {
  detail::check_not_simulated("file::adopt");
  if (detail::make_waiting(descriptor) < 0) {
    throw std::system_error(errno, std::generic_category(),
                            "ringo: file::adopt: descriptor " + std::to_string(descriptor));
  }
  return file(detail::make_file(descriptor, "descriptor " + std::to_string(descriptor)));
}

detail::one_shot_operation<std::size_t> file::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  detail::file_handle f = detail::opened(core_, "read_at");
  detail::check_range(offset, into.size(), "read_at");
  return detail::one_shot_operation<std::size_t>(new detail::read_call(std::move(f), offset, into));
}
detail::one_shot_operation<void> file::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  detail::file_handle f = detail::opened(core_, "write_at");
  detail::check_range(offset, bytes.size(), "write_at");
  detail::check_writes_at_offsets(f, "write_at");
  return detail::write_all(std::move(f), offset, bytes);
}
detail::one_shot_operation<void> file::append(std::span<const std::byte> bytes) const {
  return detail::write_all(detail::opened(core_, "append"), std::nullopt, bytes);
}
detail::one_shot_operation<void> file::sync(bool metadata) const {
  return detail::ask_file<void>(
      detail::opened(core_, "sync"), "syncing ", metadata,
      [](bool all, int descriptor, detail::kernel_call& call) { call.set_sync(descriptor, !all); });
}
detail::one_shot_operation<file_status> file::status() const {
  return detail::ask_status<file_status>(detail::opened(core_, "status"),
                                         [](detail::statx_answer& s, int) { return detail::to_status(s); });
}
detail::one_shot_operation<std::uint64_t> file::size() const {
  return detail::ask_status<std::uint64_t>(detail::opened(core_, "size"),
                                           [](detail::statx_answer& s, int) -> std::uint64_t { return s.stx_size; });
}
detail::deferred_task<void> file::truncate(std::uint64_t size, std::source_location where) const {
  detail::file_handle f = detail::opened(core_, "truncate");
  detail::check_range(size, 0, "truncate");
  return detail::truncate_to(std::move(f), size, where);
}
file_reader file::reader(std::uint64_t from) const { return file_reader(*this, from); }
file_writer file::writer() const { return file_writer(detail::opened(core_, "writer"), std::nullopt); }
file_writer file::writer(std::uint64_t from) const {
  detail::file_handle f = detail::opened(core_, "writer");
  detail::check_range(from, 0, "writer");
  return file_writer(std::move(f), from);
}

detail::deferred_task<std::string> read_file(std::string_view path, std::source_location where) {
  return detail::read_whole(std::string(path), where);
}
detail::deferred_task<void> write_file(std::string_view path, std::span<const std::byte> bytes,
                                       std::source_location where) {
  return detail::write_whole(std::string(path), bytes, where);
}
detail::deferred_task<void> write_file(std::string_view path, std::string_view text, std::source_location where) {
  return write_file(path, std::as_bytes(std::span(text)), where);
}

detail::one_shot_operation<file_status> status_of(std::string_view path) {
  struct asking {
    std::string path;
    detail::statx_answer status;
  };
  return detail::ask_once<file_status>(
      asking{std::string(detail::checked(path)), {}},
      [](asking& a, detail::kernel_call& call) { call.set_stat(AT_FDCWD, a.path.c_str(), 0, detail::asked, a.status); },
      [](const asking& a) { return "asking for the status of " + detail::in_quotes(a.path); },
      [](asking& a, int) { return detail::to_status(a.status); });
}
detail::one_shot_operation<void> rename_file(std::string_view from, std::string_view to) {
  using names = std::pair<std::string, std::string>;
  return detail::ask_once<void>(
      names(detail::checked(from), detail::checked(to)),
      [](const names& n, detail::kernel_call& call) { call.set_rename(n.first.c_str(), n.second.c_str()); },
      [](const names& n) { return "renaming " + detail::in_quotes(n.first) + " to " + detail::in_quotes(n.second); });
}
detail::one_shot_operation<void> remove_file(std::string_view path) {
  return detail::ask_for("removing ", path,
                         [](const std::string& at, detail::kernel_call& call) { call.set_remove(at.c_str()); });
}
detail::one_shot_operation<void> remove_directory(std::string_view path) {
  return detail::ask_for("removing ", path,
                         [](const std::string& at, detail::kernel_call& call) { call.set_remove_folder(at.c_str()); });
}
detail::one_shot_operation<void> make_directory(std::string_view path, unsigned permissions) {
  return detail::ask_for("making the directory ", path,
                         [permissions](const std::string& at, detail::kernel_call& call) {
                           call.set_make_folder(at.c_str(), static_cast<mode_t>(permissions));
                         });
}
detail::deferred_task<std::vector<directory_entry>> list_directory(std::string_view path, std::source_location where) {
  return detail::list(std::string(detail::checked(path)), where);
}

}  // namespace ringo
