#include "platform/standard_streams.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace ringo::detail {
namespace {

constexpr int streams = 3;
// The files that this file has opened. The program may have put others in their places since then.
std::atomic<dev_t> device_held[streams];
std::atomic<ino_t> file_held[streams];

bool is_open(int descriptor) noexcept { return ::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF; }

}  // namespace

void hold_standard_streams() noexcept {
  const int saved = errno;
  for (int each = 0; each < streams; ++each) {
    if (is_open(each)) continue;
    // open() gives the lowest free number, unless another thread takes it first. The program's children inherit it.
    int made = ::open("/dev/null", O_RDWR);
    // Without /dev/null (in a chroot): a file that can neither be read nor written.
    if (made < 0) made = ::open("/", O_PATH);
    if (made < 0) break;
    struct stat s{};
    if (made >= streams) {
      ::close(made);
    } else if (::fstat(made, &s) == 0) {
      device_held[made].store(s.st_dev, std::memory_order_relaxed);
      file_held[made].store(s.st_ino, std::memory_order_relaxed);
    }
  }
  errno = saved;
}

bool is_held(int descriptor) noexcept {
  struct stat s{};
  return descriptor >= 0 && descriptor < streams && ::fstat(descriptor, &s) == 0 && s.st_ino != 0 &&
         s.st_ino == file_held[descriptor].load(std::memory_order_relaxed) &&
         s.st_dev == device_held[descriptor].load(std::memory_order_relaxed);
}

}  // namespace ringo::detail
