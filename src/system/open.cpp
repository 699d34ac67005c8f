// Opening a file.
//
// io_uring first tries an open as if O_NONBLOCK were set, and gives it to a thread only if the answer is EAGAIN. For a
// FIFO or a device that is another call: the reader of a FIFO does not wait for a writer, and reads its end at once;
// the writer gets ENXIO where it should wait for a reader; a sound device is busy, a serial port opens without a
// carrier. So the call looks first at what the path names, by a descriptor that opens nothing (O_PATH), and a thread of
// the kernel's opens whatever may wait. Each such open gets a thread besides those that the kernel has for files; else
// a few of them would hold up all files of this worker. A signal to that thread ends it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

#include <ringo/file.hpp>

#include "system/file_call.hpp"

namespace ringo {

namespace detail {

struct file_access {
  static file make(file_handle core) { return file(std::move(core)); }
};

namespace {

// Whether to open the file that this O_PATH descriptor names may wait for more than a disk.
bool may_wait(int path_descriptor) noexcept {
  struct statx s{};
  return ::statx(path_descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &s) == 0 &&
         !S_ISREG(s.stx_mode) && !S_ISDIR(s.stx_mode);
}

class open_call final : public one_shot_of<file> {
 public:
  open_call(std::string_view path, int flags, unsigned permissions)
      : path_(checked(path)), flags_(flags), permissions_(permissions) {}
  ~open_call() override {
    without_locks("close");
    if (untaken() >= 0) ::close(untaken());
  }

 private:
  std::string describe() const override { return "opening " + in_quotes(path_); }
  void begins() noexcept override { looks_ = (flags_ & O_EXCL) == 0; }
  void ask(kernel_call& call) noexcept override {
    const int flags = looks_ ? O_PATH | O_CLOEXEC : flags_;
    call.set_open(path_.c_str(), flags, static_cast<mode_t>(permissions_));
  }
  next judge(int& result) noexcept override {
    if (!std::exchange(looks_, false)) {
      return result == -EAGAIN && !may_wait_ ? next::after_a_pause : next::none;
    }
    may_wait_ = result >= 0 && may_wait(result);
    without_locks("close");
    if (result >= 0) ::close(result);  // else the open itself will say why, or make the file
    return may_wait_ ? next::on_a_thread : next::again;
  }
  file result() override {
    const int descriptor = take();
    return file_access::make(make_file(descriptor, std::move(path_)));
  }

  std::string path_;
  const int flags_;
  const unsigned permissions_;
  bool looks_ = false;
  bool may_wait_ = false;
};

int flags_of(const open_options& o, std::string_view path) {
  const std::string doing = "ringo: file::open of " + in_quotes(path) + ": open_options: ";
  if (!o.read && !o.write) throw std::invalid_argument(doing + "neither read nor write");
  if (!o.write && (o.create || o.truncate)) throw std::invalid_argument(doing + "create and truncate need write");
  if (o.exclusive && !o.create) throw std::invalid_argument(doing + "exclusive needs create");
  const int direction = !o.write ? O_RDONLY : o.read ? O_RDWR : O_WRONLY;
  return O_CLOEXEC | direction | (o.create ? O_CREAT : 0) | (o.exclusive ? O_EXCL : 0) | (o.truncate ? O_TRUNC : 0);
}

}  // namespace

}  // namespace detail

detail::one_shot_operation<file> file::open(std::string_view path, open_options o) {
  const int flags = detail::flags_of(o, path);
  return detail::one_shot_operation<file>(new detail::open_call(path, flags, o.permissions));
}

}  // namespace ringo
