#include "io/descriptor_core.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {

bool waits_when_ready(int descriptor) noexcept {
  struct stat s{};
  return ::fstat(descriptor, &s) == 0 && S_ISCHR(s.st_mode);
}

std::uint32_t descriptor_core::next_identity() noexcept {
  static std::atomic<std::uint32_t> last = 0;
  std::uint32_t next;
  do {
    next = last.fetch_add(1, std::memory_order_relaxed) + 1;
  } while (next == 0);
  return next;
}

int make_waiting(int descriptor) noexcept {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0 && ::fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0 ? -1 : flags;
}

void descriptor_core::begin_closing(detail::section& here) noexcept {
  if (!is_open()) return;
  worker* const w = here.on();
  const bool has_last_words = stop(w);
  state_ = state::closing;
  end_all(io_side::in, here);
  end_all(io_side::out, here);
  if (w == nullptr || w->simulated) {  // no operation is in flight, and no other thread knows the core
    if (has_last_words) farewell(nullptr);
    without_locks("close");
    ::close(descriptor());
    state_ = state::closed;
  } else if (has_last_words) {
    says_farewell_ = true;
    close_.start(scheduler_of(*w));
  } else {
    settle(*w);
  }
}

bool descriptor_core::has_ended() const noexcept {
  const worker* const w = current_worker();
  return w == nullptr || w->runtime_id != owner.runtime_id() || w->runtime.done();
}

void descriptor_core::settle(worker& w) noexcept {
  if (state_ != state::closing || says_farewell_ || !quiet()) return;
  state_ = state::being_closed;
  close_.start(scheduler_of(w));
}

void descriptor_core::fill_poll(kernel_call& call, int descriptor, short events) noexcept {
  call.set_poll(descriptor, events);
}

void descriptor_core::fill_close(kernel_call& call) noexcept {
  if (says_farewell_) return call.set_nothing();
  call.set_close(descriptor());
  call.needs_thread = waits_when_ready_;
}

// The number is free whatever the answer is (close(2)), with one exception: ECANCELED says that the kernel has not
// begun. It does so if a runtime ends while all threads that could close the file are busy.
void descriptor_core::has_closed(const kernel_answer& answer) noexcept {
  const int result = answer.result;
  if (says_farewell_) {
    farewell(current_worker());
    section here(*this);
    close_.over();
    says_farewell_ = false;
    return;
  }
  if (result == -ECANCELED) {
    without_locks("close");
    ::close(descriptor());
  }
  section here(*this);
  close_.over();
  state_ = state::closed;
  serve(io_side::close, here);
}

}  // namespace ringo::detail
