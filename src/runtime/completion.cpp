#include <ringo/completion.hpp>

#include <future>
#include <stdexcept>

#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/section.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {

void completion_core::enter(const worker& w) {
  owner_.enter(&w, "wait for a completion");
  if (taken_.load(std::memory_order_relaxed)) throw_taken_completion();
}

// The workers of one runtime take it.
bool completion_core::take() noexcept {
  const worker* w = current_worker();
  if (w == nullptr || w->shared) return !taken_.exchange(true, std::memory_order_relaxed);
  if (taken_.load(std::memory_order_relaxed)) return false;
  taken_.store(true, std::memory_order_relaxed);
  return true;
}

void completion_core::end_setting() noexcept {
  stage_.store(stage::set, std::memory_order_release);
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == owner_.runtime_id()) return wake_all(*w);
  hold();  // for the post
  deliver_where_used(owner_, *this);
}

void completion_core::deliver(worker* w) noexcept {
  if (w != nullptr) wake_all(*w);  // else no waiter could run
  release();
}

void completion_core::wake_all(worker& w) noexcept {
  section_of here(*this, &w);
  std::int64_t left = 0;
  while (waiting_.claim_first(here, progress::done, [&left](waiter&) { ++left; })) ++left;
  here.unlock();
  if (left != 0) w.runtime.outside_work.fetch_sub(left, std::memory_order_release);
}

void completion_core::add_waiter(waiter& one, worker& w) noexcept {
  waiting_.push_back(one);
  w.runtime.outside_work.fetch_add(1, std::memory_order_relaxed);
}

void completion_core::remove_waiter(waiter& one) noexcept {
  if (one.where_queued != waiter::place::queued) return;
  waiting_.remove(one);
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == owner_.runtime_id()) {
    w->runtime.outside_work.fetch_sub(1, std::memory_order_release);
  }
}

void completion_core::fail_as_dropped() noexcept {
  set_error(std::make_exception_ptr(std::future_error(std::future_errc::broken_promise)));
  end_setting();
}

std::exception_ptr no_error_given() {
  return std::make_exception_ptr(std::invalid_argument("ringo: completion_setter::set_error of a null exception_ptr"));
}

void throw_taken_completion() {
  throw std::logic_error("ringo: wait for a completion: its result has been taken, as it is awaited once");
}

}  // namespace ringo::detail
