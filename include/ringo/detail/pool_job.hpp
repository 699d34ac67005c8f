// What a worker pool's jobs are, and how they are submitted and waited for.
#pragma once
#include <source_location>
#include <string>
#include <utility>

#include <ringo/detail/operation.hpp>
#include <ringo/detail/pointers.hpp>
#include <ringo/go.hpp>

namespace ringo::detail {

class pool_core;

const void* address_of(const shared<pool_core>& pool) noexcept;

// A job's routine, which tells its pool when it ends.
template <class T>
struct pool_record : record<T> {
  void at_end(worker& w) noexcept override;
  const void* member_of() const noexcept override { return address_of(pool); }

  shared<pool_core> pool;
};
void job_has_ended(const shared<pool_core>& pool, worker& w) noexcept;

template <class T>
void pool_record<T>::at_end(worker& w) noexcept {
  job_has_ended(pool, w);
}

// The part of submit that does not depend on the job's result.
class submission : public queued_operation<submission, void> {
 public:
  static constexpr const char* call_name = "submit";
  submission(shared<pool_core> pool, routine& job, std::source_location from) noexcept;
  submission(submission&& from) noexcept;
  submission& operator=(submission&& from) noexcept;
  ~submission();

  void enter(worker* w);
  spin_lock* lock() noexcept;
  wait_queue& queue() noexcept;
  bool ready(worker&) noexcept;
  bool commit(worker& w, bool, routine*&);
  void take();
  void discard() noexcept;
  void append_to(wait_report& text) const;

 private:
  friend class pool_core;
  void begin() noexcept;

  shared<pool_core> pool_;
  routine* job_;         // null once the pool has it
  bool begins_ = false;  // a worker was free for it at once
};

// The awaitable of submit; move-only.
template <class R>
class RINGO_AWAITABLE submit_operation : public submission {
 public:
  using result_type = handle<R>;
  submit_operation(shared<pool_core> pool, pool_record<R>& job, std::source_location from) noexcept
      : submission(std::move(pool), job, from), handle_(handle_access::make(&job)) {}
  submit_operation(submit_operation&&) noexcept = default;
  submit_operation& operator=(submit_operation&&) noexcept = default;

  handle<R> await_resume() {
    submission::await_resume();
    return std::move(handle_);
  }
  handle<R> take() {
    submission::take();
    return std::move(handle_);
  }

 private:
  handle<R> handle_;
};

// The awaitable of drain. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE drain_operation final : public queued_operation<drain_operation, void> {
 public:
  static constexpr const char* call_name = "drain";
  explicit drain_operation(shared<pool_core> pool) noexcept : pool_(std::move(pool)) {}
  drain_operation(drain_operation&&) noexcept = default;
  drain_operation& operator=(drain_operation&&) noexcept = default;
  ~drain_operation();

  void enter(worker* w);
  spin_lock* lock() noexcept;
  wait_queue& queue() noexcept;
  bool ready(worker&) noexcept;
  void append_to(wait_report& text) const;

 private:
  shared<pool_core> pool_;
};

}  // namespace ringo::detail
