#include "runtime/observer.hpp"

#include "runtime/recorder.hpp"

namespace ringo {

void hooks::started(const routine&, std::uint32_t) noexcept {}
void hooks::resumed(const routine&) noexcept {}
void hooks::parked(const routine&) noexcept {}
void hooks::yielded(const routine&) noexcept {}
void hooks::ended(const routine&) noexcept {}

namespace detail {

observer::observer(unsigned worker, recorder* to, ringo::hooks* hooks, times_of_worker* times)
    : worker_(worker),
      recorder_(to),
      ring_(to != nullptr ? &to->ring_of(worker) : nullptr),
      hooks_(hooks),
      times_(times) {}

void observer::resumes(const routine& r) noexcept {
  number_ = r.number.load(std::memory_order_relaxed);
  started_ = r.started;
  kind_ = r.resumed_as;
  parked_ = false;
  if (times_ != nullptr) times_->resumes(number_, nanoseconds());
  put(event::resumed, number_, address_of(started_));
  if (tells()) hooks_->resumed(as_told());
}

void observer::left(const worker& w, const routine& r) noexcept {
  if (times_ != nullptr) times_->left(nanoseconds());
  if (kind_ == routine::kind::foreign) return;
  if (w.finished != nullptr) {
    if (recorder_ != nullptr && r.has_name) recorder_->note_end_of_named(number_);
    put(event::ended, number_);
    if (!tells()) return;
    if (parked_) hooks_->resumed(as_told());  // as in parks()
    return hooks_->ended(as_told());
  }
  if (parked_) return;
  // With one worker no other routine has run since, so it is still there.
  if (!w.shared && r.is_waiting()) return parks(r);
  if (times_ != nullptr) times_->ready(number_, nanoseconds());
  put(event::yielded, number_);
  if (tells()) hooks_->yielded(as_told());
}

void observer::ready(const worker& w, const routine& r) noexcept {
  const auto number = r.number.load(std::memory_order_relaxed);
  if (times_ != nullptr) times_->ready(number, nanoseconds());
  const auto cause = static_cast<std::uint64_t>(w.current != nullptr ? recording::cause::routine : because);
  if (r.resumed_as != routine::kind::begins) return put(event::ready, number, nullptr, cause);
  if (recorder_ != nullptr && r.has_name) recorder_->note_name(number, r);
  put(event::started, number, address_of(r.started), cause);
  if (hooks_ != nullptr) hooks_->started({number, worker_, r.started}, r.started_by);
}

void observer::parks(const routine& r) noexcept {
  // An earlier wait of this resume was not opened, since the routine was cancelled.
  if (std::exchange(parked_, true) && tells()) hooks_->resumed(as_told());
  if (recorder_ != nullptr) {
    const unsigned kind = recorder_->kind_of_wait(*r.parked);
    if (times_ != nullptr) times_->parks(number_, kind, nanoseconds());
    put(event::parked, number_, address_of(r.parked->where), kind);
  }
  if (tells()) hooks_->parked({number_, worker_, r.parked->where});
}

void worker::note_ready(const routine& r) noexcept { observed->ready(*this, r); }
// A wait of a coroutine of another library is not the routine's.
void worker::note_park(const routine& r) noexcept {
  if (&r == current) observed->parks(r);
}

}  // namespace detail
}  // namespace ringo
