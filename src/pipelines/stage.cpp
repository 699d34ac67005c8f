#include <ringo/detail/stage.hpp>

#include <stdexcept>

#include <ringo/batch.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/errors.hpp>
#include <ringo/map.hpp>

namespace ringo::detail {
namespace {

task<> take_part(stage_membership in, std::size_t index) {
  try {
    co_await in.of().work(index);
  } catch (...) {
    in.of().fail(std::current_exception());
  }
  in.end();
}

}  // namespace

stage_membership::~stage_membership() {
  if (of_ == nullptr) return;
  of_->fail(std::make_exception_ptr(cancelled()));  // its frame has been destroyed before its end
  of_->leave();
}

stage::stage(const char* call) : runtime_id_(require_worker(call).runtime_id), context_(context::with_cancel()) {}

// acq_rel: the last routine sees what the others have written.
void stage::leave() noexcept {
  if (routines_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  finish(error_);
  drop_reference();
}

void stage::note(std::exception_ptr error) noexcept {
  if (!has_error_.exchange(true, std::memory_order_relaxed)) error_ = std::move(error);
}

void stage::fail(std::exception_ptr error) noexcept {
  note(error);
  if (worker* w = current_worker()) cancel(*w, std::move(error));
}

void stage::cancel(worker& w, std::exception_ptr cause) noexcept { context_access::core(context_)->cancel(&w, cause); }

void stage::nobody_receives(channel_core& from) noexcept {
  // Wakes the routines that send to it; they stop. On a worker of the stage's runtime; if that has ended, there are
  // none.
  const auto stop = [this, &from](worker* w) {
    from.try_close(nullptr);
    if (outputs_.fetch_sub(1, std::memory_order_acq_rel) == 1 && w != nullptr) {
      cancel(*w, std::make_exception_ptr(cancelled()));
    }
    from.release();
    drop_reference();
  };
  from.retain();
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == runtime_id_) return stop(w);
  if (!post(runtime_id_, stop)) stop(nullptr);
}

void stage::drop_reference() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void start_routines(stage& s, std::size_t count, std::source_location where) {
  worker& w = require_worker("start a stage of a pipeline");
  s.made_ = where;
  for (std::size_t i = 0; i != count; ++i) {
    routine& r = *make_routine(take_part(stage_membership(s), i));
    note_starter(r);
    start_in(w, r, context_access::core(s.context_), where);
  }
}

signal& to_send(bool&) noexcept {
  static signal any;  // they are all alike
  return any;
}

void throw_map_without_workers() {
  throw std::invalid_argument("ringo: map with 0 workers would never end: give it 1 or more");
}

void throw_empty_batches() {
  throw std::invalid_argument("ringo: batch of 0 values would never be full: give it 1 or more");
}

}  // namespace ringo::detail
