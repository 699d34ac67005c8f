#include "driver/wake_event.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "driver/refusal.hpp"
#include "platform/end_process.hpp"

namespace ringo::detail {

wake_event::wake_event() : event_(::eventfd(0, EFD_CLOEXEC)) {  // with EFD_NONBLOCK the read would not wait
  if (event_.number() < 0) throw refusal("eventfd", errno);
}

void wake_event::wake() noexcept {
  if (state_.exchange(state::notified, std::memory_order_acq_rel) != state::sleeping) return;
  const int saved = errno;
  constexpr std::uint64_t one = 1;
  while (::write(event_.number(), &one, sizeof one) != sizeof one) {
    if (errno == EINTR) continue;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): strerror is safe in glibc (since 2.32) and musl
    const char* const why = std::strerror(errno);
    std::fprintf(stderr, "ringo: a worker cannot be woken, its eventfd was closed behind the runtime: %s\n", why);
    end_process();
  }
  errno = saved;
}

}  // namespace ringo::detail
