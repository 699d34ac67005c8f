// Opening a file.
//
// io_uring first tries an open as if O_NONBLOCK had been asked for, and gives it to one of its threads only where the
// answer is EAGAIN. For a FIFO or a device that is another call: the reader of a FIFO does not wait for a writer, and
// reads its end at once; the writer gets ENXIO where it should wait for a reader; a sound device is busy, a serial port
// open without a carrier. So what the path names is looked at first, by a descriptor that opens nothing (O_PATH), and
// what may wait is opened by a thread of the kernel's from the beginning. Each such open gets a thread besides those
// that the kernel has for files, or a few of them would stop all files of this worker. It is ended by a signal to that
// thread.
#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

#include <ringo/file.hpp>

#include "runtime/scheduler.hpp"
#include "system/file_call.hpp"

namespace ringo {

struct file_access {
  static file make(detail::file_handle core) { return file(std::move(core)); }
};

namespace detail {
namespace {

// What an O_PATH descriptor stands for: true, if its open may wait for more than a disk.
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
    if (!is_taken_ && answer() >= 0 && has_answer()) ::close(answer());
  }

  void ask(io_uring_sqe& entry) noexcept override {
    if (looks_) return ::io_uring_prep_openat(&entry, AT_FDCWD, path_.c_str(), O_PATH | O_CLOEXEC, 0);
    ::io_uring_prep_openat(&entry, AT_FDCWD, path_.c_str(), flags_, static_cast<mode_t>(permissions_));
    if (waits_) entry.flags |= IOSQE_ASYNC;
  }
  std::string name() const override { return "opening " + in_quotes(path_); }
  file result() override {
    const int descriptor = take();
    is_taken_ = true;
    return file_access::make(make_file(descriptor, std::move(path_)));
  }

 private:
  void begins() noexcept override { looks_ = (flags_ & O_EXCL) == 0; }
  bool accept(int& result) noexcept override {
    if (!looks_) return result != -EAGAIN || waits_;
    looks_ = false;
    if (result < 0) return false;  // the open itself will say why, or make the file
    if (may_wait(result)) {
      waits_ = true;
      scheduler_of(*current_worker()).driver_->add_waiting_threads(1);
    }
    ::close(result);
    return false;
  }
  void has_ended(worker& w) noexcept override {
    if (std::exchange(waits_, false)) scheduler_of(w).driver_->add_waiting_threads(-1);
  }

  std::string path_;
  const int flags_;
  const unsigned permissions_;
  bool looks_ = false;
  bool waits_ = false;  // on the ring that has been told so
  bool is_taken_ = false;
};

int flags_of(const open_options& o, std::string_view path) {
  const std::string doing = "ringo: file::open of " + in_quotes(path) + ": open_options: ";
  if (!o.read && !o.write) throw std::invalid_argument(doing + "neither read nor write");
  if (!o.write && (o.create || o.truncate)) throw std::invalid_argument(doing + "create and truncate need write");
  if (o.exclusive && !o.create) throw std::invalid_argument(doing + "exclusive needs create");
  return O_CLOEXEC |
         (!o.write ? O_RDONLY
          : o.read ? O_RDWR
                   : O_WRONLY) |
         (o.create ? O_CREAT : 0) | (o.exclusive ? O_EXCL : 0) | (o.truncate ? O_TRUNC : 0);
}

}  // namespace

template file answer_of<file>(one_shot&);

}  // namespace detail

detail::one_shot_operation<file> file::open(std::string_view path, open_options o) {
  const int flags = detail::flags_of(o, path);
  return detail::one_shot_operation<file>(new detail::open_call(path, flags, o.permissions));
}

}  // namespace ringo
